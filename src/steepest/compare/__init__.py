"""A fair comparison of optimizers on a real workload. Needs the extra ``steepest[compare]``."""

import importlib
from typing import TYPE_CHECKING, Any

from steepest._errors import check_extra

if TYPE_CHECKING:
    from steepest.compare.study import Study
    from steepest.training.definitions.estimator import Batch, Estimator, Resumable
    from steepest.training.definitions.instrument import Instrument, Reading, RunView
    from steepest.training.definitions.method import Method, Range
    from steepest.training.definitions.schedule import Controller, Schedule
    from steepest.training.definitions.workload import Workload, accuracy

# All that the extra brings, under the names by which it is imported.
EXTRA = (
    *("cloudpickle", "filelock", "jinja2", "markupsafe", "numpy", "optuna", "pandas", "plotly", "rich", "scipy"),
    *("sklearn", "sqlalchemy", "typer"),
)
check_extra("compare", *EXTRA)

__all__ = [
    "Batch",
    "Controller",
    "Estimator",
    "Instrument",
    "Method",
    "Range",
    "Reading",
    "Resumable",
    "RunView",
    "Schedule",
    "Study",
    "Workload",
    "accuracy",
]
_HOMES = {
    "steepest.compare.study": ("Study",),
    "steepest.training": tuple(name for name in __all__ if name != "Study"),
}


def __getattr__(name: str) -> Any:
    """The names above, once they are asked for.

    A worker process needs the definitions alone, not what tables and figures are made with, and ``--help`` not even
    torch.
    """
    for home, names in _HOMES.items():
        if name in names:
            globals()[name] = getattr(importlib.import_module(home), name)
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
