"""A graph as a picture: where its nodes lie, and the SVG of it."""
