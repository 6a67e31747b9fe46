"""How an estimator acts on the gradients of a step, in their memory: after the closure, if the step is given one."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from steepest.optim.layout import overlaps_itself, sharing_memory
from steepest.optim.norms import local

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


def own_gradients(params: Sequence[Tensor]) -> list[Tensor]:
    """The gradients, which can be written in place: one that shares memory is replaced by a copy of it.

    With itself (expanded), with another gradient, or with a weight, as that of ``w.grad = w.detach()``.
    """
    grads = [p.grad for p in params if p.grad is not None]
    if torch.compiler.is_compiling():
        return grads
    here = [i for i, grad in enumerate(grads) if not grad.is_meta]
    sharing = sharing_memory([local(grads[i]) for i in here], [local(p) for p in params if not p.is_meta])
    for i in {here[k] for k in sharing} | {i for i in here if overlaps_itself(grads[i])}:
        grads[i] = params[i].grad = grads[i].clone(memory_format=torch.contiguous_format)
    return grads
