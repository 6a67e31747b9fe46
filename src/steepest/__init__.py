"""Better stochastic gradient descent for PyTorch, with the evidence."""

from steepest._version import __version__
from steepest.gradients import normalize_gradients
from steepest.optim import LARS, SNGM, BlockNormalizedSGD, param_groups

__all__ = ["LARS", "SNGM", "BlockNormalizedSGD", "__version__", "normalize_gradients", "param_groups"]
