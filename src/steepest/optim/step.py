"""The one step of the family, as a pure function: this file is the specification."""

from typing import Literal, NamedTuple

from torch import Tensor

from steepest.optim.norms import HALF

Decay = Literal["after_scaling", "before_scaling", "decoupled"]


def scaled(grad: Tensor, scale: Tensor | None) -> Tensor:
    """Return ``scale * grad``; ``None`` means a scale of exactly 1.

    Half-precision gradients are multiplied in the scale's dtype: ``1 / ||g||`` of a small gradient is beyond the
    range of float16, and bfloat16 would round it to 3 digits.
    """
    if scale is None:
        return grad
    if grad.dtype in HALF:
        return grad.to(scale.dtype).mul(scale)
    return grad.mul(scale)


class Stepped(NamedTuple):
    """What :func:`scaled_step` returns."""

    param: Tensor
    momentum_buffer: Tensor | None
    compensation: Tensor | None


def scaled_step(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor | None,
    compensation: Tensor | None = None,
    *,
    scale: Tensor | None,
    step_scale: Tensor | None = None,
    lr: float | Tensor,
    momentum: float,
    weight_decay: float,
    decay: Decay,
    nesterov: bool,
) -> Stepped:
    r"""One step of one tensor; returns the new tensors and changes none of its arguments.

    .. code-block:: text

        d = scale * g                      decay="before_scaling": d = scale * (g + weight_decay * p)
        m = momentum * m + d + weight_decay * p                     (decay="after_scaling")
        p = p - lr * step_scale * m        decay="decoupled":      p = (1 - lr * weight_decay) * p - lr * step_scale * m

    With Nesterov's momentum the last line moves along ``d + momentum * m`` (weight decay included in ``d``), as in
    ``torch.optim.SGD``; with scales of ``None`` or 1 every rounding is that of ``torch.optim.SGD``.

    With a ``compensation`` the last sum is Kahan's: what rounding cut off the weights is kept and added next time.

    Args:
        param: weights, any shape, any floating or complex dtype.
        grad: gradient, the shape and dtype of ``param``.
        momentum_buffer: the same shape, or ``None`` before the first step (the buffer then starts as ``d``).
        compensation: the same shape, zeros before the first step; ``None`` for the ordinary sum.
        scale: ``s_b``, a 0-dim tensor on the device of ``grad``, or ``None`` for 1.
        step_scale: ``r_b``, a tensor that broadcasts to ``param``, or ``None`` for 1.
        lr: step length; a tensor of one element is used on its device, without a host synchronisation.
        momentum: weight of the past; 0 keeps no buffer.
        weight_decay: coefficient of the L2 penalty, or of the shrinkage if decoupled.
        decay: where the weight decay enters.
        nesterov: look ahead along the momentum.

    Example:
        >>> import torch
        >>> p, g = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
        >>> scaled_step(p, g, None, scale=1 / g.norm(), lr=1.0, momentum=0.0, weight_decay=0.0,
        ...             decay="after_scaling", nesterov=False).param
        tensor([0.4000, 1.2000])
    """
    if isinstance(lr, Tensor):
        lr = lr.reshape(())  # (1, 1) would make matrices of vectors
    if weight_decay != 0 and decay == "before_scaling":
        grad = grad.add(param, alpha=weight_decay)
    d = scaled(grad, scale).to(param.dtype)
    if weight_decay != 0 and decay == "after_scaling":
        d = d.add(param, alpha=weight_decay)
    shrinking = weight_decay != 0 and decay == "decoupled"

    if momentum == 0:
        update = d
    else:
        momentum_buffer = d.clone() if momentum_buffer is None else momentum_buffer.mul(momentum).add_(d)
        update = d.add(momentum_buffer, alpha=momentum) if nesterov else momentum_buffer
    update = scaled(update, step_scale).to(param.dtype)

    if compensation is None:
        start = param.mul(1 - lr * weight_decay) if shrinking else param
        return Stepped(_subtract(start, update, lr), momentum_buffer, None)
    # The shrinkage is part of the change, or rounding would swallow it.
    start = _subtract(compensation, param.mul(weight_decay), lr) if shrinking else compensation
    change = _subtract(start, update, lr)
    moved = param + change
    return Stepped(moved, momentum_buffer, change + (param - moved))


def _subtract(tensor: Tensor, update: Tensor, lr: float | Tensor) -> Tensor:
    if not isinstance(lr, Tensor):
        return tensor.add(update, alpha=-lr)
    if tensor.dtype in HALF:  # lr itself must not be rounded to half precision
        return tensor.float().addcmul(update.float(), lr, value=-1).to(tensor.dtype)
    return tensor.addcmul(update, lr, value=-1)
