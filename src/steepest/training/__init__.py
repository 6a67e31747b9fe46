"""One run: a workload, a method, a seed and a budget, from random weights to a result."""

from typing import TYPE_CHECKING

from steepest._lazy import lazy_names

if TYPE_CHECKING:
    from steepest.training.definitions.estimator import Batch, Estimator, Resumable
    from steepest.training.definitions.instrument import Instrument, Reading, RunView
    from steepest.training.definitions.method import Method
    from steepest.training.definitions.range import Choice, Range
    from steepest.training.definitions.recipe import Recipe
    from steepest.training.definitions.schedule import Controller, Schedule
    from steepest.training.definitions.workload import Workload, accuracy
    from steepest.training.loop.functions import FunctionRun

__all__ = [
    "Batch",
    "Choice",
    "Controller",
    "Estimator",
    "FunctionRun",
    "Instrument",
    "Method",
    "Range",
    "Reading",
    "Recipe",
    "Resumable",
    "RunView",
    "Schedule",
    "Workload",
    "accuracy",
]
# Who reads a study's folder needs a range and a budget, and no torch.
__getattr__, __dir__ = lazy_names(
    globals(),
    {
        "steepest.training.definitions.estimator": ("Batch", "Estimator", "Resumable"),
        "steepest.training.definitions.instrument": ("Instrument", "Reading", "RunView"),
        "steepest.training.definitions.method": ("Method",),
        "steepest.training.definitions.range": ("Choice", "Range"),
        "steepest.training.definitions.recipe": ("Recipe",),
        "steepest.training.definitions.schedule": ("Controller", "Schedule"),
        "steepest.training.definitions.workload": ("Workload", "accuracy"),
        "steepest.training.loop.functions": ("FunctionRun",),
    },
)
