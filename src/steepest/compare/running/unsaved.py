"""What a run keeps from step to step and no checkpoint holds. A run that has such a thing begins anew if it is
interrupted: right, but slower."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from steepest.optim.base import ScaledSGD

_DEPTH = 4
# What torch itself keeps there, or a checkpoint does.
_KNOWN = {*vars(nn.Module()), *vars(SGD([nn.Parameter()], lr=0.0)), "state", "param_groups", "defaults"}
_REMADE = {"plan", "_step_scales"}  # by our own optimizers, from what is saved


def unsaved(model: nn.Module, optimizer: Optimizer) -> list[Any]:
    """The values of tensors, numbers and strings that lie in lists and the like of a module's or an optimizer's
    attributes, or are tensors among those. Equal lists say that nothing of it has changed in between.

    Example:
        >>> model, seen = nn.Linear(2, 1), []
        >>> optimizer = SGD(model.parameters(), lr=0.1)
        >>> optimizer.seen = seen
        >>> before = unsaved(model, optimizer)
        >>> before == unsaved(model, optimizer), seen.append(3.0), before == unsaved(model, optimizer)
        (True, None, False)
    """
    saved = {id(tensor) for tensors in (model.parameters(), model.buffers()) for tensor in tensors}
    saved |= {id(p) for group in optimizer.param_groups for p in group["params"]}
    found: list[Any] = []
    for owner in (*model.modules(), optimizer):
        known = _KNOWN | _REMADE if isinstance(owner, ScaledSGD) else _KNOWN
        for name, value in vars(owner).items():
            if name not in known and not isinstance(value, int | float | str):  # those are saved
                found += _leaves(value, saved, _DEPTH)
    return found


def _leaves(value: Any, saved: set[int], depth: int) -> Iterator[Any]:
    if isinstance(value, Optimizer):  # within another one, whose state_dict leaves it out
        yield object()
    elif isinstance(value, Tensor):
        if id(value) not in saved:
            yield (id(value), value._version)
    elif isinstance(value, int | float | str):
        yield value
    elif depth and isinstance(value, Mapping | list | tuple | set | deque):
        parts: Iterable[Any] = value.values() if isinstance(value, Mapping) else value
        for part in list(parts):
            yield from _leaves(part, saved, depth - 1)
