"""A range test: which learning rates a model learns at, found by trying them in one sweep."""

import csv
import math
import time
from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest._errors import require
from steepest.optim.arguments import check_choice, check_flag, check_integer, check_number
from steepest.schedules.range_curve import WINDOW, RangeCurve, rates
from steepest.schedules.range_reading import read_range
from steepest.schedules.range_sweep import Sweep, kept
from steepest.schedules.sweep_batches import LossFunction

_STEPS_FROM_RESTART = 10
AROUND = tuple(2.0**k for k in range(-4, 3))  # of the sweep's suggestion: rates that are tried again from the start
_STEPS_AROUND = (10, 30)  # fewest and most at each
_SMOOTHING = 0.9


@dataclass(frozen=True)
class LRRange:
    """What a range test has seen. Point ``i`` is what came of steps at ``lr[i]``.

    Attributes:
        lr: learning rates, rising: of the group of parameters whose own is the highest.
        loss: the mean loss of the next batch after the steps at it, over all ranks; the last may be NaN or infinite.
        smoothed: the same without spikes and averaged over what came before; NaN where the loss is not finite.
        information: mutual information of predictions and targets in nats, of the last ten points together (of one,
            after restarts), with the correction of Miller and Madow; ``None`` where the targets are no classes.
        diverged_at: the lr at which the loss was not finite or had left its course, where the sweep ended; or ``None``.
        bounds: lr_min and lr_max: the smallest lr at which the information exceeds its start by more than chance, and
            the last within a tenth of its best before it falls further than chance does, or the loss is not finite. No
            higher than the smoothed loss puts it where chance hides a fall by half, and by that alone where there
            are no classes. ``None`` where nothing was seen.
        suggestion: an lr to start with: half of the largest of ``restarts`` that came as low as the best one, but for a
            tenth of its fall; without them half of the first rate at which the smoothed loss has fallen 0.95 of its
            way. ``None`` where nothing was seen.
        note: what there is to say, in a sentence; empty if nothing.
        gradient_evaluations: what it cost, in gradients of a whole step; each point took a forward pass beside.
        seconds: what it took.
        restarts: rates around the sweep's own suggestion that were tried again from the start, rising, each with the
            mean loss of the last third of its steps, NaN where it was not finite; empty if there were none.
    """

    lr: tuple[float, ...]
    loss: tuple[float, ...]
    smoothed: tuple[float, ...]
    information: tuple[float, ...] | None
    diverged_at: float | None
    bounds: tuple[float, float] | None
    suggestion: float | None
    note: str
    gradient_evaluations: int
    seconds: float
    restarts: tuple[tuple[float, float], ...] = ()

    def to_csv(self, path: str | Path) -> None:
        """Write the points as a table: lr, loss, smoothed and, where there is one, information."""
        columns = {"lr": self.lr, "loss": self.loss, "smoothed": self.smoothed}
        if self.information is not None:
            columns["information"] = self.information
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))

    def plot(self) -> Any:
        """A figure of Plotly's: the loss and the information over the lr, with bounds and suggestion.

        Raises:
            MissingExtraError: Plotly is not installed.
        """
        go = require("plotly.graph_objects", "compare")
        figure = go.Figure()
        figure.add_scatter(x=self.lr, y=self.loss, name="loss", mode="lines", line={"width": 1}, opacity=0.4)
        figure.add_scatter(x=self.lr, y=self.smoothed, name="smoothed loss", mode="lines")
        if self.information is not None:
            figure.add_scatter(x=self.lr, y=self.information, name="information", mode="lines", yaxis="y2")
            figure.update_layout(yaxis2={"title": "information (nats)", "overlaying": "y", "side": "right"})
        if self.bounds is not None:
            figure.add_vrect(*self.bounds, opacity=0.1, line_width=0, fillcolor="#009E73")
        if self.suggestion is not None:
            figure.add_vline(self.suggestion, line_dash="dot")
        ordinary = [loss for loss in self.smoothed if math.isfinite(loss)]
        if ordinary:
            low, high = min(ordinary), max(ordinary[: max(3, len(ordinary) // 2)])
            figure.update_yaxes(range=[low - 0.1 * (high - low), high + 0.5 * (high - low) + 1e-12], selector=0)
        spread = min(self.lr) > 0 and max(self.lr) > 20 * min(self.lr)
        figure.update_xaxes(title="learning rate", type="log" if spread else "linear", exponentformat="power")
        figure.update_layout(yaxis_title="loss")
        return figure


def lr_range_test(
    model: nn.Module,
    optimizer: Optimizer,
    loss_fn: LossFunction,
    loader: Iterable[object],
    *,
    start_lr: float = 1e-6,
    end_lr: float = 10.0,
    num_iter: int = 100,
    mode: Literal["exp", "linear"] = "exp",
    restart: bool = False,
    refine_iter: int | None = None,
    steps_per_lr: int | None = None,
    smoothing: float | None = None,
    diverge_factor: float = 4.0,
    accumulation_steps: int = 1,
    autocast: torch.dtype | None = None,
    scaler: Any = None,
    closure: bool = False,
    gradient: Callable[[object], Tensor] | None = None,
    classes: int | None = None,
) -> LRRange:
    r"""Try learning rates from low to high, and leave everything as it was.

    .. code-block:: text

        for lr in start_lr ... end_lr:   steps at lr;   note the loss, and what the predictions tell of the classes
        bounds      lr_min: the least lr at which the information exceeds its start by 4 standard errors
                    lr_max: the last within a tenth of its best before it falls 4 errors below, or the loss ends
        suggestion  half of the first lr at which the smoothed loss has fallen 0.95 of its way

        for lr in 4, 2, 1, 1/2 ... 1/16 times that:   back to the start;   steps at lr, on the same batches
        suggestion  half of the largest lr that came as low as the best one, but for a tenth of its fall

    With ``restart=False`` one sweep of ``num_iter`` steps: cheap, but what a rate does depends on the rates before it.
    With ``restart=True`` every rate begins at the same weights, on the same batches: unbiased, and coarser, since
    ``num_iter`` steps are shared out, ten a rate.

    Weights, buffers, ``.grad``, the optimizer's state and groups, the scaler, modes, what hooks keep, and the random
    numbers of torch, NumPy, Python, the loader and its sampler are afterwards what they were, bit for bit, also after
    an exception or Ctrl-C. The groups keep the ratios of their learning rates. Where ``torch.distributed`` is
    initialised every rank calls it with its own batches; losses are averaged and counts summed, so that all end
    together.

    The second half is done where one pass over the loader pays for it: a sweep has learnt at low rates what a start at
    a high one might break, and shows the rates at which the loss falls fastest, not those that are still stable.

    **Cost**: ``num_iter + refine_iter`` gradients, and a forward pass for each rate; a copy of weights, gradients and
    optimizer state. An optimizer that asks its closure for several gradients a step costs as many.

    **What it is not**: a search. The suggestion is for training that decays the lr from there to 0; it was chosen on
    one workload, see the documentation.

    Args:
        model: trained in training mode, unless it is in it already: then every module keeps its own.
        optimizer: any, ours or torch's; the group with the highest lr has the tried one.
        loss_fn: called as ``loss_fn(outputs, targets)``; the mean over the batch, one number.
        loader: pairs ``(inputs, targets)``, or mappings of a model's arguments, which are also the targets; gone
            through again when it ends, so that a generator will not do.
        start_lr: the lowest, above 0.
        end_lr: the highest, above ``start_lr``.
        num_iter: steps in all, at least 3.
        mode: ``"exp"``: equal ratios; ``"linear"``: equal differences.
        restart: begin each rate at the weights of now.
        refine_iter: steps beside ``num_iter``, shared out over the seven rates of the second half, at least ten each;
            0 for none. If ``None`` as many as one pass over the loader has more batches than ``num_iter``, at most
            210, where it has a length and ``restart`` is not asked for.
        steps_per_lr: 1 in a sweep and 10 from restarts, if ``None``.
        smoothing: share of the past in the smoothed loss, in [0, 1); 0.9 in a sweep and 0 from restarts, if ``None``.
        diverge_factor: the sweep ends where the smoothed loss lies above its least by ``diverge_factor - 1`` times the
            larger of that and its fall so far; above 1, infinite for never. A loss that is not finite always ends it.
        accumulation_steps: batches whose mean gradient is a step's.
        autocast: a dtype, such as ``torch.bfloat16``, in which the forward passes are computed.
        scaler: a ``torch.amp.GradScaler``.
        closure: call ``optimizer.step(closure)``, as LBFGS and S-SGD need.
        gradient: instead of a forward and a backward pass, called as ``gradient(batch)``: adds the batch's gradient to
            ``.grad``, from several points or otherwise estimated, and returns the loss. What it keeps is not put back.
        classes: their number, if the targets are classes; found out by looking, if ``None``.

    Raises:
        TypeError: an argument or a batch is of the wrong kind.
        ValueError: an argument is out of range, or the loader gives no batch.

    Source: Smith, arXiv 1506.01186; by mutual information Vasudevan, Entropy 22 (2020) 560, of which this is a
    reconstruction from the abstract.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(64, 4)
        >>> data = [(x, (x[:, 0] > 0).long())]
        >>> line = nn.Linear(4, 2)
        >>> sgd = torch.optim.SGD(line.parameters(), lr=0.1)
        >>> found = lr_range_test(line, sgd, nn.CrossEntropyLoss(), data, end_lr=100.0)
        >>> found.bounds[0] < found.suggestion < found.bounds[1], found.gradient_evaluations <= 100
        (True, True)
    """
    _check(model, optimizer, loss_fn, start_lr, end_lr, num_iter, diverge_factor, accumulation_steps)
    check_choice("mode", mode, ("exp", "linear"))
    for name, flag in (("restart", restart), ("closure", closure)):
        check_flag(name, flag)
    if closure and scaler is not None:
        raise ValueError("closure and scaler cannot be had together: a GradScaler's step takes no closure")
    if gradient is not None:
        if not callable(gradient):
            raise TypeError(f"gradient must be a function of a batch, got {gradient!r}")
        if accumulation_steps > 1 or scaler is not None or autocast is not None:
            raise ValueError("gradient cannot be had together with accumulation_steps, scaler or autocast")
    if autocast is not None and not isinstance(autocast, torch.dtype):
        raise TypeError(f"autocast must be a dtype, such as torch.bfloat16, or None, got {autocast!r}")
    steps = (_STEPS_FROM_RESTART if restart else 1) if steps_per_lr is None else steps_per_lr
    check_integer("steps_per_lr", steps)
    if steps < 1 or num_iter // steps < 3:
        raise ValueError(f"num_iter must pay for 3 rates of steps_per_lr steps, got {num_iter} and {steps}")
    share = (0.0 if restart else _SMOOTHING) if smoothing is None else smoothing
    check_number("smoothing", share, "a number in [0, 1)", lambda value: 0 <= value < 1)
    started = time.perf_counter()
    curve = RangeCurve(share, diverge_factor, 1 if restart else WINDOW)
    lrs = rates(float(start_lr), float(end_lr), num_iter // steps, mode)
    again = _count_refining(refine_iter, loader, num_iter, accumulation_steps, restart)
    with kept(model, optimizer, scaler, loader):
        if not model.training:
            model.train()
        sweep = Sweep(
            model, optimizer, loss_fn, accumulation_steps, autocast, scaler, closure, classes, curve, gradient
        )
        with torch.enable_grad():
            sweep.run(lrs, loader, restart=restart, steps_per_lr=steps)
    tried: list[tuple[float, float]] = []
    if again and (near := read_range(curve).suggestion) is not None:
        around = [share * near for share in AROUND]
        with kept(model, optimizer, scaler, loader), torch.enable_grad():
            if not model.training:
                model.train()
            tried = list(zip(around, sweep.run_from_start(around, loader, again), strict=True))
    return LRRange(
        tuple(curve.lr),
        tuple(curve.loss),
        tuple(curve.smoothed),
        tuple(curve.information) or None,
        curve.diverged_at,
        *read_range(curve, tried),
        sweep.gradient_evaluations,
        time.perf_counter() - started,
        tuple(tried),
    )


def _count_refining(
    refine_iter: int | None, loader: Iterable[object], num_iter: int, accumulation_steps: int, restart: bool
) -> int:
    """Count the steps at each rate of the second half, 0 for none."""
    if refine_iter is not None:
        fewest = _STEPS_AROUND[0]
        check_integer("refine_iter", refine_iter)
        if refine_iter < 0 or 0 < refine_iter < fewest * len(AROUND):
            raise ValueError(
                f"refine_iter must be 0 or pay for {fewest} steps at {len(AROUND)} rates, {fewest * len(AROUND)}, "
                f"got {refine_iter}"
            )
        if refine_iter and restart:
            raise ValueError("refine_iter cannot be had together with restart: all its rates begin at the start")
        return refine_iter // len(AROUND)
    batches = len(loader) if isinstance(loader, Sized) and not restart else 0
    return refining(batches // accumulation_steps - num_iter) // len(AROUND)


def refining(left: int) -> int:
    """Say how many steps the second half takes where so many batches of a pass are left.

    Example:
        >>> refining(351 - 100), refining(200 - 100), refining(17 - 100)
        (210, 98, 0)
    """
    fewest, most = _STEPS_AROUND
    steps = min(most, left // len(AROUND))
    return steps * len(AROUND) if steps >= fewest else 0


def _check(
    model: nn.Module,
    optimizer: Optimizer,
    loss_fn: LossFunction,
    start_lr: float,
    end_lr: float,
    num_iter: int,
    diverge_factor: float,
    accumulation_steps: int,
) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
    if not callable(loss_fn):
        raise TypeError(f"loss_fn must be a function of outputs and targets, got {loss_fn!r}")
    for name, lr in (("start_lr", start_lr), ("end_lr", end_lr)):
        check_number(name, lr, "a finite number above 0", lambda value: 0 < value < math.inf)
    if not start_lr < end_lr:
        raise ValueError(f"start_lr must be below end_lr, got {start_lr} and {end_lr}")
    for name, number in (("num_iter", num_iter), ("accumulation_steps", accumulation_steps)):
        check_integer(name, number)
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    check_number("diverge_factor", diverge_factor, "a number above 1", lambda value: value > 1)
