"""The weights of a run's best validation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class BestWeights:
    """Parameters and buffers of a model as they were at its best validation, the first of equals."""

    def __init__(self, model: nn.Module, higher_is_better: bool) -> None:
        self._model, self._sign = model, 1 if higher_is_better else -1
        self._kept: list[Tensor] = []
        self.metric: float | None = None
        self.at: int | None = None  # gradient evaluations

    def _list_live(self) -> list[Tensor]:
        return [tensor.detach() for tensor in (*self._model.parameters(), *self._model.buffers())]

    def see(self, metric: float, at: int) -> None:
        """A validation has ended, and the model is as it was validated."""
        if self.metric is None or self._sign * metric > self._sign * self.metric:
            self.metric, self.at = metric, at
            self._kept = [tensor.clone() for tensor in self._list_live()]

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While this is held the model is as it was then."""
        before = [tensor.clone() for tensor in self._list_live()]
        self._put(self._kept)
        try:
            yield
        finally:
            self._put(before)

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for tensor, value in zip(self._list_live(), values, strict=True):
            tensor.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """What an interrupted run needs."""
        return {"kept": self._kept, "metric": self.metric, "at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what :meth:`state_dict` gave."""
        self.metric, self.at = state["metric"], state["at"]
        pairs = zip(state["kept"], self._list_live(), strict=False)
        self._kept = [there.to(here.device, here.dtype) for there, here in pairs]
