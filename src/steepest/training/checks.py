"""What is tried before the first run, in a process that runs will happen in: the workload by itself, and one step of
every method. Nothing of what is seen here goes any further than whether it can be had at all."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from steepest._errors import InputError
from steepest.data import Split, Splits, Tasks
from steepest.data.items import Items
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.ranks import Ranks
from steepest.training.definitions.workload import Workload
from steepest.training.loop.beginning import begun, fresh_model, initial_weights
from steepest.training.loop.evaluate import evaluate, one_number, set_task
from steepest.training.loop.functions import try_function
from steepest.training.loop.items import batch_at
from steepest.training.process.randomness import seed_generators

_SECONDS = 1.0  # for evaluating a whole split, if it is to be had in so many
_MOST_LABELS = 2000
Stage = Callable[[str], object]


def check_workload(workload: Workload, splits: Splits, seed: int, stage: Stage) -> None:
    """A model from the workload's function, and loss and metric on all three parts of its data.

    Args:
        stage: is told which part of the check begins.

    Raises:
        InputError: it cannot be trained or evaluated; so does whatever the user's code raises.
    """
    if workload.function is not None:  # which is called for every method
        return
    stage("when its model is made")
    device = splits.train.inputs.device
    seed_generators(seed)
    model = fresh_model(workload)
    if not any(p.requires_grad for p in model.parameters()):
        raise InputError(f"the model of {workload.name!r} has no parameter that needs a gradient")
    model = model.to(device)
    for number, task in enumerate(splits.tasks):
        set_task(model, number)
        of_it = f" of task {number + 1}" if isinstance(splits, Tasks) else ""
        for name, split in zip(Splits._fields, task, strict=True):
            stage(f"on its {_part(name)} data{of_it}")
            _check_split(workload, model, name, split)


def check_method(assignment: Assignment, ranks: Ranks, stage: Stage) -> str | None:
    """One step of a method, and one batch of its validation and of its test, as a run would take them.

    Returns:
        The :func:`~.run.initial_weights`; ``None`` where the ranks hold parts of them.

    Raises:
        InputError: it cannot be had; so does whatever the user's code raises.
    """
    if assignment.workload.function is not None:
        stage("in its first step")
        return try_function(assignment, ranks)
    stage("when its optimizer is made")
    with begun(assignment, ranks) as run:
        held = {id(p) for group in run.optimizer.param_groups for p in group["params"]}
        if not held & {id(p) for p in run.model.parameters()}:
            raise InputError(
                f"the optimizer of {assignment.method.name} holds no parameter of the model that it was made for"
            )
        weights = initial_weights(run.model, ranks)
        stage("in its first step")
        run.take_step()
        first = run.leg.splits
        for name, split in (("validation", first.validation), ("test", first.test)):
            stage(f"on {name} data after a step")
            run.evaluate(split.at(slice(0, min(assignment.batch_size, assignment.workload.evaluation_batch))))
    return weights


@torch.no_grad()
def _check_split(workload: Workload, model: nn.Module, name: str, split: Split) -> None:
    """Check the first samples together with those that differ most from the others; all of them, if that is quick."""
    first = min(len(split), max(workload.batch_size, 2), workload.evaluation_batch)
    if isinstance(split, Items):
        rows = torch.arange(first, dtype=torch.int64, device="cpu")
    else:
        rows = torch.cat([torch.arange(first, device="cpu"), *map(_find_unusual, (split.inputs, split.targets))])
    some = split.at(torch.unique(rows).to(split.inputs.device))
    if name == "train":  # whose metric nobody asks for
        model.eval()
        if isinstance(some, Items) and workload.training_step is not None:
            loss = workload.training_step(model, batch_at(some, some.inputs, workload.collate))
        else:
            loss = workload.loss(model(some.inputs), some.targets)
        _check_finite(workload, name, "loss", one_number("loss", workload, loss))
        return
    began = time.perf_counter()
    seen = evaluate(workload, model, some)
    if (time.perf_counter() - began) / len(some) * len(split) < _SECONDS:
        seen = evaluate(workload, model, split)
    for what, value in (("loss", seen.loss), ("metric", seen.metric)):
        _check_finite(workload, name, what, value)


def _check_finite(workload: Workload, name: str, what: str, value: float) -> None:
    if not math.isfinite(value):
        raise InputError(
            f"the {what} of {workload.name!r} is {value} on its {_part(name)} data, for a model not trained yet"
        )


def _part(name: str) -> str:
    return "training" if name == "train" else name


def _find_unusual(values: Tensor) -> Tensor:
    """Find samples that hold the least and the largest value, one that is not finite, and every label."""
    if values.numel() == 0 or values.is_complex():
        return torch.empty(0, dtype=torch.int64, device="cpu")
    per_sample = values[0].numel()
    flat = values.detach().reshape(-1).cpu()
    places = [flat.float().argmin().reshape(1), flat.float().argmax().reshape(1)]
    if flat.is_floating_point():
        places.append((~torch.isfinite(flat)).nonzero().reshape(-1)[:1])
    else:
        labels, kind = torch.unique(flat, return_inverse=True)
        if len(labels) <= _MOST_LABELS:
            last = torch.zeros(len(labels), dtype=torch.int64, device="cpu")
            places.append(last.scatter_(0, kind, torch.arange(len(flat), device="cpu")))
    return torch.cat(places) // per_sample
