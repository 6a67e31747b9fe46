"""What a run keeps from step to step and no checkpoint holds. A run that has such a thing begins anew if it is
interrupted: right, but slower."""

import functools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from steepest.optim.base import ScaledSGD

_DEPTH = 4
_REMADE = {"_checked", "_own", "_plan", "_step_scales"}  # by our own optimizers, from what is saved


@functools.cache
def _list_names_of_torch() -> frozenset[str]:
    """List what torch itself keeps there, or a checkpoint does; asked late, since the first optimizer takes seconds."""
    return frozenset({*vars(nn.Module()), *vars(SGD([nn.Parameter()], lr=0.0)), "state", "param_groups", "defaults"})


class Unsaved:
    """Looks at a model and an optimizer as a run begins, and again when it is to be saved.

    Of an optimizer's attributes nothing may have changed that lies in lists and the like, or is a tensor, and there may
    be no optimizer within it. Of a module's, no tensor that was there may have been written to; one that notes what it
    sees in a list keeps its checkpoints, and the list begins anew with the process.

    Example:
        >>> model, seen = nn.Linear(2, 1), []
        >>> optimizer = SGD(model.parameters(), lr=0.1)
        >>> optimizer.seen = seen
        >>> unsaved = Unsaved(model, optimizer)
        >>> unsaved.is_nothing(), seen.append(3.0), unsaved.is_nothing()
        (True, None, False)
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self._model = model
        self._optimizer = optimizer
        self._before = self._of_optimizer()
        self._tensors = [leaf for leaf in self._of_modules() if isinstance(leaf, _Version)]

    def is_nothing(self) -> bool:
        """Whether a checkpoint would hold all that has changed since."""
        return self._before == self._of_optimizer() and all(seen.is_current() for seen in self._tensors)

    def _of_optimizer(self) -> list[Any]:
        known = _list_names_of_torch() | (_REMADE if isinstance(self._optimizer, ScaledSGD) else set())
        return list(_leaves_of(self._optimizer, known, self._saved()))

    def _of_modules(self) -> Iterator[Any]:
        for module in self._model.modules():
            yield from _leaves_of(module, _list_names_of_torch(), self._saved())

    def _saved(self) -> set[int]:
        saved = {id(tensor) for tensors in (self._model.parameters(), self._model.buffers()) for tensor in tensors}
        return saved | {id(p) for group in self._optimizer.param_groups for p in group["params"]}


class _Version:
    """Keep a tensor, so that no other one can be taken for it, and how often it had been written to."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._version = tensor._version

    def is_current(self) -> bool:
        return self._tensor._version == self._version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Version) and self._tensor is other._tensor and self._version == other._version

    __hash__ = None  # type: ignore[assignment]


def _leaves_of(owner: object, known: frozenset[str], saved: set[int]) -> Iterator[Any]:
    for name, value in vars(owner).items():
        if name not in known and not isinstance(value, int | float | str):  # those are saved
            yield from _leaves(value, saved, _DEPTH)


def _leaves(value: Any, saved: set[int], depth: int) -> Iterator[Any]:
    if isinstance(value, Optimizer):  # within another one, whose state_dict leaves it out
        yield object()  # which equals nothing
    elif isinstance(value, Tensor):
        if id(value) not in saved:
            yield _Version(value)
    elif isinstance(value, int | float | str):
        yield value
    elif depth and isinstance(value, Mapping | list | tuple | set | deque):
        parts: Iterable[Any] = value.values() if isinstance(value, Mapping) else value
        for part in list(parts):
            yield from _leaves(part, saved, depth - 1)
