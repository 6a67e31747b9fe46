"""How a model does on a split: its mean loss and its mean metric."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.data import Split
from steepest.training.definitions.ranks import ALONE, Ranks
from steepest.training.definitions.workload import Workload


@contextmanager
def evaluated(optimizer: Optimizer) -> Iterator[None]:
    """While a model is evaluated: an optimizer with other weights for that, as Schedule-Free has, puts them there."""
    set_mode(optimizer, "eval")
    try:
        yield
    finally:
        set_mode(optimizer, "train")


def set_mode(optimizer: Optimizer, mode: str) -> None:
    """Put an optimizer that has both into ``train`` or ``eval``."""
    if all(callable(getattr(optimizer, name, None)) for name in ("train", "eval")):
        getattr(optimizer, mode)()


def set_task(model: nn.Module, task: int) -> None:
    """Tell a model that wants to know which task its next inputs are of, as one with a head for each does."""
    if callable(chosen := getattr(model, "set_task", None)):
        chosen(task)


@torch.no_grad()
def evaluate(workload: Workload, model: nn.Module, split: Split, ranks: Ranks = ALONE) -> tuple[float, float]:
    """Mean loss and mean metric over a split, in evaluation mode; the model is left in training mode.

    The ranks share the samples, and call the model equally often.
    """
    ranks.settle(model)
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64, device="cpu")
    for start in range(0, len(split), workload.evaluation_batch):
        # Copies: a model, a loss or a metric that works in place must not change the data of the next evaluation.
        inputs, targets = (t[start : start + workload.evaluation_batch].clone() for t in (split.inputs, split.targets))
        mine = ranks.share(len(inputs))
        count = mine.stop - mine.start
        some = mine if count else slice(0, 1)
        outputs, targets = model(inputs[some]), targets[some]
        if count:
            values = [
                one_number(name, workload, f(outputs, targets))
                for name, f in (("loss", workload.loss), ("metric", workload.metric))
            ]
            sums += count * torch.tensor(values, dtype=sums.dtype, device=sums.device)
    model.train()
    ranks.release(model)
    loss, metric = ranks.total(sums).tolist()
    return loss / len(split), metric / len(split)


def one_number(name: str, workload: Workload, value: Any) -> float:
    """A loss or a metric as a number.

    Raises:
        InputError: it is none, or several.
    """
    size = getattr(value, "shape", ())
    if math.prod(size) == 1 and not isinstance(value, str | bytes):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    got = f"shape {tuple(size)}" if math.prod(size) != 1 else type(value).__name__
    raise InputError(f"the {name} of {workload.name!r} must be one number, the mean over the batch, got {got}")


def reaches(workload: Workload, metric: float) -> bool:
    """Whether a metric is at the target or better."""
    return metric >= workload.target if workload.higher_is_better else metric <= workload.target
