"""The batches of a training loop of the user's own: pairs, or tables of a model's arguments."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

LossFunction = Callable[[Any, Any], Tensor]


def endless(loader: Iterable[object]) -> Iterator[object]:
    """The batches of a loader, over and over.

    Raises:
        ValueError: it gives none, or none in a later pass, as a generator does.

    Example:
        >>> from itertools import islice
        >>> list(islice(endless([1, 2]), 5))
        [1, 2, 1, 2, 1]
    """
    passes = 0
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            when = (
                f" in pass {passes + 1}; pass a list or a DataLoader, which can be gone through again" if passes else ""
            )
            raise ValueError(f"loader must give batches, got none{when}")
        passes += 1


def forward(model: nn.Module, loss_fn: LossFunction, batch: object, device: torch.device) -> tuple[Any, Any, Tensor]:
    """Outputs, targets and loss of a batch: a pair ``(inputs, targets)``, or a mapping of a model's arguments.

    A mapping is also what ``loss_fn`` gets for the targets. Inputs that are a tuple or a list are positional arguments,
    those that are a mapping keyword arguments.

    Raises:
        TypeError: the batch is neither, or the loss is not one number as a tensor.
    """
    if isinstance(batch, Mapping):
        inputs = targets = _to(dict(batch), device)
    elif isinstance(batch, tuple | list) and len(batch) == 2:
        inputs, targets = _to(batch[0], device), _to(batch[1], device)
    else:
        raise TypeError(
            f"loader must give pairs (inputs, targets) or mappings of a model's arguments, got {type(batch).__name__}"
            + (f" of {len(batch)}" if isinstance(batch, tuple | list) else "")
        )
    if isinstance(inputs, Mapping):
        outputs = model(**inputs)
    else:
        outputs = model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
    loss = loss_fn(outputs, targets)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TypeError(f"loss_fn must return one number, the mean over the batch, as a tensor, got {got}")
    return outputs, targets, loss.reshape(())


def _to(part: Any, device: torch.device) -> Any:
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, part)
