"""One comparison of a study: what it is called, which targets it has, and what its search left out."""

from collections.abc import Sequence

from steepest.compare.running.jobs import Record
from steepest.compare.spec import Spec

PRUNED: str = "pruned"  # the status of a search run that a pruner stopped


def name_of(spec: Spec) -> str:
    """Unique in the study: the workload's name, and the batch size where several are compared."""
    return str(getattr(spec, "name", "") or spec.workload.name)


def targets_of(spec: Spec) -> tuple[float, ...]:
    """All targets; the first is the workload's own, by which methods are ordered."""
    return tuple(getattr(spec, "targets", ())) or (spec.workload.target,)


def pruned(records: Sequence[Record]) -> int:
    """How many runs a pruner stopped."""
    return sum(record.status == PRUNED for record in records)


def found_by(record: Record) -> float | None:
    """What a run adds to the search: its validation metric, unless it diverged, failed or was stopped early."""
    return record.validation_metric if record.status == "finished" else None
