"""What theory says of how SGD moves, beside simulations of the very algorithm."""
