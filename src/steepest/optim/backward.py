"""Norms of the gradients measured while the backward pass still has them in the cache."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from steepest.optim.method import Method
from steepest.optim.norms import square_norm


class _Measured(NamedTuple):
    grad: int
    version: int
    square: float


class NormsInBackward:
    """The handle of :func:`norms_in_backward`."""

    def __init__(self, optimizer: Method) -> None:
        self._optimizer = optimizer
        self._measured: MutableMapping[Tensor, _Measured] = WeakTensorKeyDictionary()
        params = [p for group in optimizer.param_groups for p in group["params"]]
        self._hooks = [p.register_post_accumulate_grad_hook(self._measure) for p in params if _serves(p)]
        optimizer.backward = self

    def remove(self) -> None:
        """Let the step measure every norm by itself again."""
        for hook in self._hooks:
            hook.remove()
        self._optimizer.backward = None

    def square(self, param: Tensor, grad: Tensor) -> float | None:
        """Squared norm of the gradient if it was measured and has not been written to since."""
        measured = self._measured.get(param)
        if measured is None or measured.grad != id(grad) or measured.version != grad._version:
            return None
        return measured.square

    @torch.no_grad()
    def _measure(self, param: Tensor) -> None:
        grad = param.grad
        if type(grad) is Tensor and grad.is_cpu and not grad.is_sparse:
            self._measured[param] = _Measured(id(grad), grad._version, square_norm(grad))


def _serves(param: Tensor) -> bool:
    return param.is_cpu and param.requires_grad and not param.is_complex() and not hasattr(param, "full_tensor")


def norms_in_backward(optimizer: Method) -> NormsInBackward:
    """Measure each gradient's norm in the backward pass, as soon as it is complete, so that the step need not.

    For the fused path on the CPU, where the step then reads the gradients once, as ``torch.optim.SGD`` does. A gradient
    that was written to between the backward pass and the step (clipping, unscaling, another accumulation) is measured
    again; what is written through ``.data`` or NumPy goes unnoticed: do not use both. In a process group of several
    ranks, which sum gradients behind autograd's back, the step measures as always. Parameters of groups that are added
    later are measured in the step.

    Args:
        optimizer: one of this package whose scale depends on a norm: SNGM, BlockNormalizedSGD or LARS.

    Returns:
        A handle with ``remove()``.

    Raises:
        TypeError: the optimizer measures no norm of the gradient.

    Example:
        >>> from steepest import SNGM
        >>> layer = torch.nn.Linear(3, 2)
        >>> optimizer = SNGM(layer.parameters(), lr=0.1)
        >>> handle = norms_in_backward(optimizer)
        >>> layer(torch.ones(1, 3)).sum().backward()  # measures
        >>> optimizer.step()
        >>> handle.remove()
    """
    if not getattr(optimizer, "normalizes", False):
        raise TypeError(
            f"optimizer must be SNGM, BlockNormalizedSGD or LARS, got {type(optimizer).__name__}, which needs no norms"
        )
    return NormsInBackward(optimizer)
