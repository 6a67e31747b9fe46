"""A method's estimators while they are held."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from steepest.training.definitions.estimator import Batch, Estimator, Resumable, Stateful, Take
from steepest.training.definitions.instrument import RunView
from steepest.training.process.randomness import derived_seed


class Gradients:
    """A method's estimators while they are held: call it to obtain the gradient of a batch."""

    def __init__(self, yielded: Sequence[tuple[Estimator, Resumable | Take | None]]) -> None:
        self._take: Take = Batch.backward
        self._parts: list[Stateful] = []
        self.resumable = True
        """Whether every estimator has said what its state is."""
        for estimator, given in yielded:
            self.resumable &= isinstance(given, Resumable)
            given = given if isinstance(given, Resumable) else Resumable(given)
            if (given.take is not None) != (estimator.kind == "points"):
                wanted = "a function" if estimator.kind == "points" else "None"
                raise TypeError(f"attach of estimator {estimator.name!r} must yield {wanted}, got {given.take!r}")
            self._take = given.take or self._take
            self._parts += given.parts

    def __call__(self, batch: Batch) -> Tensor:
        return self._take(batch)

    def tell(self, moment: Literal["begin_task", "finish_task", "end_task"], view: RunView) -> None:
        """Call the method of that name of every part that has it."""
        for part in self._parts:
            if callable(told := getattr(part, moment, None)):
                told(view)

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


@contextmanager
def attached(estimators: Sequence[Estimator], model: nn.Module, optimizer: Optimizer, seed: int) -> Iterator[Gradients]:
    """Hold a method's estimators while its model trains; yields what obtains the gradient of a batch."""
    with ExitStack() as stack:
        yielded = []
        for estimator in estimators:
            context = estimator.attach(model, optimizer, derived_seed(estimator.name, seed), **estimator.options)
            yielded.append((estimator, stack.enter_context(context)))
        yield Gradients(yielded)
