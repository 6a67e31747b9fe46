"""A training function of the user's as a workload: its budget stands where data does, a sample for each step."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from steepest._errors import InputError
from steepest.data import Split, Splits
from steepest.training.definitions import fields
from steepest.training.definitions.workload import Workload


def workload_from_function(
    function: Callable[[Any], object], *, name: str, steps: int, validations: int, **options: Any
) -> Workload:
    """What :meth:`Workload.from_function` makes."""
    of = f"workload {name!r}: "
    fields.function(f"{of}function", function, "of a run, which it trains")
    steps, validations = fields.positive(f"{of}steps", steps), fields.positive(f"{of}validations", validations)
    if steps % validations:
        raise ValueError(f"{of}steps must divide into {validations} validations, got {steps}")
    data, model = _Steps(steps // validations), _NoModel(name)
    return Workload(name, data, model, batch_size=1, epochs=validations, function=function, **options)


@dataclass(frozen=True)
class _Steps:
    """Stand for the steps between two validations."""

    count: int

    def __call__(self, data_dir: Path | None) -> Splits:
        nothing = torch.zeros(self.count, 1, dtype=torch.float32, device="cpu")
        return Splits(*(Split(part, part[:, 0]) for part in (nothing, nothing[:1], nothing[:1])))


@dataclass(frozen=True)
class _NoModel:
    """Stand where others build a model."""

    name: str

    def __call__(self) -> nn.Module:
        raise InputError(f"{self.name!r} is a function, which does not show its model")
