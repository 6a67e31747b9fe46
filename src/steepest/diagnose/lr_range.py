"""A range test of a method on a workload, as a study would train them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from steepest._errors import InputError, argument
from steepest._machine import device_named
from steepest.schedules import LRRange, lr_range_test
from steepest.schedules.range_test import AROUND, refining
from steepest.training.code.lookup import find_method, find_workload, load_data
from steepest.training.definitions.budget import steps_per_epoch
from steepest.training.definitions.estimator import Batch
from steepest.training.definitions.method import Method
from steepest.training.definitions.space import middle_of
from steepest.training.definitions.workload import Workload
from steepest.training.loop.batches import Batches
from steepest.training.loop.beginning import fresh_model
from steepest.training.loop.gradients import attached
from steepest.training.process.randomness import seed_generators

_ARGUMENTS = ("start_lr", "end_lr", "num_iter", "mode", "restart", "refine_iter")


@dataclass(frozen=True)
class Range:
    """What was found, and what it is of: ``settings`` as they were asked for, with those that were not."""

    workload: Workload
    method: Method
    found: LRRange
    settings: dict[str, Any]
    hyperparameters: dict[str, Any]


def sweep(
    workload: str,
    method: str,
    *,
    start_lr: float = 1e-6,
    end_lr: float = 10.0,
    num_iter: int = 100,
    mode: Literal["exp", "linear"] = "exp",
    restart: bool = False,
    refine_iter: int | None = None,
    seed: int = 0,
    device: str = "auto",
    data_dir: Path | None = None,
    progress: Callable[[int], object] = lambda expected: None,
) -> Range:
    """A range test of a method on a workload: initial weights and data order are those of a run with that seed.

    What the method searches beside the lr stands in the middle of its range. Of a sequence of tasks it is the first.

    Args:
        num_iter: gradients of a batch; a method that pays several a step takes so many steps fewer.
        refine_iter: likewise, and as for :func:`~steepest.schedules.lr_range_test`, with an epoch for the loader.
        progress: called for every loss, with the number of those that are expected.

    Raises:
        InputError: a name is unknown, an argument cannot be used, or the data is not there.
    """
    found_workload, found_method = find_workload(workload), find_method(method)
    if "lr" not in found_method.space:
        raise InputError(f"{found_method.name} searches no lr, of which a range test would find bounds")
    where = device_named(device)
    train = load_data(found_workload, data_dir).to(torch.device(where)).tasks[0].train
    values = middle_of(found_method.space)
    seed_generators(seed)
    model = fresh_model(found_workload).to(where)
    optimizer = found_method.build(model, values)
    model.train()
    batches = Batches(train, found_workload.batch_size, seed, found_workload.augment)
    cost = found_method.cost
    if refine_iter is None:
        left = steps_per_epoch(len(train), found_workload.batch_size) - num_iter
        refine_iter = 0 if restart else cost * refining(left // cost)
    settings = {
        "start_lr": start_lr,
        "end_lr": end_lr,
        "num_iter": num_iter,
        "mode": mode,
        "restart": restart,
        "refine_iter": refine_iter,
        "seed": seed,
        "device": where,
        "batch_size": found_workload.batch_size,
    }
    rates = num_iter // cost // 10 + 1 if restart else num_iter // cost
    expected = (num_iter + refine_iter) // cost + rates + (len(AROUND) if refine_iter else 0)
    told = _told(found_workload.loss, partial(progress, expected))
    with attached(found_method.estimators, model, optimizer, seed) as gradients:

        def gradient(batch: Any) -> Tensor:
            return gradients(Batch(model, told, *batch))

        try:
            found = lr_range_test(
                model,
                optimizer,
                told,
                batches,
                start_lr=start_lr,
                end_lr=end_lr,
                num_iter=num_iter // cost,
                mode=mode,
                restart=restart,
                refine_iter=refine_iter // cost,
                closure=found_method.closure,
                gradient=gradient,
            )
        except ValueError as error:
            sentence = str(error)
            for name in _ARGUMENTS:
                sentence = sentence.replace(name, argument(name))
            raise InputError(sentence) from error
    values.pop("lr")
    found = replace(found, gradient_evaluations=found.gradient_evaluations * cost)
    return Range(found_workload, found_method, found, settings, values)


def sentences(swept: Range) -> list[str]:
    """What was found, for a reader."""
    found = swept.found
    what = f"{swept.method.name} on {swept.workload.name}"
    said = []
    if found.bounds is not None:
        said.append(f"{what}: something is learnt from lr {found.bounds[0]:.3g} to {found.bounds[1]:.3g}.")
    if found.suggestion is not None:
        said.append(f"A start for a rate that falls to 0: {found.suggestion:.3g}.")
    if found.note:
        said.append(f"{found.note[0].upper()}{found.note[1:]}.")
    return said


def _told(loss: Callable[[Tensor, Tensor], Tensor], progress: Callable[[], object]) -> Callable[[Any, Any], Tensor]:
    """Tell of every call of a loss."""

    @wraps(loss, assigned=())
    def telling(outputs: Any, targets: Any) -> Tensor:
        progress()
        return loss(outputs, targets)

    if hasattr(loss, "ignore_index"):
        telling.ignore_index = loss.ignore_index  # type: ignore[attr-defined]
    return telling
