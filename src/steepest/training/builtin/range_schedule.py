"""A schedule that finds the bounds of its learning rate in the first steps of the run."""

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.schedules import MutualInformationLR
from steepest.schedules.range_curve import WINDOW, RangeCurve, rates
from steepest.schedules.range_reading import read_range
from steepest.training.builtin.schedules import SMALLEST, MutualInformation
from steepest.training.definitions.outcome import Progress
from steepest.training.definitions.schedule import Schedule

SHARE = 10  # at most one in so many steps is spent on the sweep
MOST, FEWEST = 100, 20  # steps of the sweep
LOWEST, HIGHEST = 1e-4, 10.0  # rates that it tries


class RangeThenMutualInformation(MutualInformation):
    """Sweeps over learning rates, puts everything back, and goes on by mutual information within the bounds it found.

    The sweep takes a tenth of the run's steps, at most a hundred, which are charged as any others. Between its steps,
    at validations and in checkpoints, the model has its weights of before: what is seen meanwhile is the beginning.

    Where the sweep shows nothing, as where everything is learnt already, the highest rate is the optimizer's own and
    the lowest a thousandth of it; ``note`` says so, and the report warns.

    Args:
        optimizer: of the run; its groups hold the ``threshold`` of the information's change.
        steps: of the run.

    Raises:
        InputError: the run is too short for a sweep.
    """

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        super().__init__(optimizer, steps)
        count = min(MOST, steps // SHARE)
        if count < FEWEST:
            raise InputError(
                f"a sweep over learning rates takes a tenth of the run's steps and at least {FEWEST}, so that a run "
                f"must have {SHARE * FEWEST} steps, got {steps}; give it more epochs"
            )
        if len({float(group["lr"]) for group in optimizer.param_groups}) > 1:
            raise InputError("a sweep finds one lr for all parameters, and so takes no lr or lr_scale of some of them")
        self.note = ""
        self._optimizer = optimizer
        self._own = float(optimizer.param_groups[0]["lr"])
        self._threshold = float(optimizer.param_groups[0]["threshold"])
        self._rates = list(rates(LOWEST, HIGHEST, count, "exp"))
        self._curve = RangeCurve(1 - WINDOW / count if count > WINDOW else 0.0, 4.0, max(3, count // WINDOW))
        self._lr: float | None = None  # of the step before
        self._sweeps = True
        self._counted = False  # a batch after the sweep, since the last validation
        self._model: nn.Module | None = None
        self._aside: list[Tensor] = []  # within a step of the sweep the weights of before, else the sweep's
        self._state: dict[str, dict[str, Any]] = {}  # of the optimizer, before the sweep

    def attach(self, model: nn.Module) -> AbstractContextManager[object]:
        """Know the model, whose weights the sweep puts back."""
        self._model = model
        return contextlib.nullcontext()

    def before_step(self, step: int) -> None:
        """Within the sweep: its weights, and the next rate."""
        if not self._sweeps:
            return
        if step == 0:
            self._aside = [tensor.detach().clone() for tensor in self._live()]
            self._state = {
                str(i): {
                    name: v.clone() if isinstance(v, Tensor) else v for name, v in self._optimizer.state[p].items()
                }
                for i, p in enumerate(self._params())
                if p in self._optimizer.state
            }
        self._exchange()
        for group in self._optimizer.param_groups:
            group["lr"] = self._rates[step]

    def see(self, outputs: Any, targets: Tensor) -> None:
        """Count a batch."""
        super().see(outputs, targets)
        self._counted = not self._sweeps

    def after_step(self, loss: Tensor) -> Tensor | None:
        """Within the sweep: note what came of the rate before, and give the weights back."""
        if not self._sweeps:
            return None
        table = self._counts.table().cpu()
        self._counts.reset()
        ended = False
        if self._lr is None:
            self._curve.start = float(loss)
        else:
            ended = self._curve.note(self._lr, float(loss), table)
        self._lr = self._rates[len(self._curve.lr)]
        self._exchange()
        if ended or len(self._curve.lr) == len(self._rates) - 1:
            self._end_sweep()
        return torch.full_like(loss, self._curve.start or 0.0)

    def observe(self, seen: Progress) -> None:
        """End an epoch; within the sweep, or right after it, there is nothing to tell."""
        if self._counted:
            self._counted = False
            super().observe(seen)

    def state_dict(self) -> dict[str, Any]:
        own = {
            "sweeps": self._sweeps,
            "counted": self._counted,
            "lr": self._lr,
            "aside": list(self._aside),
            "state": self._state,
            "note": self.note,
        }
        return super().state_dict() | own | {"curve": self._curve.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sweeps, self._lr, self._state = state["sweeps"], state["lr"], state["state"]
        self.note = state["note"]
        self._counted, self._aside = state["counted"], list(state["aside"])
        self._curve.load_state_dict(state["curve"])
        super().load_state_dict(state)

    def _end_sweep(self) -> None:
        self._sweeps, self._aside = False, []
        for i, p in enumerate(self._params()):
            self._optimizer.state.pop(p, None)
            if str(i) in self._state:
                self._optimizer.state[p].update(self._state[str(i)])
        self._state = {}
        found = read_range(self._curve)
        if found.bounds is None:
            why = found.note or "what is told of the classes is at its best where the sweep begins"
            self.note = f"the sweep over learning rates found no bounds, and lr {self._own:g} was taken: {why}"
        low, high = found.bounds or (SMALLEST * self._own, self._own)
        self._scheduler = MutualInformationLR(self._optimizer, low, high, threshold=self._threshold)

    def _params(self) -> list[Tensor]:
        return [p for group in self._optimizer.param_groups for p in group["params"]]

    def _live(self) -> list[Tensor]:
        """List weights and buffers of the model."""
        if self._model is None:
            raise RuntimeError("before the first step the controller must be attached to the model")
        return [*self._model.parameters(), *self._model.buffers()]

    @torch.no_grad()
    def _exchange(self) -> None:
        for live, aside in zip(self._live(), self._aside, strict=True):
            kept = live.clone()
            live.copy_(aside)
            aside.copy_(kept)


RANGE_THEN_MUTUAL_INFORMATION = Schedule(
    "range-then-mutual-information",
    "swept over at first, then lowered between the bounds that were found, as the predictions tell more of the classes",
    controller=RangeThenMutualInformation,
    measured=("lr",),
)
