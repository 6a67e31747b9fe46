"""The training batches of a run."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from steepest.data import Split
from steepest.data.loaded import Loaded
from steepest.training.definitions.budget import steps_per_epoch
from steepest.training.process.randomness import derived_seed, lent_generators

Augment = Callable[[Tensor, torch.Generator], Tensor]


class TrainingBatches(Protocol):
    """Endless batches that can be resumed."""

    def __next__(self) -> tuple[Tensor, Tensor]: ...

    def state_dict(self) -> dict[str, Any]:
        """The place in the data."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where :meth:`state_dict` was taken."""
        ...


def batches_of(split: Split, batch_size: int, seed: int, augment: Augment | None = None) -> TrainingBatches:
    """The batches of a part: of tensors in memory, or as its DataLoader gives them, which has sizes of its own."""
    if isinstance(split, Loaded):
        return LoadedBatches(split, seed, augment)
    return Batches(split, batch_size, seed, augment)


class Batches(Iterator[tuple[Tensor, Tensor]]):
    """Endless batches, each epoch in a new random order; the last incomplete batch of an epoch is dropped.

    Args:
        seed: of the order. ``augment`` draws from a generator of its own, on the device of the inputs.

    Example:
        >>> batches = Batches(Split(torch.arange(6), torch.arange(6)), batch_size=2, seed=0)
        >>> first, state, second = next(batches), batches.state_dict(), next(batches)
        >>> batches.load_state_dict(state)
        >>> torch.equal(next(batches)[0], second[0])
        True
    """

    def __init__(self, split: Split, batch_size: int, seed: int, augment: Augment | None = None) -> None:
        self._split = split
        self._batch_size = batch_size
        self._per_epoch = steps_per_epoch(len(split), batch_size)
        self._augment = augment
        self._ordering = torch.Generator().manual_seed(seed)
        self._augmenting = torch.Generator(split.inputs.device).manual_seed(derived_seed("augment", seed))
        self._begin_epoch()

    def __next__(self) -> tuple[Tensor, Tensor]:
        if self._taken == self._per_epoch:
            self._begin_epoch()
        chosen = self._order[self._taken * self._batch_size :][: self._batch_size]
        self._taken += 1
        inputs, targets = (_gather(values, chosen) for values in (self._split.inputs, self._split.targets))
        return (inputs if self._augment is None else self._augment(inputs, self._augmenting)), targets

    def state_dict(self) -> dict[str, Any]:
        """The place in the data: from what this epoch's order was drawn, and how far it has been used."""
        return {"epoch": self._epoch, "taken": self._taken, "augmenting": self._augmenting.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where :meth:`state_dict` was taken."""
        self._ordering.set_state(state["epoch"])
        self._begin_epoch()
        self._taken = state["taken"]
        self._augmenting.set_state(state["augmenting"])

    def _begin_epoch(self) -> None:
        self._epoch = self._ordering.get_state()
        self._order = torch.randperm(len(self._split), generator=self._ordering).to(self._split.inputs.device)
        self._taken = 0


def _gather(values: Tensor, chosen: Tensor) -> Tensor:
    """Gather rows: ``values[chosen]`` to the last bit and stride, sooner where it can be."""
    return values.index_select(0, chosen) if values.is_contiguous() else values[chosen]


class LoadedBatches(Iterator[tuple[Tensor, Tensor]]):
    """Endless batches of a DataLoader, the same for the same seed, whatever else draws random numbers.

    Whoever resumes in the middle of an epoch takes the batches before once more, and leaves them aside.

    Args:
        seed: of the order, and of what the dataset changes at random.
    """

    def __init__(self, split: Loaded, seed: int, augment: Augment | None = None) -> None:
        self._split, self._seed, self._augment = split, seed, augment
        self._augmenting = torch.Generator(split.inputs.device).manual_seed(derived_seed("augment", seed))
        self._begin_epoch(0)

    def __next__(self) -> tuple[Tensor, Tensor]:
        if self._taken == len(self._split.loader):
            self._begin_epoch(self._epoch + 1)
        inputs, targets = self._take()
        return (inputs if self._augment is None else self._augment(inputs, self._augmenting)), targets

    def state_dict(self) -> dict[str, Any]:
        """The place in the data."""
        return {"epoch": self._epoch, "taken": self._taken, "augmenting": self._augmenting.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where :meth:`state_dict` was taken."""
        self._begin_epoch(state["epoch"])
        while self._taken < state["taken"]:
            self._take()
        self._augmenting.set_state(state["augmenting"])

    def _begin_epoch(self, epoch: int) -> None:
        self._epoch, self._taken = epoch, 0
        seed = derived_seed(f"loader {epoch}", self._seed)
        self._lend = lent_generators(seed)
        self._batches = self._split.batches(seed)

    def _take(self) -> tuple[Tensor, Tensor]:
        with self._lend():  # the loader draws from the global generators of the CPU
            batch = next(self._batches)
        self._taken += 1
        return batch
