"""What a tracker is told of a run: its settings, its curve and what it came to, in plain numbers and texts."""

import hashlib
import math
import re
from dataclasses import dataclass

from steepest.compare.records.record import Record
from steepest.compare.results.events import run_name
from steepest.compare.spec import StudySpec

Setting = str | int | float | bool | None
_ENDS = (
    *("validation_metric", "validation_loss", "test_metric", "test_loss", "evaluations_to_target"),
    *("gradient_evaluations", "samples", "seconds", "best_at", "best_test_metric"),
)


@dataclass(frozen=True)
class ToldRun:
    """A run, as every tracker enters it.

    Args:
        id: the same for the same record, whoever tells it and however often.
        study: the name of the study, by which runs stand together.
        settings: method, phase, seed, hyperparameters and what all runs of the comparison share.
        points: gradient evaluations, and what was seen there.
        ends: what it came to.
        started, finished: seconds since the epoch.
    """

    id: str
    name: str
    study: str
    phase: str
    status: str
    settings: dict[str, Setting]
    points: list[tuple[int, dict[str, float]]]
    ends: dict[str, float]
    started: float
    finished: float

    @property
    def last(self) -> int:
        """Gradient evaluations at its end."""
        return int(self.ends.get("gradient_evaluations", self.points[-1][0] if self.points else 0))


def told_of(spec: StudySpec, study: str, record: Record) -> ToldRun:
    """What is told of a record.

    Args:
        study: the study's name.
    """
    comparison = spec.comparison(record.workload)
    several = len(spec.comparisons) > 1
    shared: dict[str, Setting] = {
        "comparison": record.workload,
        "workload": comparison.workload.name,
        "metric": comparison.workload.metric_name,
        "method": record.method,
        "phase": record.phase,
        "trial": record.trial,
        "seed": record.seed,
        "status": record.status,
        "batch_size": comparison.batch_size,
        "epochs": comparison.epochs,
        "schedule": comparison.schedule,
        **{f"recipe.{name}": value for name, value in comparison.recipe.items()},
        **{f"fixed.{name}": _plain(value) for name, value in comparison.method(record.method).fixed.items()},
    }
    own = {f"hyperparameter.{n}" if n in shared else n: v for n, v in record.hyperparameters.items()}
    others = {f"test {name}": value for name, value in record.other_metrics.items()}
    ends = {**{name: getattr(record, name) for name in _ENDS}, **record.measures, **others}
    return ToldRun(
        id=_digest(record),
        name=f"{record.workload}: " * several + f"{record.method} {run_name(record)}",
        study=study,
        phase=record.phase,
        status=record.status,
        settings={**shared, **own},
        points=_find_points(record),
        ends={name: value for name, value in ends.items() if value is not None and math.isfinite(value)},
        started=record.started,
        finished=record.finished,
    )


def plain_name(name: str, signs: str = r"\w.+=-") -> str:
    """A name of signs that a tracker takes; others become a hyphen.

    Example:
        >>> plain_name("validation top-5 (%)", r"\\w -")
        'validation top-5 -'
    """
    return re.sub(rf"[^{signs}]+", "-", name).strip(". ") or "-"


def _plain(value: object) -> Setting:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _find_points(record: Record) -> list[tuple[int, dict[str, float]]]:
    curve = record.curve or {}
    names = [name for name in curve if name != "gradient_evaluations"]
    found = []
    for place, at in enumerate(curve.get("gradient_evaluations", [])):
        seen = {name: x for name in names if (x := curve[name][place]) is not None}
        if at is not None and seen:
            found.append((int(at), seen))
    return found


def _digest(record: Record) -> str:
    """Sixteen signs, of the run and when it began: one that is run again is another."""
    return hashlib.sha256(repr((*record.key, record.seed, record.started)).encode()).hexdigest()[:16]
