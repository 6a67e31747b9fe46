"""Learning rate and momentum that change during a run."""

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from steepest.diagnostics.subject import whole
from steepest.optim.arguments import check_number
from steepest.theory.momentum.arguments import Steps, check_stable, step_counts

Factor = Mapping[int, float] | Callable[[int], float]


@dataclass(frozen=True)
class Annealing:
    """What lr and momentum are multiplied by, from step to step.

    A mapping ``{step: factor}`` holds each factor from its step on, counted from 0, and 1 before the first; factors
    multiply the run's own lr and momentum, not each other. A function of the step does the same step by step.

    **Which form**: that of ``torch.optim.SGD`` and of :func:`steepest.optim.step.scaled_step`, where the rate stands
    outside of the buffer,

    .. code-block:: text

        m <- mu_t m + g,    v <- v - lr_t m    is    v_t+1 = v_t - lr_t g + mu_t (lr_t / lr_t-1) (v_t - v_t-1)

    so that under a changing rate the past counts ``lr_t / lr_t-1`` times what it does in the form ``mu (v_t - v_t-1)``.
    With few changes, and many times 1 / (1 - momentum) steps between them, both forms are alike.
    A momentum that is 0 for a while finds the last gradient in the buffer when it returns, as the rule says;
    ``torch.optim.SGD`` finds there what was in it before.

    Example:
        >>> annealing = Annealing(lr={300: 0.1}, momentum={500: 0.0})
        >>> [(p.first, p.steps, round(p.lr, 6), p.momentum) for p in pieces_of(annealing, 0.01, 0.9, 1000)]
        [(0, 300, 0.01, 0.9), (300, 200, 0.001, 0.9), (500, 500, 0.001, 0.0)]
    """

    lr: Factor = field(default_factory=dict)
    momentum: Factor = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, factor in (("lr", self.lr), ("momentum", self.momentum)):
            if not callable(factor) and not isinstance(factor, Mapping):
                raise TypeError(f"annealing of {name} must be a dict of factors or a function, got {factor!r}")
            for step in factor if isinstance(factor, Mapping) else ():
                whole(f"annealing of {name}: a step", step, 0)


class Piece(NamedTuple):
    """Steps in which nothing changes: from step ``first`` on, ``steps`` of them."""

    first: int
    steps: int
    lr: float
    momentum: float


def pieces_of(
    annealing: Annealing | None, lr: float, momentum: float, steps: int, curvature: float = 0.0
) -> list[Piece]:
    """The run of ``steps`` steps in pieces.

    Args:
        curvature: the largest that must be stable in all pieces.

    Raises:
        TypeError: ``annealing`` is none.
        ValueError: at some step lr or momentum is out of range, or unstable.
    """
    if annealing is None:
        annealing = Annealing()
    if not isinstance(annealing, Annealing):
        raise TypeError(f"annealing must be an Annealing or None, got {annealing!r}")
    rates = list(_factors("lr", annealing.lr, steps))
    momenta = list(_factors("momentum", annealing.momentum, steps))
    firsts = sorted({first for first, _ in rates + momenta})
    pieces = []
    for first, end in itertools.pairwise([*firsts, steps]):
        piece = Piece(first, end - first, lr * _value_at(first, rates), momentum * _value_at(first, momenta))
        _check(piece, curvature)
        pieces.append(piece)
    return pieces


class Plan(NamedTuple):
    """Pieces of a run up to the last of some steps; these steps in ascending order, each once; and the places in
    them, of the shape in which they were asked for."""

    pieces: list[Piece]
    marks: list[int]
    back: npt.NDArray[np.intp]


def plan(steps: Steps, annealing: Annealing | None, lr: float, momentum: float, curvature: float) -> Plan:
    """What a prediction after each of ``steps`` steps needs; errors as of :func:`pieces_of`."""
    marks, back = np.unique(step_counts(steps), return_inverse=True)
    pieces = pieces_of(annealing, lr, momentum, int(marks.max(initial=0)), curvature)
    return Plan(pieces, marks.tolist(), back)


def stretches(pieces: Sequence[Piece], marks: Sequence[int]) -> Iterator[list[Piece]]:
    """For every mark, a number of steps in ascending order, the pieces that lead there from the mark before it."""
    now, rest = 0, iter(pieces)
    piece = next(rest, None)
    for mark in marks:
        found = []
        while now < mark and piece is not None:
            end = min(mark, piece.first + piece.steps)
            found.append(piece._replace(first=now, steps=end - now))
            now = end
            if end == piece.first + piece.steps:
                piece = next(rest, None)
        yield found


def _factors(name: str, factor: Factor, steps: int) -> Iterator[tuple[int, float]]:
    """Yield the steps at which a factor changes, and to what, from step 0 on."""
    if isinstance(factor, Mapping):
        changes = iter(sorted({0: 1.0, **factor}.items()))
    else:
        changes = ((step, factor(step)) for step in range(max(1, steps)))
    last = None
    for step, now in changes:
        check_number(f"the factor of {name} at step {step}", now, "a finite number", math.isfinite)
        if now != last and (step < steps or step == 0):
            yield step, float(now)
        last = now


def _value_at(step: int, changes: Sequence[tuple[int, float]]) -> float:
    return changes[bisect_right(changes, step, key=lambda change: change[0]) - 1][1]


def _check(piece: Piece, curvature: float) -> None:
    at = f"times its factor at step {piece.first}"
    check_number(f"lr {at}", piece.lr, "a finite number above 0", lambda x: 0 < x < math.inf)
    check_number(f"momentum {at}", piece.momentum, "a number in [0, 1)", lambda x: 0 <= x < 1)
    check_stable(curvature, piece.lr, piece.momentum)
