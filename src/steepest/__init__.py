"""Better stochastic gradient descent for PyTorch, with the evidence."""

from steepest._version import __version__
from steepest.gradients import SSGD, GradientCalibration, SymmetricNoise, calibrate, normalize_gradients
from steepest.optim import INSGD, LARS, SNGM, BlockNormalizedSGD, param_groups, track_input_power

__all__ = [
    "INSGD",
    "LARS",
    "SNGM",
    "SSGD",
    "BlockNormalizedSGD",
    "GradientCalibration",
    "SymmetricNoise",
    "__version__",
    "calibrate",
    "normalize_gradients",
    "param_groups",
    "track_input_power",
]
