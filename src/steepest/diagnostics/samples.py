"""A batch of a user's data: its samples, how a model is called with them, and one of them alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

LossFunction = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Samples:
    """What a model and a loss are given, with the samples in the first dimension of its tensors; ``count`` of them."""

    inputs: Any
    targets: Any
    count: int

    @property
    def per_sample(self) -> tuple[Any, Any]:
        """For ``vmap``: 0 where a tensor holds a row for each sample, ``None`` where one value is for all."""
        return tuple(tree_map(lambda x: 0 if self._has_rows(x) else None, part) for part in (self.inputs, self.targets))

    def rows(self, start: int, stop: int) -> "Samples":
        """Some of the samples."""

        def cut(leaf: Any) -> Any:
            return leaf[start:stop] if self._has_rows(leaf) else leaf

        return Samples(tree_map(cut, self.inputs), tree_map(cut, self.targets), min(stop, self.count) - start)

    def _has_rows(self, leaf: Any) -> bool:
        return isinstance(leaf, Tensor) and leaf.dim() > 0 and len(leaf) == self.count


def samples_of(batch: object, device: torch.device) -> Samples:
    """The samples of one batch, on a device.

    Raises:
        TypeError: it is neither a pair (inputs, targets) nor a mapping.
    """
    match batch:
        case Mapping():
            inputs = targets = _to(dict(batch), device)
        case (Tensor() | Mapping() | tuple() | list() as first, second):
            inputs, targets = (_to(dict(p) if isinstance(p, Mapping) else p, device) for p in (first, second))
        case _:
            inputs = targets = None
    rows = [leaf for leaf in tree_leaves((inputs, targets)) if isinstance(leaf, Tensor) and leaf.dim() > 0]
    if not rows or (isinstance(inputs, Tensor) and inputs.dim() == 0):
        raise TypeError(
            "data must give pairs (inputs, targets) or dicts of tensors with the samples in their first dimension, got "
            f"{type(batch).__name__}; one batch alone is [(inputs, targets)]"
        )
    return Samples(inputs, targets, len(rows[0]))


def _to(part: Any, device: torch.device) -> Any:
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, part)


def outputs_of(model: nn.Module, inputs: Any) -> Any:
    """What a model makes of inputs: a dict's entries are its keyword arguments, a tuple's its positional ones."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


def loss_of(model: nn.Module, loss_fn: LossFunction, samples: Samples) -> Tensor:
    """The mean loss over samples, one number.

    Raises:
        TypeError: ``loss_fn`` cannot be called with what the model returns.
        ValueError: it is not one number.
    """
    return loss_from(outputs_of(model, samples.inputs), loss_fn, samples.targets)


def loss_from(outputs: Any, loss_fn: LossFunction, targets: Any) -> Tensor:
    """The mean loss of outputs, as :func:`loss_of`."""
    try:
        loss = loss_fn(outputs, targets)
    except (TypeError, AttributeError) as error:
        if isinstance(outputs, Tensor):
            raise
        raise TypeError(
            f"loss_fn must take what the model returns, a {type(outputs).__name__}, and raised "
            f"{type(error).__name__}; pick the logits, as in lambda outputs, targets: loss_fn(outputs[0], targets)"
        ) from error
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"loss_fn must return one number, the mean over the batch, as a tensor, got {got}")
    return loss.reshape(())
