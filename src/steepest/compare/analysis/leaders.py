"""Which method may be the best of all, and not only better than the baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steepest.compare.analysis.pairs import scores
from steepest.compare.analysis.pairwise import compare_pair
from steepest.compare.analysis.statistics import CONFIDENCE
from steepest.compare.records.record import Record
from steepest.compare.spec import Spec


@dataclass(frozen=True)
class Leaders:
    """The method of the best mean, the ``others`` that cannot be told from the best, and those ``left_out`` since runs
    of theirs were lost."""

    first: str
    others: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def leaders(spec: Spec, finals: Mapping[str, Sequence[Record]]) -> Leaders | None:
    """The methods of which one is the best, 19 times in 20; ``None`` if fewer than two can be compared.

    A method is taken out if another one is better than it, by the paired t-test, one-sided, at 5 % over as many tests
    as there are others. Which method leads plays no part in it: the best one, whichever it is, is taken out in one case
    of 20 at most, so that nothing has to be corrected for looking at the leader.

    Args:
        finals: method name to its final runs.

    Source: S. S. Gupta, "On some multiple decision (selection and ranking) rules", Technometrics 7 (1965); J. C. Hsu,
    "Constrained simultaneous confidence intervals for multiple comparisons with the best", Ann. Statist. 12 (1984).
    """
    lost = tuple(name for name, runs in finals.items() if len(scores(runs)) < max(len(runs), 2))
    names = [name for name in finals if name not in lost]
    if len(names) < 2:
        return None
    sign = 1 if spec.workload.higher_is_better else -1
    means = {name: sign * sum(scores(finals[name]).values()) / len(scores(finals[name])) for name in names}
    alpha = (1 - CONFIDENCE) / (len(names) - 1)
    kept = [
        name for name in names if not any(_is_better(spec, finals[o], finals[name], alpha) for o in names if o != name)
    ]
    first = max(names, key=lambda name: means[name])
    return Leaders(first, tuple(sorted((name for name in kept if name != first), key=lambda name: -means[name])), lost)


def _is_better(spec: Spec, one: Sequence[Record], other: Sequence[Record], alpha: float) -> bool:
    """Say whether the first is better, by a one-sided test."""
    found = compare_pair(spec, one, other)
    if found is None or found.p_value is None:
        return False
    return (found.difference > 0) == spec.workload.higher_is_better and found.p_value / 2 < alpha
