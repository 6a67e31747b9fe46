"""What comes next, what no more, and what counts."""
