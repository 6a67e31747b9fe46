"""How a model does on a split: its mean loss and its mean metric."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.data import Split
from steepest.data.items import Items
from steepest.training.definitions.ranks import ALONE, Ranks
from steepest.training.definitions.workload import Workload
from steepest.training.loop.items import batch_at
from steepest.training.loop.whole_metrics import WholeMetrics


@contextmanager
def evaluated(optimizer: Optimizer) -> Iterator[None]:
    """While a model is evaluated: an optimizer with other weights for that, as Schedule-Free has, puts them there.

    It trains on from the weights that it had, to the last bit: there and back it would compute them, and round.
    """
    if not has_modes(optimizer):
        yield
        return
    trained = [p.detach() for group in optimizer.param_groups for p in group["params"]]
    before = [p.clone() for p in trained]
    set_mode(optimizer, "eval")
    try:
        yield
    finally:
        set_mode(optimizer, "train")
        for p, weights in zip(trained, before, strict=True):
            p.copy_(weights)


def set_mode(optimizer: Optimizer, mode: str) -> None:
    """Put an optimizer that has both into ``train`` or ``eval``."""
    if has_modes(optimizer):
        getattr(optimizer, mode)()


def has_modes(optimizer: Optimizer) -> bool:
    """Whether an optimizer has other weights for evaluation, as Schedule-Free has."""
    return all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))


def set_task(model: nn.Module, task: int) -> None:
    """Tell a model that wants to know which task its next inputs are of, as one with a head for each does."""
    if callable(chosen := getattr(model, "set_task", None)):
        chosen(task)


class Scores(NamedTuple):
    """How a model does on a split: ``loss`` and ``metric``, and other metrics by their names."""

    loss: float
    metric: float
    others: dict[str, float]


@torch.no_grad()
def evaluate(workload: Workload, model: nn.Module, split: Split, ranks: Ranks = ALONE) -> Scores:
    """Score a model on a split, in evaluation mode; it is left in training mode.

    The ranks share the samples, and call the model equally often.
    """
    ranks.settle(model)
    model.eval()
    sums: dict[str, float] = {}
    whole = WholeMetrics(workload)
    for start in range(0, len(split), workload.evaluation_batch):
        count = min(workload.evaluation_batch, len(split) - start)
        mine = ranks.share(count)
        own = mine.stop - mine.start
        some = split.at(slice(start, start + count)).at(mine if own else slice(0, 1))
        means = _find_means(workload, model, some, whole if own else None)
        for name, value in means.items():
            sums[name] = sums.get(name, 0.0) + own * value
    model.train()
    ranks.release(model)
    total = ranks.total(torch.tensor(list(sums.values()), dtype=torch.float64, device="cpu")).tolist()
    found = {name: value / len(split) for name, value in zip(sums, total, strict=True)} | whole.computed(ranks)
    loss, metric = found.pop("loss"), found.pop(workload.metric_name if workload.metric_name in found else _METRIC)
    return Scores(loss, metric, found)


_METRIC = " metric"  # of outputs and targets, which a workload may call by any name


def _find_means(workload: Workload, model: nn.Module, some: Split, whole: "WholeMetrics | None") -> dict[str, float]:
    """Find what is known of a batch in the mean, and let ``whole`` see what is known of all samples."""
    if workload.has_steps:
        return _find_means_by_steps(workload, model, some, whole)
    # Copies: a model, a loss or a metric that works in place must not change the data of the next evaluation.
    inputs, targets = some.inputs.clone(), some.targets.clone()
    outputs = model(inputs)
    asked = {"loss": workload.loss} | ({} if workload.metric_name in workload.metrics else {_METRIC: workload.metric})
    found = {name: one_number(name.strip(), workload, f(outputs, targets)) for name, f in asked.items()}
    if whole is not None:
        whole.see(outputs, targets)
    return found


def _find_means_by_steps(
    workload: Workload, model: nn.Module, some: Split, whole: "WholeMetrics | None"
) -> dict[str, float]:
    if workload.evaluation_step is None or not isinstance(some, Items):
        raise TypeError("a workload with steps of its own has samples that are items")
    found = workload.evaluation_step(model, batch_at(some, some.inputs, workload.collate))
    of = f"the evaluation_step of {workload.name!r}"
    if not isinstance(found, Mapping):
        raise InputError(f"{of} must return a mapping from names to means, got {type(found).__name__}")
    means = {
        str(name): one_number(str(name), workload, value) for name, value in found.items() if name not in _COLLECTED
    }
    for name in ("loss", workload.metric_name):
        if name not in means and name not in workload.metrics:
            raise InputError(f"{of} must say {name!r}, got {', '.join(map(repr, found)) or 'nothing'}")
    if workload.metrics:
        if missing := [name for name in _COLLECTED if name not in found]:
            raise InputError(f"{of} must say {missing[0]!r} too, which the metrics of whole splits are of")
        if whole is not None:
            whole.see(*(found[name] for name in _COLLECTED))
    return means


_COLLECTED = ("outputs", "targets")


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
