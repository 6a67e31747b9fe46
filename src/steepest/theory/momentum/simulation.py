"""Thousands of runs of momentum SGD at once, moved by the library's own step."""

import math
import time as clock
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from steepest.diagnostics.subject import whole
from steepest.optim.arguments import check_number
from steepest.optim.step import scaled_step
from steepest.theory.momentum.annealing import Piece, stretches
from steepest.theory.momentum.arguments import Array, Steps, numbered, step_counts

BLOCK = 2**14
"""Normal numbers that are drawn at a time: few enough that torch starts no threads for them, which would wait for
each other on a machine that is busy."""

# From weights and colored normal numbers, (d, R) both, to the gradient that a step takes; it must keep neither.
Gradient = Callable[[Tensor, Tensor], Tensor]
# From normal numbers (n, d, R) of n steps to what the gradient takes; may be done in place.
Color = Callable[[Tensor], Tensor]


class Simulation(NamedTuple):
    """What R runs did, at T moments, in d directions.

    ``steps`` (T,): that were taken; ``times`` (T,): the sum of their lr. ``mean``, ``variance`` (T, d) over the runs,
    with standard errors ``mean_error``, ``variance_error``, of which the last takes the fourth moment as it was
    found; with one run both variance and errors are 0.

    If ``exits`` was asked for: ``outside`` (T,): the part of the runs that was further than delta at the moment, whose
    law is that of the theory's ``exit_time``; ``first_exit`` (R,): the steps, at least 1, after which a run was
    so first, infinite where it never was. Otherwise both are empty.

    ``snapshots`` (S,): steps; ``positions`` (S, R, d) after them. ``seconds``.
    """

    steps: npt.NDArray[np.int64]
    times: Array
    mean: Array
    mean_error: Array
    variance: Array
    variance_error: Array
    outside: Array
    first_exit: Array
    snapshots: npt.NDArray[np.int64]
    positions: Array
    seconds: float

    def exit_time(self, probability: float = 0.5) -> float:
        """The steps after which this part of the runs was outside at once, between two moments on a straight line;
        infinite if it never was. Look often for a sharp figure.

        Raises:
            ValueError: ``exits`` was not asked for, or ``probability`` is not in (0, 1).
        """
        check_number("probability", probability, "a number in (0, 1)", lambda x: 0 < x < 1)
        if not len(self.outside):
            raise ValueError("exits must be given to simulate(), as in exits=(1, 0.3), or there is no exit_time")
        reached = np.flatnonzero(self.outside >= probability)
        if not len(reached):
            return math.inf
        last = slice(max(0, reached[0] - 1), reached[0] + 1)
        return float(np.interp(probability, self.outside[last], self.steps[last]))


def run(
    gradient: Gradient,
    color: Color,
    start: Array,
    pieces: Sequence[Piece],
    replicas: int,
    seed: int,
    at: int | Sequence[int],
    snapshots: Steps,
    exits: tuple[int, float] | None,
) -> Simulation:
    """Take the steps of ``pieces`` from ``start`` (d,) in every replica.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.
        RuntimeError: a run diverged.
    """
    whole("replicas", replicas, 1)
    whole("seed", seed, 0)
    began, steps = clock.perf_counter(), sum(piece.steps for piece in pieces)
    looks, kept = _moments_at(at, steps), _within("snapshots", snapshots, steps)
    watch = _Watch(exits, len(start), replicas)
    begin, noise = torch.from_numpy(start)[:, None].repeat(1, replicas), draws(seed, len(start), replicas, color)
    marks = sorted({*looks.tolist(), *kept.tolist(), steps})
    look_at, keep = {*looks.tolist()}, {*kept.tolist()}
    times, outside, moments, positions = [], [], [], []
    for mark, time, v in _moved(gradient, noise, begin, pieces, marks, watch):
        if mark in look_at:
            times.append(time)
            outside += watch.outside(v)
            moments.append(_moments(v))
        if mark in keep:
            positions.append(v.T.numpy().copy())
    mean, mean_error, variance, variance_error = np.array(moments).swapaxes(0, 1)
    where = np.array(positions).reshape(len(kept), replicas, len(start))
    seconds = clock.perf_counter() - began
    return Simulation(
        *(looks, np.array(times), mean, mean_error, variance, variance_error),
        *(np.array(outside), watch.first(), kept, where, seconds),
    )


def _moved(
    gradient: Gradient,
    noise: Iterator[Tensor],
    v: Tensor,
    pieces: Sequence[Piece],
    marks: Sequence[int],
    watch: "_Watch",
) -> Iterator[tuple[int, float, Tensor]]:
    """Move the replicas (d, R), and give steps taken, their time and where all are, at every mark."""
    buffer: Tensor | None = None
    time = 0.0
    for mark, way in zip(marks, stretches(pieces, marks), strict=True):
        for piece in way:
            for _ in range(piece.steps):
                slope = gradient(v, next(noise))
                v, buffer, _ = scaled_step(
                    v, slope, buffer, scale=None, lr=piece.lr, momentum=piece.momentum, weight_decay=0.0,
                    decay="after_scaling", nesterov=False,
                )  # fmt: skip
                if piece.momentum == 0:
                    buffer = slope  # the step keeps none; the rule's, m = 0 m + g, is this
                watch.look(v)
            time += piece.steps * piece.lr
        if not torch.isfinite(v).all():
            lr = max(piece.lr for piece in pieces)
            raise RuntimeError(
                f"a run diverged: by step {mark} it is not finite; take a smaller lr than {lr:g}, or less momentum"
            )
        yield mark, time, v


def draws(seed: int, dimensions: int, replicas: int, color: Color) -> Iterator[Tensor]:
    """Colored normal numbers (d, R) of one step after the other; overwritten after :data:`BLOCK` or so.

    They come from NumPy's generator in the order step, direction, replica, whatever the size of a block, so that a
    longer run begins as a shorter one.
    """
    generator = np.random.default_rng(seed)
    block = np.empty((max(1, BLOCK // (dimensions * replicas)), dimensions, replicas))
    while True:
        generator.standard_normal(out=block)
        yield from color(torch.from_numpy(block)).unbind()


class _Watch:
    """Note when runs leave ``|v_direction| <= delta`` first; nothing if there are no exits to look for."""

    def __init__(self, exits: tuple[int, float] | None, dimensions: int, replicas: int) -> None:
        self.asked = exits is not None
        if exits is None:
            return
        if not isinstance(exits, tuple) or len(exits) != 2:
            raise TypeError(f"exits must be a tuple of a direction and delta, such as (1, 0.3), or None, got {exits!r}")
        self._index = numbered("exits: the direction", exits[0], dimensions)
        check_number("exits: delta", exits[1], "a finite number above 0", lambda x: 0 < x < math.inf)
        self._delta = exits[1]
        self._inside = torch.ones(replicas, dtype=torch.bool, device="cpu")
        self._steps = torch.zeros(replicas, dtype=torch.int64, device="cpu")

    def look(self, v: Tensor) -> None:
        if self.asked:
            self._inside.logical_and_(v[self._index].abs() <= self._delta)
            self._steps.add_(self._inside)

    def outside(self, v: Tensor) -> list[float]:
        return [float((v[self._index].abs() > self._delta).double().mean())] if self.asked else []

    def first(self) -> Array:
        return np.where(self._inside.numpy(), np.inf, self._steps.numpy() + 1.0) if self.asked else np.empty(0)


def _moments(v: Tensor) -> tuple[Array, Array, Array, Array]:
    """Compute mean and variance over the replicas (d, R), each with its standard error after it."""
    replicas = v.shape[1]
    mean = v.mean(dim=1)
    squares = (v - mean[:, None]).square()
    variance = squares.sum(dim=1) / max(1, replicas - 1)
    error = ((squares.square().mean(dim=1) - squares.mean(dim=1).square()).clamp(min=0) / replicas).sqrt()
    return mean.numpy(), (variance / replicas).sqrt().numpy(), variance.numpy(), error.numpy()


def _moments_at(at: object, steps: int) -> npt.NDArray[np.int64]:
    """Tell after which steps to look, of a number of moments or of the steps themselves."""
    if isinstance(at, int):
        return np.unique(np.linspace(0, steps, whole("at", at, 1)).round().astype(np.int64))
    found = _within("at", at, steps)
    if not len(found):
        raise ValueError("at must hold at least one step, got none")
    return found


def _within(name: str, chosen: object, steps: int) -> npt.NDArray[np.int64]:
    found = np.unique(step_counts(chosen, name))
    if len(found) and found[-1] > steps:
        raise ValueError(f"{name} must not be beyond the {steps} steps of the run, got {found[-1]}")
    return found
