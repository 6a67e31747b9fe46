"""Which point of a search is taken for the final runs."""

from collections.abc import Sequence

from steepest.compare.records.record import Record
from steepest.compare.spec import Spec


def choose(spec: Spec, tuned: Sequence[Record]) -> Record | None:
    """The search's best point by validation metric; ties go to the lower validation loss, then to the earlier point."""
    finished = [r for r in tuned if r.status == "finished" and r.validation_metric is not None]
    sign = -1 if spec.workload.higher_is_better else 1
    return min(
        finished, key=lambda r: (sign * (r.validation_metric or 0.0), r.validation_loss or 0.0, r.trial), default=None
    )
