"""The network that is made small: a workload's, trained and kept, or a checkpoint."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest._errors import InputError, argument, one_line
from steepest._files import write_atomically
from steepest._safetensors import to_bytes
from steepest.data import Splits
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.method import Method
from steepest.training.definitions.space import middle_of
from steepest.training.definitions.workload import Workload
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.loop.evaluate import evaluate
from steepest.training.train import train

SUFFIX = ".safetensors"
BASE = f"base{SUFFIX}"


class Base(NamedTuple):
    """A network before it is made small; ``epochs`` and ``seconds`` of its training, 0 of a checkpoint's."""

    model: nn.Module
    epochs: int
    seconds: float


class Points(NamedTuple):
    """How a workload's networks do, in points: percent where the workload says so."""

    workload: Workload
    splits: Splits

    def __call__(self, model: nn.Module, part: str = "validation") -> float:
        """Of a model on a part of the data."""
        metric = evaluate(self.workload, model, getattr(self.splits, part)).metric
        model.eval()
        return metric * (100 if self.workload.percent else 1)

    def on_validation(self, model: nn.Module) -> float:
        """The same of the validation data, which the budget is about."""
        return self(model)


def workload_of(subject: str, workload: str | None) -> str:
    """The name of the workload that a subject is, or that a checkpoint is of.

    Raises:
        ValueError: both say it.
        InputError: the checkpoint cannot be read, or nothing says it.
    """
    if not subject.endswith(SUFFIX):
        if workload is not None:
            raise ValueError(f"workload must be left out where the subject is one, got {workload!r}")
        return subject
    if workload is not None:
        return workload
    found = _read_metadata(Path(subject)).get("workload")
    if found is None:
        raise InputError(f"{subject} does not say of which workload it is: give {argument('workload')}")
    return found


def values_of(method: Method, lr: float | None, name: str) -> dict[str, Any]:
    """A method's hyperparameters: the middle of their ranges, unless the lr is given.

    Raises:
        ValueError: the lr is out of range; ``name`` is what the user calls it.
    """
    if lr is not None and not 0 < lr < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {lr}")
    found = middle_of(method.space)
    return found if lr is None else {**found, "lr": lr}


def make_optimizer(method: Method, values: Mapping[str, Any], named: Any) -> Optimizer:
    """A method's optimizer of named parameters."""
    return method.optimizer(named, **method.fixed, **values)


def trained_base(assignment: Assignment, reference: str, folder: Path, progress: Callable[[float], object]) -> Base:
    """The network that a run comes to, kept in the folder with the workload's reference.

    Raises:
        InputError: the run has diverged.
    """
    path, workload, method = folder / BASE, assignment.workload, assignment.method
    if not path.exists():
        checkpoint = Checkpoint(folder / "checkpoints" / "base.pt")
        states: list[dict[str, Tensor]] = []
        outcome = train(
            assignment,
            with_test=False,
            checkpoint=checkpoint,
            progress=lambda seen: progress(seen.fraction),
            trained=lambda model: states.append(model.state_dict()),
        )
        if not states:
            lr = assignment.hyperparameters["lr"]
            raise InputError(f"{argument('base_lr')} {lr:g} is too high for {method.name}: the base network diverged")
        said = {"workload": reference, "method": method.name, "seconds": f"{outcome.seconds:.3f}"}
        save_weights(states[0], path, said)
        checkpoint.remove()
    seconds = float(_read_metadata(path)["seconds"])
    return Base(_load(workload, path, assignment.splits), assignment.epochs, seconds)


def given_base(workload: Workload, path: Path, splits: Splits) -> Base:
    """A checkpoint's network.

    Raises:
        InputError: it cannot be read, or is of another model.
    """
    return Base(_load(workload, path, splits), 0, 0.0)


def save_weights(state: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a ``state_dict`` as safetensors; tensors that share memory are written one by one."""
    own = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in state.items()}
    write_atomically(path, to_bytes(own, metadata))


def _load(workload: Workload, path: Path, splits: Splits) -> nn.Module:
    model = workload.model()
    try:
        model.load_state_dict(safetensors.torch.load_file(str(path)))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        first = " ".join(line.strip() for line in str(error).splitlines()[:2])  # of mismatches the first is enough
        raise InputError(f"{path} must hold the weights of {workload.name!r}: {one_line(first)}") from error
    return model.to(splits.train.inputs.device).eval()


def _read_metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(str(path), "pt") as file:
            return dict(file.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} cannot be read as safetensors: {one_line(str(error))}") from error
