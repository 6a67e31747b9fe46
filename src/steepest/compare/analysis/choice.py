"""Which point of a search is taken for the final runs."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from steepest.compare.analysis.response import EXPLAINED, FEWEST, SPREADS, SURPRISE, Response, fit_response
from steepest.compare.records.record import Record
from steepest.compare.spec import MethodSpec, Spec

_GUESSED = 3.0  # variance of what a short run lets expect of a long one, as a multiple of that of a run


class Tried(NamedTuple):
    """A point of a search, by its number, and its runs on the whole budget, one for each tuning seed."""

    point: int
    runs: tuple[Record, ...]

    @property
    def score(self) -> float | None:
        """The mean validation metric, if no run was lost."""
        found = [run.found for run in self.runs]
        known = [x for x in found if x is not None]
        return statistics.fmean(known) if known and len(known) == len(found) else None

    @property
    def loss(self) -> float:
        """The mean validation loss; infinite where one is not known."""
        losses = [run.validation_loss for run in self.runs]
        known = [x for x in losses if x is not None]
        return statistics.fmean(known) if known and len(known) == len(losses) else math.inf


@dataclass(frozen=True)
class Choice:
    """The point that the final runs take, and why.

    ``record`` is its run on the first tuning seed, ``score`` the mean over all of them. ``response`` is what was fitted
    to the scores of the search, if anything was; its numbers are in the order of ``points``. ``reason`` says why the
    best score was taken all the same, which is ``best``.
    """

    record: Record
    score: float
    best: float
    response: Response | None = None
    points: tuple[int, ...] = ()
    reason: str = ""


def best_of(spec: Spec, tuned: Iterable[Record]) -> Record | None:
    """The point of the best single score: validation metric, then the lower validation loss, then the earlier point."""
    finished = [r for r in tuned if r.phase == "tune" and r.found is not None]
    sign = -1 if spec.workload.higher_is_better else 1
    return min(
        finished, key=lambda r: (sign * (r.validation_metric or 0.0), r.validation_loss or 0.0, r.trial), default=None
    )


def finalists_of(spec: Spec, method: MethodSpec, ended: Sequence[Record]) -> list[int]:
    """The numbers of the points that are run further, of a search all of whose first runs have ended, in the order of
    the points; fewer where fewer have a score.

    They are those that would be chosen first; with a screen the fit is taken wherever there is one, since short runs
    only say which part of the range is worth a long one.
    """
    tried = [Tried(i, (record,)) for i, record in enumerate(ended)]
    live = [t for t in tried if t.score is not None]
    if spec.choice == "best":
        response = None
    elif spec.screen:
        response = _fit(spec, method, tried, [1.0] * len(tried)).response
    else:
        choice = choose(spec, method, tried)
        response = None if choice is None or choice.reason else choice.response
    if response is None:
        live.sort(key=lambda t: _rank(spec, t))
    else:
        live.sort(key=lambda t: (-response.means[t.point], t.loss, t.point))
    return sorted(t.point for t in live[: spec.finalists])


def choose(
    spec: Spec, method: MethodSpec, tried: Sequence[Tried], short: Sequence[Record] | None = None
) -> Choice | None:
    """The point that a search of these runs has found; ``None`` if none of them has a score.

    With ``fitted`` it is the tried point where the response that is fitted to all scores is highest: the best single
    score is the luckiest one as well, and another search would be lucky elsewhere. The best score is taken with
    ``best``; where there are too few scores to fit, or half of them are the best, or the response explains next to
    nothing of them; and where that score beats what the other points predict there by more than three standard
    deviations, so that the response is not as smooth as it is taken for.

    The mean over several seeds counts as so much less noisy. Of a point that had only a short run the response is
    guessed, and counts little: what was fitted to the short runs there, and what the others have gained on that.

    Args:
        tried: the points with a run on the whole budget, in their order. One that has been run on more seeds than
            another is a finalist, and a finalist alone is chosen.
        short: the runs on a part of the budget, one for every point, if there were any.
    """
    most = max((len(t.runs) for t in tried), default=0)
    last = [t for t in tried if t.score is not None and len(t.runs) == most]
    if not last:
        return None
    best = min(last, key=lambda t: _rank(spec, t))
    taken = Choice(best.runs[0], best.score or 0.0, best.score or 0.0)
    if spec.choice == "best":
        return taken
    if short is None:
        eligible = [i for i, t in enumerate(tried) if t in last]
        fit = _fit(spec, method, tried, [1 / len(t.runs) for t in tried], eligible)
    else:
        fit = _fit_beside_short(spec, method, tried, short)
    points = tuple(t.point for t in tried) if short is None else tuple(range(len(short)))
    taken = replace(taken, response=fit.response, points=points, reason=fit.reason)
    if fit.reason or fit.response is None:
        return taken
    if fit.response.surprise[points.index(best.point)] > SURPRISE:
        return replace(taken, reason="it stands out from what the other points predict")
    if fit.response.explained < EXPLAINED and short is None:
        return replace(taken, reason="no score follows from the others")
    means = dict(zip(points, fit.response.means, strict=True))
    chosen = min(last, key=lambda t: (-means[t.point], t.loss, t.point))
    return replace(taken, record=chosen.runs[0], score=chosen.score or 0.0)


class _Fitted(NamedTuple):
    """Hold what was fitted, or why nothing was."""

    response: Response | None
    reason: str = ""


def _fit(
    spec: Spec,
    method: MethodSpec,
    tried: Sequence[Tried],
    noise: Sequence[float],
    eligible: Sequence[int] | None = None,
) -> _Fitted:
    """Fit a response to the scores of points."""
    scores = [_orient(spec, t.score) for t in tried]
    points = [t.runs[0].hyperparameters for t in tried]
    return _explained(fit_response(method.space, points, scores, noise, eligible), scores)


def _explained(response: Response | None, scores: Sequence[float]) -> _Fitted:
    if response is not None:
        return _Fitted(response)
    few = sum(map(math.isfinite, scores)) < FEWEST
    return _Fitted(
        None, f"fewer than {FEWEST} points have a score" if few else "the better half of the scores are equal"
    )


def _fit_beside_short(spec: Spec, method: MethodSpec, finalists: Sequence[Tried], short: Sequence[Record]) -> _Fitted:
    """Fit a response to the scores of the finalists and, for all other points, to what their short runs let expect."""
    points = [record.hyperparameters for record in short]
    shorts = [_orient(spec, record.found) for record in short]
    before = fit_response(method.space, points, shorts)
    known = {t.point: _orient(spec, t.score) for t in finalists if t.score is not None}
    if before is None:
        return _explained(before, shorts)
    if len(known) < 2:
        return _Fitted(None, "fewer than 2 finalists have a score")
    gained = statistics.fmean(score - before.means[point] for point, score in known.items())
    worst, top = min(known.values()), max(known.values())
    lowest = worst - SPREADS * (top - worst)
    seeds = {t.point: len(t.runs) for t in finalists}
    scores = [
        known.get(i, -math.inf) if i in seeds else max(before.means[i] + gained, lowest) for i in range(len(short))
    ]
    noise = [1 / seeds[i] if i in seeds else _GUESSED for i in range(len(short))]
    return _explained(fit_response(method.space, points, scores, noise, sorted(known)), scores)


def _orient(spec: Spec, score: float | None) -> float:
    """Turn a score so that higher is better, and the lowest is none."""
    return -math.inf if score is None else score if spec.workload.higher_is_better else -score


def _rank(spec: Spec, tried: Tried) -> tuple[float, float, int]:
    return (-_orient(spec, tried.score), tried.loss, tried.point)
