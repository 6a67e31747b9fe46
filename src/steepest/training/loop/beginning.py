"""Where a run begins: its model, its optimizer, and all that is random seeded."""

import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from steepest._errors import InputError
from steepest.optim.norms import local
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.method import Method
from steepest.training.definitions.ranks import ALONE, Ranks
from steepest.training.definitions.workload import Workload
from steepest.training.loop.average import WeightAverage
from steepest.training.loop.best import BestWeights
from steepest.training.loop.evaluate import set_mode
from steepest.training.loop.evaluations import Evaluations
from steepest.training.loop.gradients import attached
from steepest.training.loop.precision import check_precision, multiplied_by
from steepest.training.loop.run import Run
from steepest.training.loop.unsaved import Unsaved
from steepest.training.process.randomness import seed_generators


@contextmanager
def begun(assignment: Assignment, ranks: Ranks) -> Iterator[Run]:
    """A run before its first step; everything that is random has been seeded."""
    workload, method, train, seed = assignment.workload, assignment.method, assignment.splits.train, assignment.seed
    recipe, device = assignment.own_recipe, train.inputs.device
    check_precision(recipe.precision, method, device)
    seed_generators(seed)
    threads = torch.get_num_threads()
    model = fresh_model(workload).to(device)
    called = ranks.wrap(model)
    if recipe.compile:
        called = torch.compile(called)  # type: ignore[assignment]
    optimizer = checked_optimizer(method, method.build(model, assignment.hyperparameters))
    torch.set_num_threads(threads)  # whatever they thought best
    model.train()
    set_mode(optimizer, "train")
    ranks.draw_apart(seed)
    with (
        attached(method.estimators, model, optimizer, seed) as gradients,
        multiplied_by(recipe.precision),
    ):
        run = Run(
            assignment,
            ranks,
            model,
            called,
            optimizer,
            gradients,
            loss_sum=torch.zeros((), dtype=torch.get_default_dtype(), device=device),
            evaluations=Evaluations(model, train.inputs.ndim, watched=not workload.has_steps),
            unsaved=Unsaved(model, optimizer),
            average=None if recipe.ema is None else WeightAverage(model, recipe.ema),
            scaler=torch.amp.GradScaler(device.type) if recipe.precision == "float16" else None,
            best=BestWeights(model, workload.higher_is_better) if recipe.keep_best else None,
        )
        try:
            yield run
        finally:
            run.release()


def fresh_model(workload: Workload) -> nn.Module:
    """The workload's model, from its own function.

    Raises:
        InputError: what it returns is no module.
    """
    model = workload.model()
    if not isinstance(model, nn.Module):
        raise InputError(f"the model of {workload.name!r} must be a torch.nn.Module, got {type(model).__name__}")
    return model


def initial_weights(model: nn.Module, ranks: Ranks = ALONE) -> str | None:
    """Where a run begins: the machine and its torch, and SHA-256 of all parameters in their order, as ``HOST:WEIGHTS``;
    elsewhere the same draw may be rounded otherwise. ``None`` where the ranks hold parts of them.

    Parameters of lazy modules have no values yet.
    """
    if ranks is not ALONE:
        return None
    digest = hashlib.sha256()
    for p in (p for p in model.parameters() if not is_lazy(p)):
        tensor = local(p.detach()).cpu().contiguous().reshape(-1)
        digest.update(f"{tuple(p.shape)}{p.dtype}".encode())
        digest.update(tensor.view(torch.uint8).numpy().data)
    kernels = torch.backends.cpu.get_cpu_capability()
    host = hashlib.sha256(f"{platform.node()} {kernels} {torch.__version__}".encode()).hexdigest()
    return f"{host[:8]}:{digest.hexdigest()[:32]}"


def checked_optimizer(method: Method, optimizer: Any) -> Any:
    """The optimizer, if a schedule can move its learning rates.

    Raises:
        InputError: it is none, or has a group without an lr.
    """
    groups = getattr(optimizer, "param_groups", None)
    if not groups or not callable(getattr(optimizer, "step", None)):
        raise InputError(
            f"the optimizer of {method.name} must be a torch.optim.Optimizer with parameter groups, got "
            f"{type(optimizer).__name__}"
        )
    if any("lr" not in group for group in groups):
        raise InputError(f"every parameter group of {method.name} must have an 'lr', which the schedule moves")
    return optimizer
