"""Final runs, seed by seed."""

from collections.abc import Sequence

from steepest.compare.records.record import Record

ROUNDING = 1e-6  # metrics come in single precision: what differs by this fraction is equal


def scores(finals: Sequence[Record]) -> dict[int, float]:
    """Test metric by seed, of the final runs that finished."""
    return {r.seed: r.test_metric for r in finals if r.status == "finished" and r.test_metric is not None}


def differences_of(runs: Sequence[Record], baseline: Sequence[Record]) -> list[float]:
    """Test metrics less the baseline's, by seed, where both finished."""
    own, base = scores(runs), scores(baseline)
    return [own[seed] - base[seed] for seed in sorted(own.keys() & base.keys())]


def largest_of(*several: Sequence[Record]) -> float:
    """The largest test metric, without its sign."""
    return max(abs(x) for runs in several for x in scores(runs).values())
