"""Better stochastic gradient descent for PyTorch, with the evidence."""

from typing import TYPE_CHECKING

from steepest._lazy import lazy_names
from steepest._version import __version__

if TYPE_CHECKING:
    from steepest._citations import citation
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
    "citation",
    "normalize_gradients",
    "param_groups",
    "track_input_power",
]
__getattr__, __dir__ = lazy_names(
    globals(),
    {
        "steepest._citations": ("citation",),
        "steepest.gradients": ("SSGD", "GradientCalibration", "SymmetricNoise", "calibrate", "normalize_gradients"),
        "steepest.optim": ("INSGD", "LARS", "SNGM", "BlockNormalizedSGD", "param_groups", "track_input_power"),
    },
)
