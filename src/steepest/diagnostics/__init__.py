"""What the loss looks like where the weights stand; nothing here changes a model."""

from steepest.diagnostics.lanczos import HessianEigenvalue
from steepest.diagnostics.sharpness import largest_hessian_eigenvalue

__all__ = ["HessianEigenvalue", "largest_hessian_eigenvalue"]
