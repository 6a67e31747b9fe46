"""How far a result is to be trusted: what the search would find again, and with half of its budget."""

import functools
import math
import statistics

from steepest.compare.analysis.summary import Row
from steepest.compare.analysis.tuning_curve import TuningCurve, tuning_curve
from steepest.compare.spec import QUASI_RANDOM, Spec

# Its numbers are asked for by three tables, two sentences and a figure.
_tuning_curve = functools.lru_cache(maxsize=256)(tuning_curve)


def searched(spec: Spec, row: Row) -> TuningCurve | None:
    """The tuning curve of a method; ``None`` if its search is not over or found nothing, began with short runs, or
    asked for its points one after another: it takes them for independent draws."""
    if row.search.chosen is None or not row.search.trials or spec.sampler != QUASI_RANDOM:
        return None
    return _tuning_curve(tuple(r.found for r in row.search.trials), spec.workload.higher_is_better)


def refound(row: Row) -> float | None:
    """The validation metric of the chosen point on the fresh seeds."""
    again = [r.validation_metric for r in row.finals if r.status == "finished" and r.validation_metric is not None]
    return statistics.fmean(again) if again else None


def found_by_search(row: Row) -> float | None:
    """The validation metric of the chosen point as the search saw it, or its mean over searches."""
    found = [search.choice.score for search in row.searches if search.choice is not None and search.jobs]
    return statistics.fmean(found) if found else None


def chosen_again(spec: Spec, row: Row) -> tuple[float, float] | None:
    """The learning rates between which 9 in 10 other searches of these points would choose, were their runs lucky
    elsewhere; ``None`` where no response was fitted, or it was not taken, or the points hang on the runs.

    Of searches on other tuning seeds, 86 to 100 in 100 choose within it (docs/statistics.md).
    """
    choice = row.search.choice
    if choice is None or choice.response is None or choice.reason or row.method.leading != "lr":
        return None
    if spec.sampler != QUASI_RANDOM:  # another search would try other points
        return None
    lrs = [job.hyperparameters["lr"] for job in row.search.jobs]
    shares = sorted(zip((lrs[point] for point in choice.points), choice.response.again, strict=True))
    below, found = 0.0, []
    for lr, share in shares:
        if below + share > 5.0 and below < 95.0 and share > 0:
            found.append(lr)
        below += share
    return found[0], found[-1]


def assured(spec: Spec, row: Row) -> float | None:
    """What another search of the same size finds or beats in 19 of 20 cases."""
    curve = searched(spec, row)
    return None if curve is None or math.isinf(curve.assured[-1]) else curve.assured[-1]


def expected_of_half(spec: Spec, row: Row) -> float | None:
    """What a search of half the size is expected to find."""
    curve, half = searched(spec, row), spec.trials // 2
    return None if curve is None or not half or math.isinf(curve.expected[half - 1]) else curve.expected[half - 1]
