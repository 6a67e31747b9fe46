"""A learning rate that rises at the beginning, in front of a controller that finds it."""

from typing import TYPE_CHECKING, Any

from steepest.training.definitions.outcome import Progress

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from steepest.training.definitions.schedule import Controller


class Warmup:
    """Multiplies what another controller sets, in step 0 to ``steps`` - 1 by 1/steps, 2/steps, ... 1.

    What that controller finds in the groups is always its own value.
    """

    def __init__(self, inner: "Controller", optimizer: "Optimizer", steps: int) -> None:
        self._inner, self._optimizer, self._steps = inner, optimizer, steps
        self._own: list[float] | None = None  # the groups' lr as the inner controller has them

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._inner, name)  # what it may have beside: attach, see, after_step, note
        if name == "after_step":
            self._put_back()
        return found

    def before_step(self, step: int) -> None:
        self._put_back()
        self._inner.before_step(step)
        if step < self._steps:
            self._own = [group["lr"] for group in self._optimizer.param_groups]
            for group, value in zip(self._optimizer.param_groups, self._own, strict=True):
                group["lr"] = value * ((step + 1) / self._steps)

    def _put_back(self) -> None:
        if self._own is not None:
            for group, value in zip(self._optimizer.param_groups, self._own, strict=True):
                group["lr"] = value
            self._own = None

    def observe(self, seen: Progress) -> None:
        self._put_back()
        self._inner.observe(seen)

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self._inner.state_dict(), "own": self._own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._inner.load_state_dict(state["inner"])
        self._own = state["own"]
