"""What a run asks of the processes that it is spread over, and what it asks of a process alone."""

from typing import Any

import torch
from torch import Tensor, nn


class Ranks:
    """A process alone: the whole of every batch is its own."""

    rank = 0
    size = 1
    device: torch.device | None = None
    """Where this rank is to train, if the study does not say so."""

    @property
    def name(self) -> str:
        """How a run is spread, and which part of it this is."""
        return "alone"

    def wrap(self, model: nn.Module) -> nn.Module:
        """What to call in training steps in the place of ``model``; may change the parameters of ``model``."""
        return model

    def draw_apart(self, seed: int) -> None:
        """From now on dropout differs by rank; until here all ranks have drawn the same initial weights."""

    def share(self, count: int) -> slice:
        """Which of ``count`` samples are this rank's; none may be."""
        return slice(0, count)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the ranks."""
        return value

    def total(self, values: Tensor) -> Tensor:
        """The sum over the ranks, element by element."""
        return values

    def agree(self, value: Any) -> Any:
        """What rank 0 says."""
        return value

    def gathered(self, value: Any) -> list[Any]:
        """What every rank says, in the order of the ranks."""
        return [value]

    def settle(self, model: nn.Module) -> None:
        """Make the ranks' models one before it is evaluated."""

    def release(self, model: nn.Module) -> None:
        """Undo what evaluating a model may leave behind."""


ALONE = Ranks()
