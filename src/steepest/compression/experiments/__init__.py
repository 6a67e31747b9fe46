"""A whole compression on a page: the base network, what is made of it, and what it is held against."""
