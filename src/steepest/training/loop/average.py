"""The moving average of a run's weights, which is what is evaluated."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of parameters and floating-point buffers, which begins at the first update.

    The same as torch's :class:`~torch.optim.swa_utils.AveragedModel` with ``get_ema_multi_avg_fn``, without a second
    module.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> average = WeightAverage(model, decay=0.75)
        >>> for value in (4.0, 8.0):
        ...     _ = nn.init.constant_(model.weight, value)
        ...     average.update()
        >>> with average.shown():
        ...     print(model.weight.item())
        5.0
        >>> model.weight.item()
        8.0
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay = model, decay
        self._kept: list[Tensor] = []

    def _list_live(self) -> list[Tensor]:
        buffers = [buffer for buffer in self._model.buffers() if buffer.is_floating_point()]
        return [tensor.detach() for tensor in (*self._model.parameters(), *buffers)]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are."""
        live = self._list_live()
        if self._kept:
            torch._foreach_lerp_(self._kept, live, 1 - self._decay)
        else:
            self._kept = [tensor.clone() for tensor in live]

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While this is held the model has the average in the place of its weights."""
        if not self._kept:
            yield
            return
        live = self._list_live()
        before = [tensor.clone() for tensor in live]
        _put(live, self._kept)
        try:
            yield
        finally:
            _put(live, before)

    def state_dict(self) -> dict[str, Any]:
        """What an interrupted run needs."""
        return {"kept": self._kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what :meth:`state_dict` gave."""
        live = self._list_live()
        self._kept = [there.to(here.device, here.dtype) for there, here in zip(state["kept"], live, strict=False)]


@torch.no_grad()
def _put(tensors: list[Tensor], values: list[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
