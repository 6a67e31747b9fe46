"""Better stochastic gradient descent for PyTorch, with the evidence."""

import importlib
from typing import TYPE_CHECKING, Any

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
_ROOMS = ("optim", "gradients")
_HOMES = ("_citations", *_ROOMS)  # in this order: the first needs no torch


def __getattr__(name: str) -> Any:
    """The names above, once they are asked for: torch takes seconds to load, and ``--version`` can do without."""
    if name in _ROOMS:
        return importlib.import_module(f"steepest.{name}")
    if name in __all__:
        for home in _HOMES:
            module = importlib.import_module(f"steepest.{home}")
            if name in module.__all__:
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
