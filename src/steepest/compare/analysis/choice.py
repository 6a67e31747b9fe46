"""How far a method's search is, which of its points is taken for the final runs, and so which runs there will be."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from steepest.compare.analysis.response import EXPLAINED, FEWEST, SURPRISE, Response, fit_response
from steepest.compare.records.record import Record
from steepest.compare.spec import Shared, Spec


@dataclass(frozen=True)
class Choice:
    """The point that the final runs take, and why.

    ``response`` is what was fitted to the scores of the search, if anything was; its numbers are in the order of
    ``points``, the numbers of the trials. ``reason`` says why the best single score was taken all the same.
    """

    record: Record
    response: Response | None = None
    points: tuple[int, ...] = ()
    reason: str = ""


class Search(NamedTuple):
    """A method's search: ``ended`` runs of ``trials``, the ``best`` of them so far by its score alone, the ``seeds``
    that follow, and what was chosen once all had ended."""

    ended: int
    trials: int
    best: Record | None
    seeds: int
    choice: Choice | None = None

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
        return None if self.choice is None else self.choice.record

    @property
    def finals(self) -> int:
        """Final runs that there have been or will be."""
        return 0 if self.is_lost else self.seeds

    @property
    def planned(self) -> int:
        """All runs of the method."""
        return self.trials + self.finals

    def after(self, spec: Spec, record: Record) -> "Search":
        """The search once one more run of it has ended, without a choice."""
        found = [r for r in (self.best, record) if r is not None]
        return self._replace(ended=self.ended + 1, best=best_of(spec, found))


def unbegun(spec: Shared) -> Search:
    """A search of which no run has ended."""
    return Search(0, spec.trials, None, len(spec.seeds))


def search_of(spec: Spec, tuned: Sequence[Record]) -> Search:
    """How far the search is of which these runs have ended."""
    search = unbegun(spec)._replace(ended=len(tuned), best=best_of(spec, tuned))
    return search._replace(choice=choose(spec, tuned)) if search.is_over else search


def best_of(spec: Spec, tuned: Iterable[Record]) -> Record | None:
    """The point of the best single score: validation metric, then the lower validation loss, then the earlier point."""
    finished = [r for r in tuned if r.found is not None]
    sign = -1 if spec.workload.higher_is_better else 1
    return min(
        finished, key=lambda r: (sign * (r.validation_metric or 0.0), r.validation_loss or 0.0, r.trial), default=None
    )


def choose(spec: Spec, tuned: Sequence[Record]) -> Choice | None:
    """The point that a search of these runs has found; ``None`` if none of them has a score.

    With ``fitted`` it is the tried point where the response that is fitted to all scores is highest: the best single
    score is the luckiest one as well, and another search would be lucky elsewhere. The best single score is taken with
    ``best``; where there are too few scores to fit, or half of them are the best, or the response explains next to
    nothing of them; and where that score beats what the other points predict there by more than three standard
    deviations, so that the response is not as smooth as it is taken for.
    """
    best = best_of(spec, tuned)
    if best is None:
        return None
    if spec.choice == "best":
        return Choice(best)
    tried = sorted(tuned, key=lambda r: r.trial)
    sign = 1 if spec.workload.higher_is_better else -1
    scores = [-math.inf if r.found is None else sign * r.found for r in tried]
    response = fit_response(spec.method(best.method).space, [r.hyperparameters for r in tried], scores)
    points = tuple(r.trial for r in tried)
    if response is None:
        few = sum(map(math.isfinite, scores)) < FEWEST
        reason = f"fewer than {FEWEST} points have a score" if few else "the better half of the scores are equal"
        return Choice(best, reason=reason)
    if response.surprise[points.index(best.trial)] > SURPRISE:
        return Choice(best, response, points, "it stands out from what the other points predict")
    if response.explained < EXPLAINED:
        return Choice(best, response, points, "no score follows from the others")

    def rank(place: int) -> tuple[float, float, int]:
        record = tried[place]
        return (
            -response.means[place],
            math.inf if record.validation_loss is None else record.validation_loss,
            record.trial,
        )

    chosen = min((i for i, r in enumerate(tried) if r.found is not None), key=rank)
    return Choice(tried[chosen], response, points)
