"""Online SGD of a student on its teacher's labels, many runs at once."""

import math
import time as clock
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from steepest.optim.step import scaled_step
from steepest.theory.committee.examples import BLOCK, Examples
from steepest.theory.committee.integrals import Array
from steepest.theory.committee.order_parameters import OrderParameters, error_of, overlaps
from steepest.theory.committee.rule import CONVENTIONS, Rule

ROWS = 4096  # of given inputs at a time

_Function = Callable[[Tensor], Tensor]


class Simulation(NamedTuple):
    """What S runs of SGD did, at P times.

    ``times`` (P,): steps over N, of the nearest whole number of steps. ``Q`` (S, P, K, K), ``R`` (S, P, K, M), ``v``
    (S, P, K), ``T`` (S, M, M), ``A`` (M,): as of :class:`OrderParameters`. ``generalization_error`` (S, P): half the
    mean squared error without the label's noise, on normal inputs by the formula, on given ones the mean over them.
    ``training_loss`` (S, P): half the mean squared error on the finite training set, with its noise; ``None`` without
    one. ``start``: all runs before the first step. ``N``, ``seeds``, ``steps``, ``seconds``; ``conventions``: in words.
    """

    times: Array
    Q: Array
    R: Array
    T: Array
    v: Array
    A: Array
    generalization_error: Array
    training_loss: Array | None
    start: OrderParameters
    N: int
    seeds: tuple[int, ...]
    steps: int
    seconds: float
    conventions: str = CONVENTIONS

    def start_of(self, run: int) -> OrderParameters:
        """The order parameters of a run before its first step, from which a prediction can start."""
        q, r, t, v, a = self.start
        return OrderParameters(q[run], r[run], t[run], v[run], a)


class Networks(NamedTuple):
    """Weights of S networks: ``w`` (S, K, N) and ``v`` (S, K)."""

    w: Tensor
    v: Tensor


def activation_of(name: str) -> tuple[_Function, _Function]:
    """The activation g and its derivative."""
    if name == "erf":
        return (lambda x: torch.erf(x / math.sqrt(2))), (lambda x: math.sqrt(2 / math.pi) * torch.exp(-x * x / 2))
    if name == "relu":
        return torch.relu, (lambda x: (x > 0).to(x.dtype))
    return (lambda x: x), torch.ones_like


def step(rule: Rule, student: Networks, x: Tensor, y: Tensor) -> Networks:
    """One step of all runs: the library's own, without momentum, with decoupled weight decay.

    What :class:`Rule` calls ``weight_decay / N``, the part of a weight that is taken off, is ``lr * weight_decay`` in
    :func:`steepest.optim.step.scaled_step`.

    Args:
        x: inputs (S, N), divided by ``sqrt N``.
        y: labels (S,).
    """
    w, v = student
    n = w.shape[-1]
    value, slope = activation_of(rule.activation)
    fields = torch.matmul(w, x[:, :, None])[:, :, 0]
    outputs = value(fields)
    err = (y - (v * outputs).sum(dim=1))[:, None]
    w = _descend(w, (-err * v * slope(fields))[:, :, None] * x[:, None, :], rule.lr, rule.weight_decay / n)
    if rule.lr_output is not None:
        v = _descend(v, -err * outputs, rule.lr_output / n, rule.weight_decay / n)
    return Networks(w, v)


def _descend(weights: Tensor, gradient: Tensor, lr: float, shrinkage: float) -> Tensor:
    moved = scaled_step(
        weights,
        gradient,
        None,
        scale=None,
        lr=lr,
        momentum=0.0,
        weight_decay=shrinkage / lr,
        decay="decoupled",
        nesterov=False,
    )
    return moved.param


class Runs:
    """Students and their teachers, and what is measured of them as they learn."""

    def __init__(self, rule: Rule, teacher: Networks, student: Networks, examples: Examples) -> None:
        self._rule, self._teacher, self._student, self._examples = rule, teacher, student, examples
        self._root = math.sqrt(teacher.w.shape[-1])
        self._value, _ = activation_of(rule.activation)
        self._wanted: list[Tensor] = [] if examples.inputs is None else self._over_inputs(teacher)
        self._labels: list[Tensor] = []
        if examples.sets is not None:
            answers = self._over_sets(teacher)
            self._labels = [a + rule.noise * found.zeta for a, found in zip(answers, examples.sets, strict=True)]

    def learn(self, times: Array, seeds: tuple[int, ...]) -> Simulation:
        """Take the steps, and measure at ``times`` (P,), which ascend.

        Raises:
            RuntimeError: a run diverged to weights that are not finite.
        """
        began, n = clock.perf_counter(), self._student.w.shape[-1]
        counts = [round(float(t) * n) for t in times]
        wanted, measured, start = Counter(counts), [], self._overlaps()
        for i in range(counts[-1] + 1):
            if i % BLOCK == 0 or i in wanted:
                self._check(i)
            if i in wanted:
                measured += [self._measure()] * wanted[i]
            if i == counts[-1]:
                break
            if i % BLOCK == 0:
                x, y = self._block()
            self._student = step(self._rule, self._student, x[i % BLOCK], y[i % BLOCK])
        q, r, v, error, loss = (np.stack(part, axis=1) for part in zip(*measured, strict=True))
        return Simulation(
            times=np.array(counts) / n,
            Q=q,
            R=r,
            T=start.T,
            v=v,
            A=start.A,
            generalization_error=error,
            training_loss=loss if self._labels else None,
            start=start,
            N=n,
            seeds=seeds,
            steps=counts[-1],
            seconds=clock.perf_counter() - began,
        )

    def _block(self) -> tuple[Tensor, Tensor]:
        """Draw the next steps' inputs (steps, S, N), divided by ``sqrt N``, and labels (steps, S)."""
        x, zeta = self._examples.block()
        x /= self._root
        fields = torch.einsum("bsn,smn->bsm", x, self._teacher.w)
        return x, self._answer(fields, self._teacher.v) + self._rule.noise * zeta

    def _answer(self, fields: Tensor, v: Tensor) -> Tensor:
        return (self._value(fields) * v).sum(dim=-1)

    def _over_inputs(self, networks: Networks) -> list[Tensor]:
        """Compute what networks say of all given inputs: of some rows (rows, S) after the other."""
        found, (w, v) = [], networks
        inputs = self._examples.inputs
        for rows in () if inputs is None else torch.split(inputs, ROWS):
            fields = rows.double() @ w.flatten(0, 1).T / self._root
            found.append(self._answer(fields.view(-1, *w.shape[:2]), v))
        return found

    def _over_sets(self, networks: Networks) -> list[Tensor]:
        """Compute what networks say of their own training sets, (samples,) each."""
        sets = self._examples.sets
        if sets is None:
            return []
        return [self._answer(s.x @ w.T / self._root, v) for s, w, v in zip(sets, *networks, strict=True)]

    def _overlaps(self) -> OrderParameters:
        w, v = (part.numpy() for part in self._student)
        return overlaps(w, self._teacher.w.numpy(), v, self._teacher.v[0].numpy())

    def _measure(self) -> tuple[Array, Array, Array, Array, Array]:
        found = self._overlaps()
        error = error_of(found, self._rule.activation)
        if self._wanted:
            apart = zip(self._over_inputs(self._student), self._wanted, strict=True)
            error = torch.cat([a - b for a, b in apart]).square().mean(dim=0).numpy() / 2
        missed = zip(self._over_sets(self._student), self._labels, strict=True)
        loss = np.array([float((a - b).square().mean()) / 2 for a, b in missed])
        return found.Q, found.R, found.v, error, loss

    def _check(self, steps: int) -> None:
        if not all(bool(torch.isfinite(part).all()) for part in self._student):
            raise RuntimeError(
                f"a run diverged: after {steps} steps its weights are not finite; take a smaller lr than "
                f"{self._rule.lr:g}"
            )
