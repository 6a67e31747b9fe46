"""Several workloads at once: performance profiles and what is made of them. Costs are evaluations to the target."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import scipy.stats

from steepest.compare.analysis.summary import Row, Summary

UP_TO = 4.0  # AlgoPerf's r_max


@dataclass(frozen=True)
class Across:
    """What several workloads say of one method; ``costs`` and ``ratios`` are in the order of the workloads.

    A ratio is that to the cheapest method on the workload, ``median`` the ratios' median and ``score`` AlgoPerf's.
    ``geometric_mean`` is that of the ratios to the baseline, over ``compared`` workloads.
    """

    method: str
    costs: tuple[float, ...]
    ratios: tuple[float, ...]
    score: float
    median: float
    geometric_mean: float | None
    compared: int

    @property
    def reached(self) -> int:
        """Workloads on which the median run reaches the target."""
        return sum(map(math.isfinite, self.costs))


def comparable(summaries: Sequence[Summary]) -> bool:
    """Whether :func:`across` has something to say: several workloads, and a result of every method on each."""
    return len(summaries) > 1 and not any(_is_open(row) for summary in summaries for row in summary.rows)


def across(summaries: Sequence[Summary], baseline: str) -> list[Across]:
    """Every method on all workloads, highest score first, then lowest median ratio.

    Raises:
        ValueError: there is no study, they compare different methods, or one of them has no results yet.
    """
    costs = costs_of(summaries)
    if baseline not in costs:
        raise ValueError(f"the baseline {baseline!r} is not among the methods {', '.join(costs)}")
    ratios = performance_ratios(costs)
    found = []
    for name, own in costs.items():
        mean, compared = geometric_mean_ratio(own, costs[baseline])
        median = statistics.median(ratios[name])
        score = profile_score(ratios[name])
        found.append(Across(name, tuple(own), tuple(ratios[name]), score, median, mean, compared))
    return sorted(found, key=lambda row: (-row.score, row.median))


def costs_of(summaries: Sequence[Summary]) -> dict[str, list[float]]:
    """Each method's median evaluations to the target, workload by workload; a miss, or a lost search, is infinite.

    Raises:
        ValueError: as in :func:`across`.
    """
    if not summaries:
        raise ValueError("there must be at least one study, got none")
    names = [method.name for method in summaries[0].spec.methods]
    costs: dict[str, list[float]] = {name: [] for name in names}
    for summary in summaries:
        if {method.name for method in summary.spec.methods} != set(names):
            raise ValueError(
                f"the studies must compare the same methods; {summaries[0].spec.name} has "
                f"{', '.join(names)}, {summary.spec.name} has "
                f"{', '.join(method.name for method in summary.spec.methods)}"
            )
        for row in summary.rows:
            if _is_open(row):
                raise ValueError(f"{row.method.name} has no final run on {summary.spec.name} yet")
            costs[row.method.name].append(math.inf if row.evaluations_to_target is None else row.evaluations_to_target)
    return costs


def _is_open(row: Row) -> bool:
    """Say whether a method has no result yet; a search that found nothing, or final runs that all fail, are misses."""
    return row.evaluations_to_target is None and len(row.finals) < row.seeds_asked


def performance_ratios(costs: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Each method's cost over that of the cheapest method on the same workload; a miss stays infinite.

    Source: E. Dolan and J. More, "Benchmarking optimization software with performance profiles" (2002).

    Example:
        >>> performance_ratios({"a": [10, 30], "b": [20, 10], "c": [math.inf, 10]})
        {'a': [1.0, 3.0], 'b': [2.0, 1.0], 'c': [inf, 1.0]}
    """
    cheapest = [min(workload) for workload in zip(*costs.values(), strict=True)]
    return {
        name: [x / least if math.isfinite(x) else math.inf for x, least in zip(own, cheapest, strict=True)]
        for name, own in costs.items()
    }


def performance_profile(ratios: Sequence[float], factor: float) -> float:
    """The share of workloads on which a method costs at most ``factor`` times what the cheapest does.

    Source: Dolan and More (2002).

    Example:
        >>> [performance_profile([1.0, 3.0, math.inf], factor) for factor in (1.0, 2.0, 3.0)]
        [0.3333333333333333, 0.3333333333333333, 0.6666666666666666]
    """
    return sum(ratio <= factor for ratio in ratios) / len(ratios)


def profile_score(ratios: Sequence[float], up_to: float = UP_TO) -> float:
    """AlgoPerf's score: the mean height of the performance profile between 1 and ``up_to``, from 0 to 1.

    The integral is exact: a workload adds the part of the way from its ratio to the end.

    Source: G. Dahl et al., "Benchmarking neural network training algorithms" (2023); ``up_to`` is theirs.

    Example:
        >>> profile_score([1.0, 2.5, 4.0, math.inf])  # 1, half of the way, and none for the others
        0.375
    """
    return statistics.fmean(max(0.0, (up_to - ratio) / (up_to - 1)) for ratio in ratios)


def geometric_mean_ratio(costs: Sequence[float], reference: Sequence[float]) -> tuple[float | None, int]:
    """Geometric mean of the ratios of two methods' costs, and the number of workloads behind it.

    A miss makes it infinite, a miss of the reference 0. Workloads that both miss say nothing and are left out. ``None``
    if none is left, or if each misses where the other does not: infinity times 0 is no number.

    Example:
        >>> geometric_mean_ratio([10, 40, math.inf], [20, 20, math.inf])
        (1.0, 2)
    """
    ratios = [x / y for x, y in zip(costs, reference, strict=True) if math.isfinite(x) or math.isfinite(y)]
    if not ratios or (math.inf in ratios and 0.0 in ratios):
        return None, len(ratios)
    if math.inf in ratios or 0.0 in ratios:
        return math.inf if math.inf in ratios else 0.0, len(ratios)
    return float(scipy.stats.gmean(ratios)), len(ratios)
