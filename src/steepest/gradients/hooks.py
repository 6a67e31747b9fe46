"""How an estimator acts on the gradients of a step: after the closure, if the step is given one."""

from collections.abc import Callable
from typing import Any

Args = tuple[Any, ...]


def act_on_gradients(act: Callable[[], None], args: Args, kwargs: dict[str, Any]) -> tuple[Args, dict[str, Any]] | None:
    """For a step pre-hook: act now, or let the step's closure do it whenever it has made new gradients.

    Args:
        act: changes ``.grad``.
        args: those of the unbound step: the optimizer, and perhaps the closure.
        kwargs: those of the step.

    Returns:
        What the hook must return: ``None``, or the step's new arguments.
    """
    closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
    if closure is None:
        act()
        return None

    def evaluate() -> Any:
        loss = closure()
        act()
        return loss

    if "closure" in kwargs:
        return args, {**kwargs, "closure": evaluate}
    return (args[0], evaluate, *args[2:]), kwargs
