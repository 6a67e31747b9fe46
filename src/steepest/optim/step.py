"""The one step of the family, as a pure function: this file is the specification."""

from typing import Literal

import torch
from torch import Tensor

Decay = Literal["after_scaling", "before_scaling", "decoupled"]


def scaled_gradient(grad: Tensor, scale: Tensor | None) -> Tensor:
    """Return ``scale * grad``; ``None`` means a scale of exactly 1.

    Half-precision gradients are multiplied in the scale's dtype: ``1 / ||g||`` of a small gradient is beyond the
    range of float16, and bfloat16 would round it to 3 digits.
    """
    if scale is None:
        return grad
    if grad.dtype in (torch.float16, torch.bfloat16):
        return grad.to(scale.dtype).mul(scale)
    return grad.mul(scale)


def scaled_step(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor | None,
    *,
    scale: Tensor | None,
    lr: float | Tensor,
    momentum: float,
    weight_decay: float,
    decay: Decay,
    nesterov: bool,
) -> tuple[Tensor, Tensor | None]:
    r"""One step of one tensor; returns the new ``(param, momentum_buffer)`` and changes neither argument.

    .. code-block:: text

        d = scale * g                      decay="before_scaling": d = scale * (g + weight_decay * p)
        m = momentum * m + d + weight_decay * p                     (decay="after_scaling")
        p = p - lr * m                     decay="decoupled":      p = (1 - lr * weight_decay) * p - lr * m

    With Nesterov's momentum the last line moves along ``d + momentum * m`` (weight decay included in ``d``), as in
    ``torch.optim.SGD``; with ``scale=None`` or ``scale=1`` every rounding is that of ``torch.optim.SGD``.

    Args:
        param: weights, any shape, any floating or complex dtype.
        grad: gradient, the shape and dtype of ``param``.
        momentum_buffer: the same shape, or ``None`` before the first step (the buffer then starts as ``d``).
        scale: ``s_b``, a 0-dim tensor on the device of ``grad``, or ``None`` for 1.
        lr: step length; a 0-dim tensor is used on its device, without a host synchronisation.
        momentum: weight of the past; 0 keeps no buffer.
        weight_decay: coefficient of the L2 penalty, or of the shrinkage if decoupled.
        decay: where the weight decay enters.
        nesterov: look ahead along the momentum.

    Example:
        >>> p, g = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
        >>> scaled_step(p, g, None, scale=1 / g.norm(), lr=1.0, momentum=0.0, weight_decay=0.0,
        ...             decay="after_scaling", nesterov=False)
        (tensor([0.4000, 1.2000]), None)
    """
    if weight_decay != 0 and decay == "before_scaling":
        grad = grad.add(param, alpha=weight_decay)
    d = scaled_gradient(grad, scale).to(param.dtype)
    if weight_decay != 0 and decay == "after_scaling":
        d = d.add(param, alpha=weight_decay)
    if weight_decay != 0 and decay == "decoupled":
        param = param.mul(1 - lr * weight_decay)

    if momentum == 0:
        update = d
    else:
        momentum_buffer = d.clone() if momentum_buffer is None else momentum_buffer.mul(momentum).add_(d)
        update = d.add(momentum_buffer, alpha=momentum) if nesterov else momentum_buffer

    if isinstance(lr, Tensor):
        return param.addcmul(update, lr, value=-1), momentum_buffer
    return param.add(update, alpha=-lr), momentum_buffer
