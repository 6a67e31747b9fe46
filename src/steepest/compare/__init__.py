"""A fair comparison of optimizers on a real workload. Needs the extra ``steepest[compare]``."""

from typing import TYPE_CHECKING

from steepest._errors import check_extra
from steepest._lazy import lazy_names

if TYPE_CHECKING:
    from steepest.compare.study import Study
    from steepest.training.definitions.estimator import Batch, Estimator, Resumable
    from steepest.training.definitions.instrument import Instrument, Reading, RunView
    from steepest.training.definitions.method import Method
    from steepest.training.definitions.range import Choice, Range
    from steepest.training.definitions.recipe import Recipe
    from steepest.training.definitions.schedule import Controller, Schedule
    from steepest.training.definitions.workload import Workload, accuracy
    from steepest.training.loop.functions import FunctionRun

# All that the extra brings, under the names by which it is imported.
EXTRA = (
    *("cloudpickle", "filelock", "jinja2", "markupsafe", "numpy", "optuna", "pandas", "plotly", "rich", "scipy"),
    *("sklearn", "sqlalchemy", "typer"),
)
check_extra("compare", *EXTRA)

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
    "Study",
    "Workload",
    "accuracy",
]
# A worker process needs the definitions alone, not what tables and figures are made with.
__getattr__, __dir__ = lazy_names(
    globals(),
    {
        "steepest.compare.study": ("Study",),
        "steepest.training": tuple(name for name in __all__ if name != "Study"),
    },
)
