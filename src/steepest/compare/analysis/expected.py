"""How many final runs a study that stops early may expect to take."""

from dataclasses import dataclass

import numpy as np

from steepest.compare.analysis.looks import standings
from steepest.compare.records.record import Record
from steepest.compare.spec import Spec

_STUDIES = 200
_SPREAD, _LEVEL = 1e-3, 0.9  # of made-up metrics
FARTHEST = 2.0  # standard deviations of a run that methods lie apart, at most


@dataclass(frozen=True)
class Expected:
    """The mean number of final runs of a method: if nothing differs, and if methods lie evenly spread, up to two
    standard deviations of a run better and worse than the baseline."""

    equal: float
    apart: float


def expected_finals(spec: Spec) -> Expected:
    """Decide made-up studies by the looks of this one; always the same, whenever it is asked.

    Raises:
        ValueError: the study does not stop early.
    """
    if spec.stopping is None:
        raise ValueError("the study does not stop early")
    others = len(spec.methods) - 1
    ladder = np.linspace(-FARTHEST, FARTHEST, others) if others > 1 else np.full(others, FARTHEST)
    rng = np.random.default_rng(0)
    return Expected(*(_mean_seeds(spec, gaps, rng) for gaps in (np.zeros(others), ladder)))


def _mean_seeds(spec: Spec, gaps: np.ndarray, rng: np.random.Generator) -> float:
    names = [spec.baseline, *(m.name for m in spec.methods if m.name != spec.baseline)]
    truth = np.append(0.0, gaps)[:, None]
    made = 0
    for _ in range(_STUDIES):
        metrics = _LEVEL + _SPREAD * (truth + rng.normal(size=(len(names), len(spec.seeds))))
        finals: dict[str, dict[int, Record | None]] = {
            name: {place: _make_final(spec, name, place, float(x)) for place, x in enumerate(row)}
            for name, row in zip(names, metrics, strict=True)
        }
        made += sum(standings(spec, finals).seeds.values())
    return made / _STUDIES / len(names)


def _make_final(spec: Spec, method: str, place: int, metric: float) -> Record:
    return Record(spec.name, method, "final", place, spec.seeds[place], {}, "finished", 0.0, 0.0, test_metric=metric)
