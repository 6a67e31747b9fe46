"""Error bars: standard errors and Student's intervals of means over a few independent values."""

import math
import statistics
from collections.abc import Sequence

from steepest._errors import require

CONFIDENCE = 0.95


def student_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """How many standard errors an interval reaches to either side.

    Raises:
        MissingExtraError: SciPy is not installed.

    Example:
        >>> round(student_quantile(9), 4)
        2.2622
    """
    special = require("scipy.special", "diagnostics")
    return float(special.stdtrit(freedom, 0.5 + confidence / 2))


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of independent values; not a number, if there is only one.

    Example:
        >>> round(standard_error([1.0, 2.0, 3.0]), 4)
        0.5774
    """
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def interval_of(mean: float, error: float, freedom: float) -> tuple[float, float]:
    """Student's interval around a mean; the whole line, where the error is not known.

    Example:
        >>> interval_of(1.0, 0.0, 3), interval_of(1.0, float("nan"), 0)
        ((1.0, 1.0), (-inf, inf))
    """
    if not math.isfinite(error) or freedom < 1:
        return -math.inf, math.inf
    reach = student_quantile(freedom) * error
    return mean - reach, mean + reach
