"""Where a run of streaming PCA begins, what is looked at from there, and the one number that it comes to."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from steepest.theory.momentum import Annealing, Simulation, StreamingPCA
from steepest.theory.momentum.arguments import Array, Steps

LEVEL = 0.9  # of the mean of v_1, from a start where all components are equal
Predicted = Callable[[StreamingPCA, Steps, float, Annealing | None], Array]
Measured = Callable[[Simulation], tuple[Array, Array]]


class Quantity(NamedTuple):
    """What a figure shows: ``predict`` of theory, steps, delta and annealing; ``measure``: value and standard error."""

    key: str
    title: str
    axis: str
    caption: str
    log: bool
    predict: Predicted
    measure: Measured


class Start(NamedTuple):
    """``vector``: as for :meth:`StreamingPCA.simulate`; ``number``: what the number is; ``predict`` it of theory, the
    steps that were looked at, delta and annealing; ``measure``: value and standard error, beside its prediction's;
    ``enough``: steps that show it; ``digits`` in which it is written."""

    words: str
    vector: int | None
    quantities: tuple[Quantity, ...]
    number: str
    predict: Callable[[StreamingPCA, Steps, float, Annealing | None], float]
    measure: Callable[[StreamingPCA, Simulation, float], tuple[float, float]]
    enough: Callable[[StreamingPCA, float], float]
    digits: str


def crossing(steps: Array, values: Array, level: float) -> float:
    """When a curve is first at a level, on straight lines between its points; infinite if never."""
    reached = np.flatnonzero(values >= level)
    if not len(reached):
        return np.inf
    last = slice(max(0, reached[0] - 1), reached[0] + 1)
    return float(np.interp(level, values[last], steps[last]))


def _share_outside(found: Simulation) -> tuple[Array, Array]:
    share, replicas = found.outside, len(found.first_exit)
    return share, np.sqrt(share * (1 - share) / replicas)


def _gap(theory: StreamingPCA) -> float:
    return float(theory.eigenvalues[0] - theory.eigenvalues[1])


def _measure_exit(theory: StreamingPCA, found: Simulation, delta: float) -> tuple[float, float]:
    """Find the median, and from the binomial error of a half how far it may be off."""
    off = 0.5 / np.sqrt(len(found.first_exit))
    late, early = (theory.exit_time(delta, 0.5 + sign * off, sphere=True) for sign in (1, -1))
    return found.exit_time(), (late - early) / 2


def _measure_level(theory: StreamingPCA, found: Simulation, delta: float) -> tuple[float, float]:
    at = crossing(found.steps.astype(float), found.mean[:, 0], LEVEL)
    if not np.isfinite(at):
        return at, 0.0
    slope = np.gradient(found.mean[:, 0], found.steps)
    return at, float(np.interp(at, found.steps, found.mean_error[:, 0]) / abs(np.interp(at, found.steps, slope)))


SADDLE = Start(
    "from the saddle, eigenvector 2",
    2,
    (
        Quantity(
            "outside",
            "How many have left the saddle",
            "share of runs with |v_1| > delta",
            "Runs begin at eigenvector 2. The theory's law is that of v at a time, on the sphere (ours), not of first "
            "passage.",
            False,
            lambda theory, steps, delta, annealing: theory.exit_probability(
                delta, steps, sphere=True, annealing=annealing
            ),
            _share_outside,
        ),
        Quantity(
            "escape",
            "How far they are",
            "variance of v_1",
            "It grows as exp(2 gap k lr / (1 - momentum)) until the sphere ends it.",
            True,
            lambda theory, steps, delta, annealing: theory.escape_variance(steps, sphere=True, annealing=annealing),
            lambda found: (found.variance[:, 0], found.variance_error[:, 0]),
        ),
    ),
    "median exit time, steps",
    lambda theory, steps, delta, annealing: theory.exit_time(delta, sphere=True),
    _measure_exit,
    lambda theory, delta: 1.3 * theory.exit_time(delta, sphere=True) + 20 / (1 - theory.momentum),
    ",.0f",
)
OPTIMUM = Start(
    "from the optimum, eigenvector 1",
    1,
    (
        Quantity(
            "variance",
            "How far from the optimum they wander",
            "variance of v_2",
            "Runs begin at eigenvector 1; v_2 is the direction in which they wander furthest.",
            True,
            lambda theory, steps, delta, annealing: theory.variance(steps, annealing=annealing)[..., 1],
            lambda found: (found.variance[:, 1], found.variance_error[:, 1]),
        ),
    ),
    "variance of v_2 at the end",
    lambda theory, steps, delta, annealing: float(
        theory.variance(int(np.max(steps)), annealing=annealing)[..., 1],
    ),
    lambda theory, found, delta: (float(found.variance[-1, 1]), float(found.variance_error[-1, 1])),
    lambda theory, delta: 2 / (_gap(theory) * theory.effective_lr) + 5 / (1 - theory.momentum),
    ".4g",
)
SLOPE = Start(
    "from equal components",
    None,
    (
        Quantity(
            "mean",
            "The mean path",
            "mean of v_1",
            "Runs begin where all components are equal, far from every eigenvector; the theory's is the ordinary "
            "differential equation of the mean.",
            False,
            lambda theory, steps, delta, annealing: theory.mean_path(steps, annealing=annealing)[..., 0],
            lambda found: (found.mean[:, 0], found.mean_error[:, 0]),
        ),
    ),
    f"steps until the mean of v_1 is {LEVEL}",
    lambda theory, steps, delta, annealing: crossing(np.asarray(steps), theory.mean_path(steps)[..., 0], LEVEL),
    _measure_level,
    lambda theory, delta: 2 / (_gap(theory) * theory.effective_lr) + 20 / (1 - theory.momentum),
    ",.0f",
)
STARTS = {"saddle": SADDLE, "optimum": OPTIMUM, "equal": SLOPE}
