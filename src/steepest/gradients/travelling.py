"""A step pre-hook that travels with its optimizer: a copy or a pickle of the optimizer has it too."""

import weakref
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Self

from torch.optim import Optimizer

from steepest.gradients.hooks import Args


class TravellingHook(ABC):
    """A handle that is its own step pre-hook.

    ``torch.optim.Optimizer`` neither copies nor pickles hooks; :meth:`attach` makes the optimizer carry this one.
    A shallow copy of the optimizer shares the hook, any other has a copy of it.
    """

    removed: bool = False
    """Whether :meth:`remove` was called."""
    _detach: Callable[[], None] | None = None

    @abstractmethod
    def before_step(self, optimizer: Optimizer, args: Args, kwargs: dict[str, Any]) -> Any:
        """What a step pre-hook does and returns."""

    def __call__(self, optimizer: Optimizer, args: Args, kwargs: dict[str, Any]) -> Any:
        if self.removed:  # from a copy, whose optimizer still has it
            return None
        return self.before_step(optimizer, args, kwargs)

    def attach(self, optimizer: Optimizer) -> None:
        """Act before every step of the optimizer, and of its copies."""
        self._detach = optimizer.register_step_pre_hook(self).remove
        vars(optimizer)["__getstate__"] = _StateWithHooks(optimizer)

    def remove(self) -> None:
        """Let the optimizer see its gradients as they are again. Its state stays as it is."""
        self.removed = True
        if self._detach is not None:
            self._detach()
            self._detach = None

    def __copy__(self) -> Self:
        return self  # two of them would act twice

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_detach"}


class _StateWithHooks:
    """Give what copying and pickling ask an optimizer for: its class's ``__getstate__``, and the hooks that travel."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = weakref.ref(optimizer)

    def __call__(self) -> Any:
        optimizer = self._optimizer()
        if optimizer is None:
            raise ReferenceError("the optimizer that this belongs to is gone")
        state = type(optimizer).__getstate__(optimizer)
        if not isinstance(state, dict):
            raise TypeError(
                f"{type(optimizer).__name__} cannot be copied while a hook of steepest's is on it: remove() it"
            )
        hooks = [h for h in optimizer._optimizer_step_pre_hooks.values() if isinstance(h, TravellingHook)]
        # Under negative keys, which no hook that is registered later gets, in this process or in another.
        kept = OrderedDict((-1 - i, hook) for i, hook in enumerate(h for h in hooks if not h.removed))
        return {**state, "_optimizer_step_pre_hooks": kept, "__getstate__": self}

    def __reduce__(self) -> tuple[type, tuple[Optimizer | None]]:
        return type(self), (self._optimizer(),)


def own_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer itself, or the one inside a wrapper of Accelerate, Lightning and their kin, which takes the steps.

    Raises:
        ValueError: it is no optimizer, as a scheduler is none.
    """
    found = optimizer
    while not (isinstance(found, Optimizer) and "_optimizer_step_pre_hooks" in vars(found)):
        inner = getattr(found, "optimizer", None)
        if inner is None or inner is found or not (hasattr(found, "step") and hasattr(found, "zero_grad")):
            raise ValueError(
                f"optimizer must be a torch.optim.Optimizer or a wrapper that has one as .optimizer, got "
                f"{type(optimizer).__name__}"
            )
        found = inner
    return found
