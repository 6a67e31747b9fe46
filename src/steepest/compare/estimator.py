"""Another way to obtain the gradient, in front of any optimizer."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

_ALL = slice(None)


@dataclass(frozen=True)
class Batch:
    """The samples of one step, as an estimator sees them."""

    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def backward(self, part: slice = _ALL, weight: float = 1.0) -> Tensor:
        """Forward and backward at the weights as they are now.

        Args:
            part: these samples only.
            weight: of their mean loss.

        Returns:
            ``weight`` times the mean loss, detached. Its gradient has been added to ``.grad``.
        """
        loss = weight * self.loss(self.model(self.inputs[part]), self.targets[part])
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


Take = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class Estimator:
    """A way to obtain the gradient that composes with every optimizer.

    There are two kinds. One chooses the ``"points"`` at which the loss is evaluated: its ``attach`` yields ``take``,
    called as ``take(batch)`` once a step with no gradient there; it calls ``batch.backward`` as often as it needs and
    returns the loss. The other is a ``"calibration"`` of the gradient that is there, by hooks of its own, before the
    optimizer sees it: its ``attach`` yields ``None``. A method can have one of each.

    Args:
        name: what a user writes before the ``+``.
        attach: called as ``attach(model, optimizer, seed, **options)``; a context manager that is held while the model
            trains, and leaves no trace. It must draw from ``seed`` alone: torch's global generator gives the initial
            weights and dropout, the same for every method.
        kind: ``"points"`` or ``"calibration"``.
        options: passed to ``attach`` and recorded with the study.
        evaluations_per_step: gradient evaluations of a whole batch that a step costs; two halves of a batch cost one.
        smallest_batch: fewest samples that ``take`` can work with.
        description: a few words.

    Raises:
        ValueError: ``name`` is empty, ``kind`` is none of the two, a number is below 1, or a calibration is said to
            cost more than the evaluation it calibrates.

    Example:
        The same gradient from two forward passes, of half the batch each:

        >>> @contextmanager
        ... def in_halves(model, optimizer, seed):
        ...     def take(batch):
        ...         half = len(batch) // 2
        ...         return batch.backward(slice(half), 0.5) + batch.backward(slice(half, 2 * half), 0.5)
        ...     yield take
        >>> Estimator("halves", in_halves, "points", smallest_batch=2).evaluations_per_step
        1
    """

    name: str
    attach: Callable[..., AbstractContextManager[Take | None]]
    kind: Literal["points", "calibration"]
    options: Mapping[str, Any] = field(default_factory=dict)
    evaluations_per_step: int = 1
    smallest_batch: int = 1
    description: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("an estimator's name must not be empty")
        if self.kind not in ("points", "calibration"):
            raise ValueError(
                f"the kind of estimator {self.name!r} must be 'points' or 'calibration', got {self.kind!r}"
            )
        for name in ("evaluations_per_step", "smallest_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.kind == "calibration" and self.evaluations_per_step != 1:
            raise ValueError(
                f"a calibration evaluates nothing itself: evaluations_per_step must be 1, got "
                f"{self.evaluations_per_step}"
            )

    def with_options(self, **changes: Any) -> "Estimator":
        """The same with other options.

        Raises:
            ValueError: there is no option of that name.
        """
        if unknown := sorted(set(changes) - set(self.options)):
            raise ValueError(f"estimator {self.name!r} has no option {unknown[0]!r}; it has {sorted(self.options)}")
        return replace(self, options={**self.options, **changes})


@contextmanager
def attached(estimators: Sequence[Estimator], model: nn.Module, optimizer: Optimizer, seed: int) -> Iterator[Take]:
    """Hold a method's estimators while its model trains; yields what obtains the gradient of a batch."""
    take: Take = Batch.backward
    with ExitStack() as stack:
        for estimator in estimators:
            context = estimator.attach(model, optimizer, _seed_of(estimator, seed), **estimator.options)
            yielded = stack.enter_context(context)
            if (yielded is not None) != (estimator.kind == "points"):
                wanted = "a function" if estimator.kind == "points" else "None"
                raise TypeError(f"attach of estimator {estimator.name!r} must yield {wanted}, got {yielded!r}")
            take = yielded or take
        yield take


def _seed_of(estimator: Estimator, seed: int) -> int:
    """An estimator's own seed. With the run's, its first draw would repeat the one that gave the initial weights."""
    return int.from_bytes(hashlib.sha256(f"{estimator.name} {seed}".encode()).digest()[:4], "big")
