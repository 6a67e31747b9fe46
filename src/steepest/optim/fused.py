"""The step with torch's fused SGD kernel on the CPU: norms are floats on the host, and one pass moves the weights.

The kernel computes ``m = momentum * m + (1 - dampening) * (g + weight_decay * p)``, so that ``dampening = 1 - scale``
and ``weight_decay / scale`` make it take the step of the family, and never write the gradient. A block is measured and
moved while its gradient is in the cache.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from steepest.optim.norms import PIECE, BlockNorms, full_norms, local, square_norm
from steepest.optim.step import HALF

if TYPE_CHECKING:
    from steepest.optim.base import Entry, ScaledSGD, Signals

_kernel = getattr(torch, "_fused_sgd_", None)
# Not half precision, where the kernel of torch 2.13 and before writes wrong numbers (pytorch issue 191763).
_DTYPES = (torch.float32, torch.float64)


def why_not_fused(optimizer: ScaledSGD, group: dict[str, Any]) -> str | None:
    """The option of the group that the fused path cannot serve, or ``None``."""
    if _kernel is None:
        return "this version of torch, which has no fused SGD kernel"
    if group["nesterov"]:
        return "nesterov=True"
    if group["kahan_sum"]:
        return "kahan_sum=True"
    if optimizer.has_step_scales:
        return f"{type(optimizer).__name__}, whose steps are scaled channel by channel"
    return None


def fused_step(optimizer: ScaledSGD, blocks: list[list[Entry]], signals: Signals) -> None:
    """Take the step block by block.

    Raises:
        RuntimeError: a parameter is not on the CPU.
    """
    for members in blocks:
        for entry in members:
            if entry.param.device.type != "cpu":
                raise RuntimeError(
                    f"fused=True serves parameters on the CPU, got one on {entry.param.device}: leave fused=None"
                )
    if signals.found_inf is not None and bool(signals.found_inf):
        optimizer._count_nonfinite(True)
        return
    loss_scale = 1.0 if signals.grad_scale is None else float(signals.grad_scale)
    ahead = _sharded_squares(optimizer, blocks, loss_scale)
    missed = False
    for members in blocks:
        scales = _scales(optimizer, members, loss_scale, ahead)
        if scales is None:
            missed = True
            continue
        for (key, dtype), entries in _alike(members).items():
            _move(optimizer, entries, scales.get(key), loss_scale, dtype)
    if optimizer.normalizes:
        optimizer._count_nonfinite(missed)


def _scales(
    optimizer: ScaledSGD, members: list[Entry], loss_scale: float, ahead: dict[int, float]
) -> dict[int, float] | None:
    """The block's scale for each group (by the group's id); ``None`` if it or the norm is not finite."""
    if not optimizer.normalizes:
        return {}
    grad = weight = decay = 0.0
    weigh = optimizer.needs_weight_norms(members)
    for entry in members:
        measured = _measured(optimizer, entry, loss_scale)
        grad += ahead[id(entry.grad)] if id(entry.grad) in ahead else square_norm(local(measured))
        if weigh:
            square = ahead[id(entry.param)] if id(entry.param) in ahead else square_norm(local(entry.param))
            weight += square
            decay += entry.group["weight_decay"] ** 2 * square
    norms = BlockNorms(math.sqrt(grad) / loss_scale, math.sqrt(weight), math.sqrt(decay))
    groups = {id(entry.group): entry.group for entry in members}
    scales = {key: float(optimizer.scale(group, norms)) for key, group in groups.items()}
    return scales if all(map(math.isfinite, (norms.grad, *scales.values()))) else None


def _measured(optimizer: ScaledSGD, entry: Entry, loss_scale: float) -> Tensor:
    """What the gradient's norm is taken of, still multiplied by the ``GradScaler``'s scale."""
    if not optimizer.norm_includes_decay(entry.group):
        return entry.grad
    sign = -1 if entry.group["maximize"] else 1
    return entry.grad.add(entry.param, alpha=sign * loss_scale * entry.group["weight_decay"])


def _sharded_squares(optimizer: ScaledSGD, blocks: list[list[Entry]], loss_scale: float) -> dict[int, float]:
    """Squared norms of the full tensors that are spread over ranks, by id, since they need a collective."""
    if not optimizer.normalizes:
        return {}
    tensors: list[Tensor] = []
    keys: list[int] = []
    for members in blocks:
        weigh = optimizer.needs_weight_norms(members)
        for entry in members:
            if hasattr(entry.grad, "full_tensor"):
                tensors.append(_measured(optimizer, entry, loss_scale))
                keys.append(id(entry.grad))
                if weigh:
                    tensors.append(entry.param)
                    keys.append(id(entry.param))
    return {key: float(norm) ** 2 for key, norm in zip(keys, full_norms(tensors), strict=True)}


def _alike(members: list[Entry]) -> dict[tuple[int, torch.dtype], list[Entry]]:
    alike: dict[tuple[int, torch.dtype], list[Entry]] = {}
    for entry in members:
        alike.setdefault((id(entry.group), entry.param.dtype), []).append(entry)
    return alike


def _move(
    optimizer: ScaledSGD, entries: list[Entry], scale: float | None, loss_scale: float, dtype: torch.dtype
) -> None:
    group = entries[0].group
    lr, momentum, weight_decay = float(group["lr"]), group["momentum"], group["weight_decay"]
    decay = optimizer.decay_of(group)
    factor = (1.0 if scale is None else scale) / loss_scale  # of the gradient as it lies there
    # What multiplies p in `factor * g + shrink * p`, the term that enters the momentum.
    shrink = {"after_scaling": weight_decay, "before_scaling": factor * loss_scale * weight_decay, "decoupled": 0.0}[
        decay
    ]
    params: list[Tensor] = []
    grads: list[Tensor] = []
    buffers: list[Tensor] = []
    kernel_serves = _is_exact(factor, shrink, momentum, dtype)
    for entry in entries:
        param, grad = local(entry.param), local(entry.grad)
        if decay == "decoupled" and weight_decay != 0:
            param.mul_(1 - lr * weight_decay)
        buffer = None
        if momentum != 0:
            state = optimizer.state[entry.param]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(entry.param)
            buffer = local(state["momentum_buffer"])
        if kernel_serves and _lie_alike(param, grad, buffer):
            params.append(param)
            grads.append(grad)
            if buffer is not None:
                buffers.append(buffer)
        else:
            _move_in_passes(param, grad, buffer, -factor if group["maximize"] else factor, shrink, momentum, lr)
    if params:
        assert _kernel is not None
        _kernel(
            params,
            grads,
            buffers,
            weight_decay=shrink / factor if shrink != 0 else 0.0,
            momentum=momentum,
            lr=lr if momentum != 0 else lr * factor,
            dampening=1 - factor if momentum != 0 else 0.0,
            nesterov=False,
            maximize=group["maximize"],
            is_first_step=False,
        )


def _is_exact(factor: float, shrink: float, momentum: float, dtype: torch.dtype) -> bool:
    """Whether the kernel's ``1 - dampening`` and ``weight_decay`` hold these numbers to the weights' precision."""
    if dtype not in _DTYPES or factor == 0 or not math.isfinite(shrink / factor):
        return False
    return momentum == 0 or abs((1 - (1 - factor)) - factor) <= torch.finfo(dtype).eps * factor


def _lie_alike(param: Tensor, grad: Tensor, buffer: Tensor | None) -> bool:
    """Whether the kernel, which walks through memory, meets the same elements in all of them (torch does not check)."""
    if grad.dtype != param.dtype:
        return False
    if param.is_contiguous() and grad.is_contiguous():
        return buffer is None or (buffer.is_contiguous() and buffer.dtype == param.dtype)
    dense = param.dim() == 4 and param.is_contiguous(memory_format=torch.channels_last)
    same = grad.stride() == param.stride() and (buffer is None or buffer.stride() == param.stride())
    return dense and same and (buffer is None or buffer.dtype == param.dtype)


def _move_in_passes(
    param: Tensor, grad: Tensor, buffer: Tensor | None, factor: float, shrink: float, momentum: float, lr: float
) -> None:
    """The same step with ordinary operations in place, for what the kernel cannot hold or walk through."""
    if param.dtype in HALF:
        _move_half(param, grad, buffer, factor, shrink, momentum, lr)
    elif buffer is None:
        param.mul_(1 - lr * shrink).add_(grad, alpha=-lr * factor)
    else:
        buffer.mul_(momentum).add_(grad, alpha=factor)
        if shrink != 0:
            buffer.add_(param, alpha=shrink)
        param.add_(buffer, alpha=-lr)


def _move_half(
    param: Tensor, grad: Tensor, buffer: Tensor | None, factor: float, shrink: float, momentum: float, lr: float
) -> None:
    """In float32, by pieces that stay in the cache where the tensors can be cut."""
    tensors = [param, grad] if buffer is None else [param, grad, buffer]
    if all(t.is_contiguous() for t in tensors):
        pieces = zip(*(torch.split(t.view(-1), PIECE) for t in tensors), strict=True)
    else:
        pieces = zip(*([t] for t in tensors), strict=True)
    for p, g, *m in pieces:
        wide = p.float()
        update = g.float().mul_(factor)
        if shrink != 0:
            update.add_(wide, alpha=shrink)
        if m:
            update.add_(m[0].float(), alpha=momentum)
            m[0].copy_(update)
        p.copy_(wide.add_(update, alpha=-lr))
