"""The training batches of a run."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from steepest.data import Split
from steepest.training.definitions.budget import steps_per_epoch
from steepest.training.process.randomness import derived_seed

Augment = Callable[[Tensor, torch.Generator], Tensor]


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
        inputs, targets = self._split.inputs[chosen], self._split.targets[chosen]
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
