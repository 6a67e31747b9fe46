"""One learning rate after the other, a step each: the mechanics of a range test."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest._kept import all_kept, attributes_kept, gradients_kept, hook_owners
from steepest.schedules.counts import ConfusionCounts
from steepest.schedules.range_curve import RangeCurve
from steepest.schedules.sweep_batches import LossFunction, endless, forward


@dataclass
class Sweep:
    """A model in training, as a range test has it."""

    model: nn.Module
    optimizer: Optimizer
    loss_fn: LossFunction
    accumulation_steps: int
    autocast: torch.dtype | None
    scaler: Any
    closure: bool
    classes: int | None
    curve: RangeCurve
    gradient: Callable[[object], Tensor] | None = None
    gradient_evaluations: int = 0
    _counts: ConfusionCounts | None = field(init=False)
    _losses: list[Tensor] = field(init=False, default_factory=list)  # of a step's gradients

    def __post_init__(self) -> None:
        self.device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        lrs = [float(group["lr"]) for group in self.optimizer.param_groups]
        self._ratios = [lr / max(lrs) if max(lrs) > 0 else 1.0 for lr in lrs]
        ignored = getattr(self.loss_fn, "ignore_index", -100)  # as torch.nn.functional.cross_entropy does
        self._counts = ConfusionCounts(self.classes, ignore_index=ignored)

    def run(self, lrs: Iterable[float], loader: Iterable[object], *, restart: bool, steps_per_lr: int) -> None:
        """Draw the curve; model, optimizer and random numbers are used up."""
        batches = endless(loader)
        some = self._take(batches)
        if restart:
            first = [some, *(self._take(batches) for _ in range(steps_per_lr))]
            with kept(self.model, self.optimizer, self.scaler):
                self.curve.start, _ = self._look(first[-1])
        for lr in lrs:
            with kept(self.model, self.optimizer, self.scaler) if restart else nullcontext():
                self.set_lr(lr)
                for step in range(steps_per_lr):
                    self._step(first[step] if restart else some)
                    if not restart:
                        some = self._take(batches)
                loss, table = self._look(first[-1] if restart else some)
            if self.curve.note(lr, loss, table):
                return

    def run_from_start(self, lrs: Iterable[float], loader: Iterable[object], steps: int) -> list[float]:
        """Take so many steps at each rate from the weights of now, on the same batches.

        Returns:
            The mean loss of the last third of the steps and of the batch after them; not finite once a loss was not.
        """
        batches = endless(loader)
        first = [self._take(batches) for _ in range(steps + 1)]
        return [self._run_at(lr, first) for lr in lrs]

    def _run_at(self, lr: float, batches: list[list[object]]) -> float:
        losses: list[float] = []
        with kept(self.model, self.optimizer, self.scaler):
            self.set_lr(lr)
            for some in batches[:-1]:
                self._losses.clear()
                self._step(some)
                losses.append(self._mean_over_ranks(self._losses[0]))
                if not math.isfinite(losses[-1]):
                    return math.nan
            loss, _ = self._look(batches[-1])
        return statistics.fmean([*losses[-(len(losses) // 3) :], loss])

    def set_lr(self, lr: float) -> None:
        """Give the group with the highest lr this one, and the others theirs in proportion."""
        for group, ratio in zip(self.optimizer.param_groups, self._ratios, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr * ratio)
            else:
                group["lr"] = lr * ratio

    def _take(self, batches: Iterator[object]) -> list[object]:
        return list(islice(batches, self.accumulation_steps))

    def _step(self, batches: list[object]) -> None:
        if self.closure:
            self.optimizer.step(lambda: float(self._gradient(batches)))
        elif self.scaler is not None:
            self._gradient(batches)
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self._gradient(batches)
            self.optimizer.step()

    def _gradient(self, batches: list[object]) -> Tensor:
        """Make the gradient of the mean loss over the batches."""
        self.optimizer.zero_grad(set_to_none=True)
        self.gradient_evaluations += 1
        total = self._backward(batches) if self.gradient is None else self.gradient(batches[0])
        self._losses.append(total)
        return total

    def _backward(self, batches: list[object]) -> Tensor:
        total = torch.zeros((), device=self.device)
        for batch in batches:
            with self._casting():
                _, _, loss = forward(self.model, self.loss_fn, batch, self.device)
            loss = loss / len(batches)
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            total += loss.detach()
        return total

    @torch.no_grad()
    def _look(self, batches: list[object]) -> tuple[float, Tensor | None]:
        """Find the loss after the step, over all ranks, and count the classes that are predicted."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for batch in batches:
            with self._casting():
                outputs, targets, loss = forward(self.model, self.loss_fn, batch, self.device)
            total += loss / len(batches)
            self._count(outputs, targets)
        return self._mean_over_ranks(total), self._table()

    def _mean_over_ranks(self, loss: Tensor) -> float:
        if dist.is_available() and dist.is_initialized():
            loss = loss.detach().double()
            dist.all_reduce(loss)
            loss /= dist.get_world_size()
        return float(loss)

    def _count(self, outputs: Any, targets: Any) -> None:
        if self._counts is None:
            return
        try:
            self._counts.update(outputs, targets)
        except (TypeError, ValueError):
            if self.classes is not None:
                raise
            self._counts = None  # the targets are no classes

    def _table(self) -> Tensor | None:
        if self._counts is None:
            return None
        try:
            table = self._counts.table().cpu()
        except ValueError:
            if self.classes is not None:
                raise
            self._counts = None
            return None
        self._counts.reset()
        return table

    def _casting(self) -> Any:
        return nullcontext() if self.autocast is None else torch.autocast(self.device.type, self.autocast)


@contextmanager
def kept(model: nn.Module, optimizer: Optimizer, scaler: object, *owners: object) -> Iterator[None]:
    """Everything that a step changes, as it was: also what hooks and the scaler keep, after whatever is raised."""
    with ExitStack() as stack:
        stack.enter_context(gradients_kept(model))
        stack.enter_context(attributes_kept(*hook_owners(model, optimizer), *([] if scaler is None else [scaler])))
        stack.enter_context(all_kept(model, optimizer, *owners))
        stack.callback(_reshard, model)  # first of all: else the weights that are put back would not be those in use
        yield


def _reshard(model: nn.Module) -> None:
    """Let FSDP2 go back to its shards, which a forward pass without a backward one does not."""
    if dist.is_available() and dist.is_initialized():
        from torch.distributed.fsdp import FSDPModule

        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()
