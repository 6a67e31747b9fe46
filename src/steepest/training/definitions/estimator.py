"""Another way to obtain the gradient, in front of any optimizer."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from steepest._errors import InputError
from steepest.training.definitions import fields
from steepest.training.definitions.ranks import ALONE, Ranks

_ALL = slice(None)


@dataclass(frozen=True)
class Batch:
    """The samples of one step, as an estimator sees them."""

    model: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    inputs: Tensor
    targets: Tensor
    ranks: Ranks = ALONE
    task: int = 0  # of a sequence of tasks, counted from 0
    see: Callable[[Any, Tensor], object] | None = None  # a controller's, which is shown every forward pass
    epoch: int = 0  # of the task, counted from 0
    most: int | None = None  # samples that are evaluated at a time, whatever is asked for; all, if not given
    pieces: int = 1  # that it is evaluated in, one after another
    casts: Callable[[], AbstractContextManager[object]] = nullcontext  # what a forward pass is computed in
    scale: Callable[[Tensor], Tensor] | None = None  # of the loss, as float16 needs it
    whole_step: Callable[[nn.Module, Tensor], Tensor] | None = None  # the loss of the samples at places, if inputs are

    def __len__(self) -> int:
        return len(self.inputs)

    def backward(self, part: slice = _ALL, weight: float = 1.0) -> Tensor:
        """Forward and backward at the weights as they are now; several ranks each take their share of the samples.

        Args:
            part: these samples only.
            weight: of their mean loss.

        Returns:
            ``weight`` times the mean loss, detached. Its gradient has been added to ``.grad``, of all pieces.
        """
        if part is _ALL and (self.most is None or len(self) <= self.most):
            return self._backward(self.inputs, self.targets, weight)
        first, stop, _ = part.indices(len(self))
        if self.most is None or stop - first <= self.most or part.step not in (None, 1):
            return self._backward(self.inputs[part], self.targets[part], weight)
        total = torch.zeros((), dtype=torch.get_default_dtype(), device=self.inputs.device)
        for at in range(first, stop, self.most):
            some = slice(at, min(at + self.most, stop))
            share = (some.stop - some.start) / (stop - first)
            total = total + self._backward(self.inputs[some], self.targets[some], weight * share)
        return total

    def _backward(self, inputs: Tensor, targets: Tensor, weight: float) -> Tensor:
        if self.ranks.size == 1 and self.pieces == 1:
            return self._add_gradient(inputs, targets, weight, 1)
        mine = self.ranks.share(len(inputs))
        ours = self.ranks.size * (mine.stop - mine.start) / len(inputs)  # the mean over unequal shares
        pieces = min(self.pieces, len(inputs) // self.ranks.size)
        if pieces <= 1:
            return self.ranks.mean(self._add_gradient(inputs[mine], targets[mine], weight, ours))
        inputs, targets = inputs[mine], targets[mine]
        found = torch.zeros((), dtype=torch.float32, device=inputs.device)
        for some, wanted in zip(inputs.tensor_split(pieces), targets.tensor_split(pieces), strict=True):
            found = found + self._add_gradient(some, wanted, weight * (len(some) / len(inputs)), ours)
        return self.ranks.mean(found)

    def _add_gradient(self, inputs: Tensor, targets: Tensor, weight: float, ours: float) -> Tensor:
        """Add to ``.grad`` what these samples give; returns their weighted loss, detached."""
        with self.casts():
            if self.whole_step is not None:
                outputs = None
                loss = _checked_loss(self.whole_step(self.model, inputs), "training_step(model, batch)")
            else:
                outputs = self.model(inputs)
                loss = _checked_loss(self.loss(outputs, targets))
            if weight != 1:
                loss = weight * loss
        if self.see is not None:
            self.see(outputs.detach() if isinstance(outputs, Tensor) else outputs, targets)
        if ours != 1:
            loss = ours * loss
        (loss if self.scale is None else self.scale(loss)).backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def _checked_loss(loss: object, called: str = "loss(outputs, targets)") -> Tensor:
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise InputError(f"{called} must return a 0-dim tensor, the mean over the batch, got {got}")
    if not torch.is_grad_enabled():
        raise InputError("the loss has no gradient, as gradients are off; call the closure under torch.enable_grad()")
    if not loss.requires_grad:
        raise InputError("the loss has no gradient: no parameter of the model that needs one takes part in it")
    return loss


Take = Callable[[Batch], Tensor]


class Stateful(Protocol):
    """What can be saved and taken up again, as a module, an optimizer or a ``SymmetricNoise`` can."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object: ...


@dataclass(frozen=True)
class Resumable:
    """What ``attach`` yields so that an interrupted run can resume from a checkpoint.

    Args:
        take: the function, or ``None`` for a calibration.
        parts: what changes from step to step, as objects with ``state_dict()`` and ``load_state_dict(state)``; the
            states may hold tensors, numbers, strings and containers of them. Empty if nothing does. One that has
            ``begin_task(view)`` or ``finish_task(view)`` is told, with a :class:`RunView`, before the first step of
            each task of a sequence and after its last, before it is validated; most workloads are one task. One that
            has ``end_task(view)`` is told between two tasks, after the validation. What gradients they take then are
            not counted.
    """

    take: Take | None = None
    parts: tuple[Stateful, ...] = ()


@dataclass(frozen=True)
class Estimator:
    """A way to obtain the gradient that composes with every optimizer.

    There are two kinds. One chooses the ``"points"`` at which the loss is evaluated: its ``attach`` yields ``take``,
    called as ``take(batch)`` once a step with no gradient there; it calls ``batch.backward`` as often as it needs and
    returns the loss. The other is a ``"calibration"`` of the gradient that is there, by hooks of its own, before the
    optimizer sees it: its ``attach`` yields ``None``. A method can have one of each.

    An ``attach`` that yields either within a :class:`Resumable` says what of its state to save, and a run that is
    interrupted resumes from its last checkpoint. Without it the run begins anew: right, but slower.

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

        >>> from contextlib import contextmanager
        >>> @contextmanager
        ... def in_halves(model, optimizer, seed):
        ...     def take(batch):
        ...         half = len(batch) // 2
        ...         return batch.backward(slice(half), 0.5) + batch.backward(slice(half, 2 * half), 0.5)
        ...     yield Resumable(take)  # it keeps nothing from step to step
        >>> Estimator("halves", in_halves, "points", smallest_batch=2).evaluations_per_step
        1
    """

    name: str
    attach: Callable[..., AbstractContextManager[Resumable | Take | None]]
    kind: Literal["points", "calibration"]
    options: Mapping[str, Any] = field(default_factory=dict)
    evaluations_per_step: int = 1
    smallest_batch: int = 1
    description: str = ""

    def __post_init__(self) -> None:
        fields.named("an estimator's name", self.name)
        of = f"estimator {self.name!r}: "
        fields.function(f"{of}attach", self.attach, "that returns a context manager")
        fields.table(f"{of}options", self.options)
        fields.text(f"{of}description", self.description)
        if not isinstance(self.kind, str) or self.kind not in ("points", "calibration"):
            raise ValueError(
                f"the kind of estimator {self.name!r} must be 'points' or 'calibration', got {self.kind!r}"
            )
        for name in ("evaluations_per_step", "smallest_batch"):
            object.__setattr__(self, name, fields.positive(f"{of}{name}", getattr(self, name)))
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
