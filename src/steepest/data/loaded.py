"""Training data that a DataLoader gives, batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from steepest._errors import InputError
from steepest._kept import random_numbers_kept
from steepest.data.splits import Split


@dataclass(frozen=True)
class Loaded(Split):
    """What a DataLoader gives in an epoch, for training; ``inputs`` and ``targets`` are a batch of it, to know it by.

    It has ``len(loader)`` batches, the last of which may be smaller. Order and changes at random follow from the run's
    seed: the loader's own generators are seeded in each epoch.

    Raises:
        InputError: the loader has no length or no batch, or a batch is no pair of tensors.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> part = Loaded.of(DataLoader(TensorDataset(torch.zeros(10, 3), torch.zeros(10)), batch_size=4))
        >>> len(part), part.inputs.shape, part.batch_size
        (12, torch.Size([4, 3]), 4)
    """

    loader: "DataLoader[Any]" = field(kw_only=True)

    @classmethod
    def of(cls, loader: "DataLoader[Any]") -> "Loaded":
        """The part that a loader gives; draws one batch, which changes no random number."""
        if not isinstance(loader, DataLoader):
            raise InputError(f"a loader must be a torch.utils.data.DataLoader, got {type(loader).__name__}")
        try:
            count = len(loader)
        except TypeError:
            raise InputError("a DataLoader must have a length; that of an iterable dataset has none") from None
        if not count:
            raise InputError("a DataLoader must give at least one batch, got none")
        with random_numbers_kept((), loader):
            inputs, targets = pair(next(iter(loader)))
        return cls(inputs, targets, loader=loader)

    @property
    def batch_size(self) -> int:
        """Samples of a whole batch."""
        return len(self.inputs)

    def __len__(self) -> int:
        return len(self.loader) * self.batch_size

    def to(self, device: torch.device | str) -> "Loaded":
        return Loaded(self.inputs.to(device), self.targets.to(device), loader=self.loader)

    def batches(self, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """An epoch whose random numbers follow from the seed and torch's global generator; on the part's device."""
        for owner in (self.loader, getattr(self.loader, "sampler", None)):
            if isinstance(own := getattr(owner, "generator", None), torch.Generator):
                own.manual_seed(seed)
        for batch in self.loader:
            inputs, targets = pair(batch)
            yield inputs.to(self.inputs.device), targets.to(self.inputs.device)


def pair(batch: object) -> tuple[Tensor, Tensor]:
    """The inputs and targets of a batch.

    Raises:
        InputError: it is no pair of tensors.
    """
    if isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch):
        return batch[0], batch[1]
    inside = (
        ", ".join(type(part).__name__ for part in batch) if isinstance(batch, tuple | list) else type(batch).__name__
    )
    raise InputError(f"every batch of a DataLoader must be a pair of tensors, inputs and targets, got {inside}")
