"""A response over the searched space, fitted to the scores of a search: each point is judged by its neighbours too."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest.training.definitions.range import Choice, Domain

FEWEST = 5  # points with a score: fewer say nothing of a response
MOST = 256  # points that take part, the best ones: time grows with their cube
SPREADS = 3.0  # a score is censored so many times further below the best than the middle one lies
EXPLAINED = 0.1  # of the scores' spread: a response that explains less is none
SURPRISE = 3.0  # standard deviations: a point that beats what the others predict by more is a peak of its own
_DRAWS = 500  # of other searches
_LINEAR = 7.0  # how many lengths a range has that is not searched in its logarithm: as a factor of 1,000
# Variances of the response and of the noise, of scores with variance 1. Which of them hold is left open.
_AMPLITUDES = (0.3, 1.0, 3.0, 10.0)
_NOISES = (0.1, 0.17, 0.3, 0.5, 0.8, 1.2)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Response:
    """What was fitted.

    ``means`` are those of the response at the points, in the units of the scores. ``surprise`` is by how many standard
    deviations a point's score lies above what the other points predict there. ``explained`` is the share of the scores'
    variance that these predictions explain, at most 1; it is negative where they are worse than the mean of all.
    ``again`` is in how many of a hundred other searches each point would be the highest, if the runs had been lucky
    elsewhere: around this response, with the noise that was fitted, on the same points.
    """

    means: tuple[float, ...]
    surprise: tuple[float, ...]
    explained: float
    again: tuple[float, ...]


def fit_response(
    space: Mapping[str, Domain],
    points: Sequence[Mapping[str, Any]],
    scores: Sequence[float],
    noise: Sequence[float] | None = None,
    eligible: Sequence[int] | None = None,
) -> Response | None:
    """Fit a Gaussian process with noise to the scores of a search, higher ones better.

    Its correlation falls to 0.61 where a hyperparameter differs by a factor of e, or by a seventh of a range that is
    searched in itself: a squared exponential of length 1; likewise where another value of a choice is taken. One that
    is not searched at a point counts as in the middle: what decides that is another hyperparameter. The variances of
    response and noise are not fitted but averaged over, each as likely as it makes the scores: a search has few points,
    of which any one value would be taken too seriously. Scores far below the best, and runs without one, are censored:
    how bad they are bends nothing.

    How the length was chosen, and what this choice does to verdicts, is measured in docs/statistics.md.

    Args:
        space: the searched hyperparameters.
        points: values for all of them that are searched there.
        scores: minus infinity for a run without one.
        noise: the variance of each score, as a multiple of that of a single run; 1 where it is not said.
        eligible: the places of the points that could be chosen; all that have a score where it is not said.

    Returns:
        What was fitted, or ``None`` where there is nothing to fit: there are fewer than five scores, or half of them
        are the best.

    Source: C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning" (2006), algorithm 2.1 and
    equations 5.10 to 5.12.

    Example:
        >>> from steepest.training import Range
        >>> space = {"lr": Range(0.001, 1.0)}
        >>> points = [{"lr": 10 ** (-3 + k / 2)} for k in range(7)]
        >>> fit = fit_response(space, points, [0.90, 0.93, 0.95, 0.94, 0.96, 0.92, 0.40])
        >>> [f"{x:.3f}" for x in fit.means]
        ['0.908', '0.927', '0.941', '0.939', '0.947', '0.916', '0.869']
    """
    known = np.array([math.isfinite(score) for score in scores])
    if known.sum() < FEWEST:
        return None
    censored = _censored(np.array(scores, dtype=np.float64))
    mean, deviation = float(censored.mean()), float(censored.std())
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return None
    y = (censored - mean) / deviation
    places = np.array([[x for name, domain in space.items() for x in _place(point, name, domain)] for point in points])
    taking_part = np.sort(np.argsort(-y, kind="stable")[:MOST])
    relative = np.ones(len(y)) if noise is None else np.array(noise, dtype=np.float64)
    fits = [
        _Fit(places[taking_part], y[taking_part], amplitude, variance * relative[taking_part])
        for amplitude, variance in itertools.product(_AMPLITUDES, _NOISES)
    ]
    evidence = np.array([fit.evidence for fit in fits])
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    means = np.round(weights @ np.array([fit.predict(places) for fit in fits]), 9)  # other machines round otherwise
    left_out = weights @ np.array([fit.left_out for fit in fits])
    surprise = np.full(len(y), -np.inf)
    surprise[taking_part] = weights @ np.array([fit.surprise for fit in fits])
    part = y[taking_part]
    smoother = np.zeros((len(y), len(taking_part)))
    for weight, fit in zip(weights, fits, strict=True):
        smoother += weight * fit.smoother(places)
    variance = float(weights @ np.array([variance for _, variance in itertools.product(_AMPLITUDES, _NOISES)]))
    draws = np.random.default_rng(0).normal(size=(_DRAWS, len(taking_part)))
    others = means[taking_part] + np.sqrt(variance * relative[taking_part]) * draws
    could = np.flatnonzero(known) if eligible is None else np.array(eligible)
    highest = could[np.argmax((others @ smoother.T)[:, could], axis=1)]
    return Response(
        means=tuple((mean + deviation * means).tolist()),
        surprise=tuple(surprise.tolist()),
        explained=1.0 - float(((part - left_out) ** 2).sum() / ((part - part.mean()) ** 2).sum()),
        again=tuple((100 * np.bincount(highest, minlength=len(y)) / _DRAWS).tolist()),
    )


def _censored(scores: Array) -> Array:
    """Lift what lies far below the best to where "far" begins; the middle of the scores says how far that is."""
    ranked = np.sort(scores[np.isfinite(scores)])[::-1]
    best, middle = float(ranked[0]), float(ranked[min(max(3, len(scores) // 2), len(ranked) - 1)])
    return scores.clip(min=middle - SPREADS * (best - middle))


def _place(point: Mapping[str, Any], name: str, domain: Domain) -> list[float]:
    """Compute where a value lies, in lengths: of a choice each value on an axis of its own."""
    if isinstance(domain, Choice):
        at = domain.values.index(point[name]) if name in point else None
        return [math.sqrt(0.5) * (i == at) for i in range(len(domain.values))]
    value = point.get(name, domain.middle)
    return [math.log(value) if domain.log else _LINEAR * (value - domain.low) / (domain.high - domain.low)]


class _Fit:
    """Fit a Gaussian process with given variances."""

    def __init__(self, places: Array, y: Array, amplitude: float, noise: Array) -> None:
        self._places, self._amplitude = places, amplitude
        covariance = self._covariance(places) + np.diag(noise)
        self._inverse = inverse = np.linalg.inv(covariance)
        self._weights = inverse @ y
        own = np.diag(inverse)
        self.evidence = float(-0.5 * y @ self._weights - 0.5 * np.linalg.slogdet(covariance)[1])
        self.left_out = y - self._weights / own
        self.surprise = self._weights / np.sqrt(own)

    def _covariance(self, others: Array) -> Array:
        squares: Array = ((others[:, None, :] - self._places[None, :, :]) ** 2).sum(-1)
        found: Array = self._amplitude * np.exp(-0.5 * squares)
        return found

    def predict(self, places: Array) -> Array:
        """Mean of the response at places."""
        found: Array = self._covariance(places) @ self._weights
        return found

    def smoother(self, places: Array) -> Array:
        """Compute the matrix that takes other scores to the means that they would give at places."""
        found: Array = self._covariance(places) @ self._inverse
        return found
