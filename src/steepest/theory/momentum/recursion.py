r"""Means and covariances of momentum SGD in a quadratic loss, one eigenvector of its Hessian each: formulas, no checks.

.. code-block:: text

    rule     m <- mu m + h v + xi        v <- v - eta m        E[xi_i xi_j] = S_ij        e = eta / (1 - mu), a step k

    SDE      dv_i = -h_i v_i dt + sqrt(e) dB_i                E[dB_i dB_j] = S_ij dt      t = e k            (derived)
             E v_i   = exp(-h_i t) v_i(0)
             Cov_ij  = e S_ij (1 - exp(-(h_i + h_j) t)) / (h_i + h_j)
             forever   e S_ij / (h_i + h_j)                   that is  H C + C H = e S
    exact    E (v_i, m_i) and the products of pairs (v_i, m_i), (v_j, m_j), step by step; with x = eta h, forever
             eta^2 S_ij (1 - mu^2) / ((1 - mu)^2 ((1 + mu)(x_i + x_j) - x_i x_j) + mu (x_i - x_j)^2)         (ours)
             i = j:  eta S_ii (1 + mu) / ((1 - mu) h (2 (1 + mu) - eta h))                                   (derived)

The last but one solves the discrete Lyapunov equation of the companion matrix, two directions at a time: with
``a = 1 + mu - x`` the rule is ``v(k+1) = a v(k) - mu v(k-1) - eta xi``; multiplied by ``v_j(k)`` and by itself, and
averaged, it gives three linear equations for ``E v_i(k) v_j(k)`` and ``E v_i(k+1) v_j(k)`` both ways.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import ndtri

from steepest.theory.momentum.annealing import Piece, stretches
from steepest.theory.momentum.arguments import Array

LIMIT = 1e100
"""What grows beyond, as at a saddle after too many steps, is said to be this: a number, where infinity makes NaN."""


def stationary(h: Array, noise: Array, lr: float, momentum: float, exact: bool) -> Array:
    """The covariance (d, d) that is reached in the end, of curvatures (d,) above 0 and noise (d, d)."""
    if not exact:
        return lr / (1 - momentum) * noise / np.add.outer(h, h)
    x = lr * h
    both, apart = np.add.outer(x, x), np.subtract.outer(x, x)
    below = (1 - momentum) ** 2 * ((1 + momentum) * both - np.multiply.outer(x, x)) + momentum * apart**2
    return lr**2 * (1 - momentum**2) * noise / below


def covariances(h: Array, noise: Array, pieces: Sequence[Piece], marks: Sequence[int], exact: bool) -> Array:
    """The covariances (T, d, d) at steps ``marks``, in ascending order, of a run from one point."""
    walk = _walk_exactly if exact else _walk
    d = len(h)
    return np.array([*walk(h, noise, pieces, marks)]).reshape(len(marks), d, d)


def means(h: Array, start: Array, pieces: Sequence[Piece], marks: Sequence[int], exact: bool) -> Array:
    """The means (T, d) at steps ``marks`` of a run from ``start``."""
    now, found = np.stack([start, np.zeros_like(start)], axis=1), []
    for way in stretches(pieces, marks):
        for piece in way:
            if exact:
                step = _companion(h, piece)
                for bit in _bits(piece.steps):
                    now = _bounded(np.einsum("dij,dj->di", step, now)) if bit else now
                    step = _bounded(step @ step)
            else:
                time = piece.steps * piece.lr / (1 - piece.momentum)
                now = _bounded(now * _exponential(-h * time)[:, None])
        found.append(now[:, 0])
    return np.array(found).reshape(len(marks), len(h))


def exit_steps(h: Array, noise: Array, lr: float, momentum: float, delta: float, probability: float) -> Array:
    """The steps (d,) after which ``|v| > delta`` has the probability, by the SDE from 0, of curvatures below 0.

    .. code-block:: text

        k = log(1 + 2 gap delta^2 / (e s^2 z^2)) / (2 gap e)        gap = -h,  z = Phi^-1(1 - probability / 2)
    """
    e, gap = lr / (1 - momentum), -h
    with np.errstate(divide="ignore"):  # without noise it stays
        return np.log1p(2 * gap / e / noise * (delta / quantile(probability)) ** 2) / (2 * gap * e)


def exact_exit_steps(h: float, noise: float, lr: float, momentum: float, delta: float, probability: float) -> float:
    """The same from the exact variance, of one direction: the first whole step."""
    if noise == 0:
        return math.inf
    wanted = (delta / quantile(probability)) ** 2

    def reached(k: int) -> bool:
        run = [Piece(0, k, lr, momentum)]
        return bool(covariances(np.array([h]), np.array([[noise]]), run, [k], exact=True)[0, 0, 0] >= wanted)

    most = 1
    while not reached(most):
        most *= 2
    return float(bisect_left(range(most), True, key=reached))


def quantile(probability: float) -> float:
    """How many standard deviations a normal number is beyond with the probability, on either side."""
    return float(-ndtri(probability / 2))


def _walk(h: Array, noise: Array, pieces: Sequence[Piece], marks: Sequence[int]) -> Iterator[Array]:
    rate, now = np.add.outer(h, h), np.zeros_like(noise)
    for way in stretches(pieces, marks):
        for piece in way:
            e = piece.lr / (1 - piece.momentum)
            x = -rate * e * piece.steps
            grown = np.where(x == 0, 1, np.expm1(np.minimum(x, math.log(LIMIT))) / np.where(x == 0, 1, x))
            now = _bounded(now * _exponential(x) + e * e * piece.steps * noise * grown)
        yield now


def _walk_exactly(h: Array, noise: Array, pieces: Sequence[Piece], marks: Sequence[int]) -> Iterator[Array]:
    now = np.zeros((len(h), len(h), 2, 2))
    for way in stretches(pieces, marks):
        for piece in way:
            step, kick = _companion(h, piece), np.array([-piece.lr, 1.0])
            added = noise[:, :, None, None] * np.multiply.outer(kick, kick)
            for bit in _bits(piece.steps):
                now = _carried(step, now, added) if bit else now
                added, step = _carried(step, added, added), _bounded(step @ step)
        yield now[:, :, 0, 0]


def _companion(h: Array, piece: Piece) -> Array:
    """Give the matrices (d, 2, 2) that take a direction's mean (v, m) one step further."""
    lr, momentum = piece.lr, piece.momentum
    step = np.empty((len(h), 2, 2))
    step[:, 0, 0], step[:, 0, 1] = 1 - lr * h, -lr * momentum
    step[:, 1, 0], step[:, 1, 1] = h, momentum
    return step


def _carried(step: Array, covariance: Array, added: Array) -> Array:
    return _bounded(step[:, None] @ covariance @ step.transpose(0, 2, 1)[None] + added)


def _bits(count: int) -> Iterator[bool]:
    """Yield the binary digits of a number, the last first: many equal steps are made by squaring."""
    while count:
        yield bool(count & 1)
        count >>= 1


def _exponential(x: Array) -> Array:
    return np.exp(np.minimum(x, math.log(LIMIT)))


def _bounded(values: Array) -> Array:
    return np.clip(values, -LIMIT, LIMIT)
