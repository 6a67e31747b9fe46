"""A fair comparison of optimizers on a real workload. Needs the extra ``steepest[compare]``."""

from typing import TYPE_CHECKING, Any

from steepest._errors import check_extra

if TYPE_CHECKING:
    from steepest.compare.study import Study

check_extra(
    "compare",
    *("cloudpickle", "filelock", "jinja2", "numpy", "optuna", "pandas", "plotly", "rich", "scipy", "sklearn"),
    *("sqlalchemy", "typer"),
)

from steepest.compare.estimator import Batch, Estimator, Resumable  # noqa: E402 - once the extra is known to be there
from steepest.compare.method import Method, Range  # noqa: E402
from steepest.compare.workload import Workload, accuracy  # noqa: E402

__all__ = ["Batch", "Estimator", "Method", "Range", "Resumable", "Study", "Workload", "accuracy"]


def __getattr__(name: str) -> Any:
    """A worker process needs the definitions alone, not what tables and figures are made with."""
    if name == "Study":
        from steepest.compare.study import Study

        return Study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
