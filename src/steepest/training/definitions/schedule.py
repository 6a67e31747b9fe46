"""How the learning rate, or another value of the optimizer's groups, moves over a run."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from steepest.training.definitions import fields
from steepest.training.definitions.outcome import Progress
from steepest.training.definitions.warmup import Warmup

if TYPE_CHECKING:
    from torch.optim import Optimizer

SCHEDULE_NOTE = "lr schedule"  # the name under which a run's notes have its controller's


class Controller(Protocol):
    """What moves values of one optimizer's groups while a run goes on.

    A controller that needs to know more may have any of three further methods, which are called where they are found,
    and a ``note``: a sentence on this run for the report, empty where there is nothing to say, read at each validation.

    ``attach(model)``
        once, at the beginning of the task that it is made for. The model is the workload's own, to put hooks on. What
        it returns, if not ``None``, is a context manager that is left at the end of the task or run, however that
        ends: it takes the hooks away, so that nothing of them outlives the run.
    ``see(outputs, targets)``
        after every forward pass of a training step: what the model gave, detached if it is a tensor, and the targets.
        Of several ranks each sees its own share; of an estimator with several points each point is seen.
    ``after_step(loss)``
        after every step of the optimizer, with the step's loss, a detached 0-dim tensor. It may change the weights and
        the optimizer. A 0-dim tensor that it returns is noted in the place of the loss, in the mean training loss since
        the last validation; ``None`` leaves it.
    """

    def before_step(self, step: int) -> None:
        """Set what the groups are to hold in step ``step``, from 0: any of their values, such as lr or momentum."""

    def observe(self, seen: Progress) -> None:
        """A validation has ended; every rank is told the same."""

    def state_dict(self) -> dict[str, Any]:
        """What changes from step to step, as tensors, numbers, strings and containers of them."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what :meth:`state_dict` gave."""


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves over a run: by a factor that is known beforehand, or as a controller finds right.

    Args:
        name: what a user writes.
        description: how a report goes on after "learning rate".
        factor: of a share in [0, 1) of the run that is behind; at 0 it is 1. All groups' lr are multiplied by it.
        controller: instead of ``factor``, called as ``controller(optimizer, steps)`` at the beginning of every run:
            returns what sets the groups' values before each of its ``steps``, and may look at validations.
        measured: names of built-in instruments that are measured in every study with this schedule, such as ``"lr"``
            where nobody knows it beforehand.

    Raises:
        ValueError: a field is not what it must be, or not one of ``factor`` and ``controller`` is given.

    Example:
        Half the lr whenever the validation loss has not fallen:

        >>> class Halving:
        ...     def __init__(self, optimizer, steps):
        ...         self.optimizer, self.best = optimizer, float("inf")
        ...     def before_step(self, step):
        ...         pass
        ...     def observe(self, seen):
        ...         for group in self.optimizer.param_groups:
        ...             group["lr"] *= 1.0 if seen.validation_loss < self.best else 0.5
        ...         self.best = min(self.best, seen.validation_loss)
        ...     def state_dict(self):
        ...         return {"best": self.best}
        ...     def load_state_dict(self, state):
        ...         self.best = state["best"]
        >>> Schedule("halving", "halved where the validation loss does not fall", controller=Halving).name
        'halving'
    """

    name: str
    description: str
    factor: Callable[[float], float] | None = None
    controller: Callable[["Optimizer", int], Controller] | None = None
    measured: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        fields.named("a schedule's name", self.name)
        of = f"schedule {self.name!r}: "
        fields.text(f"{of}description", self.description)
        if (self.factor is None) == (self.controller is None):
            raise ValueError(
                f"{of}give one of factor and controller, got {'neither' if self.factor is None else 'both'}"
            )
        for name in ("factor", "controller"):
            if getattr(self, name) is not None:
                what = "of the share of the run" if name == "factor" else "of an optimizer and a number of steps"
                fields.function(f"{of}{name}", getattr(self, name), what)
        if not isinstance(self.measured, tuple | list) or not all(isinstance(name, str) for name in self.measured):
            raise ValueError(f"{of}measured must be a tuple of names of instruments, got {self.measured!r}")
        object.__setattr__(self, "measured", tuple(self.measured))

    def start(self, optimizer: "Optimizer", steps: int, warmup: int = 0) -> Controller:
        """The controller of one run, whose groups hold their values of its beginning.

        Args:
            warmup: steps in which the lr rises linearly; a factor then goes by the steps after them.
        """
        if self.controller is not None:
            found = self.controller(optimizer, steps)
            return Warmup(found, optimizer, warmup) if warmup else found
        return _OpenLoop(optimizer, steps, self.factor or (lambda share: 1.0), warmup)


class _OpenLoop:
    """Move the lr of all groups by one factor, whatever is seen."""

    def __init__(self, optimizer: "Optimizer", steps: int, factor: Callable[[float], float], warmup: int) -> None:
        self._optimizer = optimizer
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        self._steps = steps
        self._factor = factor
        self._warmup = warmup

    def before_step(self, step: int) -> None:
        if step < self._warmup:
            factor = self._factor(0.0) * (step + 1) / self._warmup
        else:
            factor = self._factor((step - self._warmup) / (self._steps - self._warmup))
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor

    def observe(self, seen: Progress) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


_ALL = (
    Schedule("linear", "linear to 0, every step", lambda share: 1 - share),
    Schedule("constant", "constant", lambda share: 1.0),
    Schedule("cosine", "half a cosine to 0, every step", lambda share: (1 + math.cos(math.pi * share)) / 2),
    Schedule("polynomial", "the square of what is left of the run, to 0, every step", lambda share: (1 - share) ** 2),
    Schedule(
        "step",
        "times 0.1 at one half of the run and at three quarters",
        lambda share: 0.1 ** ((share >= 0.5) + (share >= 0.75)),
    ),
)
SCHEDULES = {schedule.name: schedule for schedule in _ALL}
