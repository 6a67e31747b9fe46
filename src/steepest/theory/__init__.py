"""What theory says of how SGD moves, beside simulations of the very algorithm."""

from steepest._errors import check_extra

check_extra("theory", "numpy", "scipy")
