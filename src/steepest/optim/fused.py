"""The step with torch's fused SGD kernel on the CPU: norms are floats on the host, and one pass moves the weights.

The kernel computes ``m = momentum * m + (1 - dampening) * (g + weight_decay * p)``, so that ``dampening = 1 - scale``
and ``weight_decay / scale`` make it take the step of the family, and never write the gradient. A block is measured and
moved while its gradient is in the cache.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from steepest.optim.lists import Lists, gathered
from steepest.optim.method import Method, Signals
from steepest.optim.norms import HALF, PIECE, BlockNorms, full_norms, square_norm
from steepest.optim.plan import Plan, Run, made_plan
from steepest.optim.step import Decay

_kernel = getattr(torch, "_fused_sgd_", None)
# Not half precision, where the kernel of torch 2.13 and before writes wrong numbers (pytorch issue 191763).
_DTYPES = (torch.float32, torch.float64)
_SMALL = 1 << 14


def why_not_fused(optimizer: Method, group: dict[str, Any]) -> str | None:
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


class _Group(NamedTuple):
    """Hold what a step needs of a group, read once."""

    lr: float
    momentum: float
    weight_decay: float
    decay: Decay
    sign: int


def fused_step(optimizer: Method, signals: Signals) -> None:
    """Take the step block by block.

    Raises:
        RuntimeError: a parameter is not on the CPU.
    """
    if type(optimizer).prepare is not Method.prepare:
        optimizer.prepared_blocks()
    if signals.found_inf is not None and bool(signals.found_inf):
        optimizer.count_nonfinite(True)
        return
    plan = made_plan(optimizer, optimizer._plan)
    if plan is not optimizer._plan:
        _refuse_elsewhere(plan)
        optimizer._plan = plan
    groups = [
        _Group(
            float(group["lr"]) if isinstance(group["lr"], Tensor) else group["lr"],
            group["momentum"],
            group["weight_decay"],
            optimizer.decay_of(group),
            -1 if group["maximize"] else 1,
        )
        for group in plan.groups
    ]
    loss_scale = 1.0 if signals.grad_scale is None else float(signals.grad_scale)
    lists = gathered(optimizer, plan)
    if not optimizer.normalizes:
        for run in (run for block in plan.blocks for run in block):
            _move(lists, run, groups[run.group], 1.0, loss_scale)
        return
    of_weights = any(map(optimizer.needs_weight_norms, plan.groups))
    squares = _measure_ahead(optimizer, plan, groups, of_weights, loss_scale)
    missed = False
    for block in plan.blocks:
        norms = _norms(lists, block, groups, squares, of_weights, loss_scale)
        scales = [float(optimizer.scale(plan.groups[run.group], norms)) for run in block]
        if math.isfinite(norms.grad) and all(map(math.isfinite, scales)):
            for run, scale in zip(block, scales, strict=True):
                _move(lists, run, groups[run.group], scale, loss_scale)
        else:
            missed = True
    optimizer.count_nonfinite(missed)


def _refuse_elsewhere(plan: Plan) -> None:
    for param in plan.found:
        if not param.is_cpu:
            raise RuntimeError(f"fused=True serves parameters on the CPU, got one on {param.device}: leave fused=None")


def _measure_ahead(
    optimizer: Method,
    plan: Plan,
    groups: list[_Group],
    of_weights: bool,
    loss_scale: float,
) -> dict[int, float]:
    """Measure all together squared norms of gradients (by the parameter's index) and weights (by its complement).

    Of sharded tensors, since they need a collective; of small ones, since one call for all is cheaper; of all tensors
    if there is only one block and one thread. The others are measured when their block's turn comes, and stay in the
    cache until it is moved.
    """
    small = math.inf if len(plan.blocks) == 1 and torch.get_num_threads() == 1 else _SMALL
    tensors: list[Tensor] = []
    keys: list[int] = []
    plus: dict[int, tuple[Tensor, float | Tensor]] = {}
    for run in (run for block in plan.blocks for run in block):
        group = groups[run.group]
        includes_decay = optimizer.norm_includes_decay(plan.groups[run.group])
        for i in range(run.start, run.stop):
            param = plan.params[i]
            grad = cast("Tensor", param.grad)
            if includes_decay or grad.numel() < small or hasattr(grad, "full_tensor"):
                if includes_decay:
                    plus[len(tensors)] = param, group.sign * loss_scale * group.weight_decay
                tensors.append(grad)
                keys.append(i)
                if of_weights:
                    tensors.append(param)
                    keys.append(~i)
    return {key: float(norm) ** 2 for key, norm in zip(keys, full_norms(tensors, plus), strict=True)}


def _norms(
    lists: Lists,
    block: list[Run],
    groups: list[_Group],
    squares: dict[int, float],
    of_weights: bool,
    loss_scale: float,
) -> BlockNorms:
    grad = weight = decay = 0.0
    for run in block:
        for i in range(run.start, run.stop):
            known = squares.get(i)
            grad += square_norm(lists.grads[i]) if known is None else known
            if of_weights:
                known = squares.get(~i)
                square = square_norm(lists.params[i]) if known is None else known
                weight += square
                decay += groups[run.group].weight_decay ** 2 * square
    return BlockNorms(math.sqrt(grad) / loss_scale, math.sqrt(weight), math.sqrt(decay))


def _move(lists: Lists, run: Run, group: _Group, scale: float, loss_scale: float) -> None:
    span = slice(run.start, run.stop)
    params, grads, buffers, alike = lists.params[span], lists.grads[span], lists.buffers[span], lists.alike[span]
    factor = scale / loss_scale  # of the gradient as it lies there
    # What multiplies p in `factor * g + shrink * p`, the term that enters the momentum.
    shrink = {"after_scaling": 1.0, "before_scaling": scale, "decoupled": 0.0}[group.decay] * group.weight_decay
    if group.decay == "decoupled" and group.weight_decay != 0:
        for param in params:
            param.mul_(1 - group.lr * group.weight_decay)
    with_momentum = group.momentum != 0
    kernel_serves = _is_exact(factor, shrink, group.momentum, run.dtype)
    if not (kernel_serves and all(alike)):
        for param, grad, buffer, ok in zip(params, grads, buffers, alike, strict=True):
            if not (kernel_serves and ok):
                past = buffer if with_momentum else None
                _move_in_passes(param, grad, past, group.sign * factor, shrink, group.momentum, group.lr)
        if not kernel_serves or not any(alike):
            return
        params, grads, buffers = (list(itertools.compress(x, alike)) for x in (params, grads, buffers))
    cast("Any", _kernel)(
        params,
        grads,
        buffers if with_momentum else [],
        weight_decay=shrink / factor if shrink != 0 else 0.0,
        momentum=group.momentum,
        lr=group.lr if with_momentum else group.lr * factor,
        dampening=1 - factor if with_momentum else 0.0,
        nesterov=False,
        maximize=group.sign == -1,
        is_first_step=False,
    )


def _is_exact(factor: float, shrink: float, momentum: float, dtype: torch.dtype) -> bool:
    """Say whether the kernel's ``1 - dampening`` and ``weight_decay`` hold these numbers to the weights' precision."""
    if dtype not in _DTYPES or factor == 0 or not math.isfinite(shrink / factor):
        return False
    return momentum == 0 or abs((1 - (1 - factor)) - factor) <= torch.finfo(dtype).eps * factor


def _move_in_passes(
    param: Tensor, grad: Tensor, buffer: Tensor | None, factor: float, shrink: float, momentum: float, lr: float
) -> None:
    """Take the same step with ordinary operations in place, for what the kernel cannot hold or walk through."""
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
    """Move in float32, by pieces that stay in the cache where the tensors can be cut."""
    tensors = [param, grad] if buffer is None else [param, grad, buffer]
    if all(t.is_contiguous() for t in tensors):
        pieces = zip(*(torch.split(t.view(-1), PIECE) for t in tensors), strict=True)
    else:
        pieces = zip(*([t] for t in tensors), strict=True)
    for p, g, *m in pieces:
        wide = p.float()
        update = g.float().mul(factor)  # a float32 gradient is itself what float() returns
        if shrink != 0:
            update.add_(wide, alpha=shrink)
        if m:
            update.add_(m[0].float(), alpha=momentum)
            m[0].copy_(update)
        p.copy_(wide.add_(update, alpha=-lr))
