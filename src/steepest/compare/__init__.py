"""A fair comparison of optimizers on a real workload. Needs the extra ``steepest[compare]``."""

from steepest._errors import check_extra

check_extra(
    "compare", "filelock", "jinja2", "numpy", "optuna", "plotly", "rich", "scipy", "sklearn", "sqlalchemy", "typer"
)

from steepest.compare.estimator import Batch, Estimator, Resumable  # noqa: E402 - only once the extra is known to be there
from steepest.compare.method import Method, Range  # noqa: E402
from steepest.compare.workload import Workload, accuracy  # noqa: E402

__all__ = ["Batch", "Estimator", "Method", "Range", "Resumable", "Workload", "accuracy"]
