"""Schedules that look at what the model says of its training data."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.schedules import ConfusionCounts, MutualInformationLR
from steepest.training.definitions.outcome import Progress
from steepest.training.definitions.schedule import Schedule

SMALLEST = 1e-3  # lowest lr over the highest


class MutualInformation:
    """Moves the lr of every group by the mutual information of predictions and targets, after every validation.

    The groups begin at their highest lr; the lowest is a thousandth of it. What is counted are the training batches
    since the validation before, as the model saw them, on all ranks.

    Args:
        optimizer: of the run.
        steps: of the run, which do not matter.
        layer_wise: every group by its own layer, whose name it holds.
    """

    def __init__(self, optimizer: Optimizer, steps: int, *, layer_wise: bool = False) -> None:
        highest = [float(group["lr"]) for group in optimizer.param_groups]
        lowest = [SMALLEST * lr for lr in highest]
        self._scheduler = MutualInformationLR(optimizer, lowest, highest, layer_wise=layer_wise)
        self._counts = ConfusionCounts(None)
        self._layer_wise = layer_wise

    def attach(self, model: nn.Module) -> AbstractContextManager[object]:
        """Watch the layers of the model, if they are to be told apart."""
        return self._watching(model)

    @contextmanager
    def _watching(self, model: nn.Module) -> Iterator[None]:
        if self._layer_wise:
            self._counts = ConfusionCounts(None, model=model)
        try:
            yield
        finally:
            self._counts.remove()

    def before_step(self, step: int) -> None:
        """The lr stays between two validations."""

    def see(self, outputs: Any, targets: Tensor) -> None:
        """Count a batch.

        Raises:
            InputError: the targets are no class numbers, or the outputs no scores of the classes.
        """
        try:
            self._counts.update(outputs, targets)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"a learning rate by mutual information needs targets that are classes: {error}"
            ) from error

    def observe(self, seen: Progress) -> None:
        """End an epoch.

        Raises:
            InputError: its targets were all of one class, or out of range; or nothing has been seen.
        """
        try:
            self._scheduler.step(self._counts)
        except ValueError as error:
            raise InputError(f"a learning rate by mutual information cannot be set: {error}") from error
        self._counts.reset()

    def state_dict(self) -> dict[str, Any]:
        return {"scheduler": self._scheduler.state_dict(), "counts": self._counts.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._scheduler.load_state_dict(state["scheduler"])
        self._counts.load_state_dict(state["counts"])


MUTUAL_INFORMATION = Schedule(
    "mutual-information",
    "lowered towards a thousandth of its highest value as the predictions tell more of the classes",
    controller=MutualInformation,
    measured=("lr",),
)
MUTUAL_INFORMATION_BY_LAYER = Schedule(
    "mutual-information-by-layer",
    "lowered towards a thousandth of its highest value, layer by layer, as its output tells more of the classes",
    controller=partial(MutualInformation, layer_wise=True),
    measured=("lr",),
)
