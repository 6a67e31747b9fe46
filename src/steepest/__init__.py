"""Better stochastic gradient descent for PyTorch, with the evidence."""

from steepest._version import __version__
from steepest.gradients import normalize_gradients
from steepest.optim import INSGD, LARS, SNGM, BlockNormalizedSGD, param_groups, track_input_power

__all__ = [
    "INSGD",
    "LARS",
    "SNGM",
    "BlockNormalizedSGD",
    "__version__",
    "normalize_gradients",
    "param_groups",
    "track_input_power",
]
