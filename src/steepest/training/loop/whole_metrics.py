"""Metrics that are no mean over batches: of all outputs of a split, such as F1 or mean average precision."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from steepest._errors import InputError
from steepest.training.definitions.ranks import Ranks
from steepest.training.definitions.workload import Workload


class WholeMetrics:
    """A workload's metrics of whole splits, during one evaluation."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._kept: list[tuple[Any, Any]] = []

    def see(self, outputs: Any, targets: Any) -> None:
        """A batch has been evaluated; of several ranks each sees its own."""
        if self._workload.metrics:
            self._kept.append((_freed(outputs), _freed(targets)))

    def computed(self, ranks: Ranks) -> dict[str, float]:
        """The value of each metric, the same on all ranks.

        Raises:
            InputError: one is no number.
        """
        if not self._workload.metrics:
            return {}
        kept = [pair for some in ranks.gathered(self._kept) for pair in some]
        found: dict[str, float] = {}
        for name, metric in self._workload.metrics.items():
            value = self._compute(metric, kept)
            if isinstance(value, Mapping):  # several of which one has the name, as those of torchmetrics' detection
                found |= {str(other): float(x) for other, x in value.items() if other != name and _is_number(x)}
                value = value.get(name)
            if not _is_number(value):
                raise InputError(
                    f"metrics[{name!r}] of {self._workload.name!r} must be one number, got {type(value).__name__}"
                )
            found[name] = float(value)
        return found

    def _compute(self, metric: Any, kept: list[tuple[Any, Any]]) -> Any:
        if not (callable(getattr(metric, "update", None)) and callable(getattr(metric, "compute", None))):
            return metric(*(_joined([pair[k] for pair in kept]) for k in (0, 1)))
        own = copy.deepcopy(metric)
        own.reset()
        for outputs, targets in kept:
            own.update(outputs, targets)
        return own.compute()


def _is_number(value: Any) -> bool:
    if isinstance(value, str | bytes | bool) or math.prod(getattr(value, "shape", ())) != 1:
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _freed(value: Any) -> Any:
    """Bring what is kept to the CPU, where there is room for all of it."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _freed(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_freed(part) for part in value)
    return value


def _joined(values: list[Any]) -> Any:
    """Join tensors along their first dimension, and lists; others, and tensors of other shapes, stay a list."""
    if all(isinstance(value, Tensor) and value.ndim for value in values):
        if len({value.shape[1:] for value in values}) == 1:
            return torch.cat(values)
    elif all(isinstance(value, list) for value in values):
        return [part for value in values for part in value]
    return values
