"""How far an optimizer's steps move each layer, relative to its weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Updates:
    """Measures steps by the weights before and after them: the norm of a layer's change over the norm of its weights.

    Args:
        params: by their names; the layer of ``layer1.0.conv1.weight`` is ``layer1.0.conv1``.
        is_next: whether to measure the step that begins; it then costs a copy of the weights.
    """

    def __init__(self, params: Mapping[str, nn.Parameter], optimizer: Optimizer, is_next: Callable[[], bool]) -> None:
        self._layers: dict[str, list[nn.Parameter]] = {}
        for name, p in params.items():
            self._layers.setdefault(name.rpartition(".")[0] or name, []).append(p)
        self._is_next = is_next
        self._before: dict[str, list[Tensor]] = {}
        self._ratios: dict[str, Tensor] = {}
        self._handles = [
            optimizer.register_step_pre_hook(self._note_before),
            optimizer.register_step_post_hook(self._note_after),
        ]

    @torch.no_grad()
    def _note_before(self, *_: Any) -> None:
        self._before = {}
        if self._is_next():
            self._before = {layer: [p.detach().clone() for p in its] for layer, its in self._layers.items()}

    @torch.no_grad()
    def _note_after(self, *_: Any) -> None:
        for layer, before in self._before.items():
            moved = _norm([p - old for p, old in zip(self._layers[layer], before, strict=True)])
            self._ratios[layer] = moved / _norm(before)
        self._before = {}

    def measure(self, *_: Any) -> dict[str, Tensor]:
        """What the last step was that was looked at, by layers."""
        if not self._ratios:
            raise ValueError("no step of the optimizer has been seen")
        return self._ratios

    def remove(self) -> None:
        """Take the hooks off the optimizer."""
        for handle in self._handles:
            handle.remove()


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    norms = torch.stack([torch.linalg.vector_norm(t, dtype=torch.float32) for t in tensors])
    whole_norm: Tensor = torch.linalg.vector_norm(norms)
    return whole_norm
