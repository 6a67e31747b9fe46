"""How far a method's search is, which of its points is taken for the final runs, and so which runs there will be."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from steepest.compare.records.record import Record
from steepest.compare.spec import Shared, Spec


class Search(NamedTuple):
    """A method's search: ``ended`` runs of ``trials``, the ``best`` of them so far, and the ``seeds`` that follow."""

    ended: int
    trials: int
    best: Record | None
    seeds: int

    @property
    def is_over(self) -> bool:
        return self.ended >= self.trials

    @property
    def is_lost(self) -> bool:
        """Whether it is over and no run of it can be chosen, so that there are no final runs."""
        return self.is_over and self.best is None

    @property
    def chosen(self) -> Record | None:
        """What the final runs take, once the search is over."""
        return self.best if self.is_over else None

    @property
    def finals(self) -> int:
        """Final runs that there have been or will be."""
        return 0 if self.is_lost else self.seeds

    @property
    def planned(self) -> int:
        """All runs of the method."""
        return self.trials + self.finals

    def after(self, spec: Spec, record: Record) -> "Search":
        """The search once one more run of it has ended."""
        found = [r for r in (self.best, record) if r is not None]
        return self._replace(ended=self.ended + 1, best=choose(spec, found))


def unbegun(spec: Shared) -> Search:
    """A search of which no run has ended."""
    return Search(0, spec.trials, None, len(spec.seeds))


def search_of(spec: Spec, tuned: Sequence[Record]) -> Search:
    """How far the search is of which these runs have ended."""
    return unbegun(spec)._replace(ended=len(tuned), best=choose(spec, tuned))


def choose(spec: Spec, tuned: Iterable[Record]) -> Record | None:
    """The search's best point by validation metric; ties go to the lower validation loss, then to the earlier point."""
    finished = [r for r in tuned if r.status == "finished" and r.validation_metric is not None]
    sign = -1 if spec.workload.higher_is_better else 1
    return min(
        finished, key=lambda r: (sign * (r.validation_metric or 0.0), r.validation_loss or 0.0, r.trial), default=None
    )
