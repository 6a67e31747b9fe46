"""The eager step on CUDA: torch's fused SGD kernel moves block after block, and the device tells it by what to divide.

The kernel computes ``m = momentum * m + g / grad_scale + weight_decay * p`` and does nothing where its ``found_inf`` is
1; it reads both on the device, so that nothing waits. It writes ``g / grad_scale`` back: it is given copies. What it
cannot serve takes the path over lists.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from steepest.optim.foreach import ROOM, Batch, Item, chunks, foreach_step, move_in_chunks, size_of
from steepest.optim.lists import Lists, gathered
from steepest.optim.method import Entry, Method, Signals
from steepest.optim.norms import HALF
from steepest.optim.plan import Plan, made_plan
from steepest.optim.scales import block_scales, flags_of

_kernel = getattr(torch, "_fused_sgd_", None)


class Share(NamedTuple):
    """Tensors of one group, dtype and device, by their index in the plan, and the index of each one's block."""

    group: int
    dtype: torch.dtype
    device: torch.device
    members: list[int]
    blocks: list[int]


class Ready(NamedTuple):
    """Everything that the step needs, checked and measured; the vectors have one number for each block."""

    plan: Plan
    lists: Lists
    scales: dict[int, Tensor]
    missed: Tensor | None
    signals: Signals


def lists_step(optimizer: Method, signals: Signals) -> None:
    """Take the step with a launch of torch's kernel for each block."""
    ready = None if _kernel is None else make_ready(optimizer, signals)
    if ready is None:
        foreach_step(optimizer, signals)
        return
    for share in shares_of(ready.plan):
        taken = _served(optimizer, ready, share)
        if taken.members:
            _move_share(optimizer, ready, taken)
        move_others(optimizer, ready, share, taken)


def make_ready(optimizer: Method, signals: Signals) -> Ready | None:
    """What is to be moved and how far, nothing moved yet; ``None`` if only the path over blocks can say it."""
    asks = optimizer.has_step_scales or type(optimizer).prepare is not Method.prepare
    if asks or any(group["kahan_sum"] for group in optimizer.param_groups):
        return None
    plan = optimizer._plan = made_plan(optimizer, optimizer._plan)
    if not (plan.plain and plan.params):
        return None
    lists = gathered(optimizer, plan)
    params, grads, group_of, groups = lists.params, lists.grads, plan.group_of, plan.groups
    blocks = [
        [Entry(params[i], grads[i], groups[group_of[i]]) for i in range(block[0].start, block[-1].stop)]
        for block in plan.blocks
    ]
    scales, finite = block_scales(optimizer, blocks, signals)
    flags = flags_of(finite, signals.found_inf, len(blocks))
    missed = None if flags is None else ~flags
    if missed is not None:
        optimizer.count_nonfinite(missed.any())
    return Ready(plan, lists, scales, missed, signals)


def shares_of(plan: Plan) -> list[Share]:
    """The plan's tensors, apart by what a kernel must be called anew for."""
    if "shares" not in plan.kept:
        shares: dict[Any, Share] = {}
        for block, run in ((k, run) for k, runs in enumerate(plan.blocks) for run in runs):
            key = run.group, run.dtype, run.device
            share = shares.setdefault(key, Share(*key, [], []))
            share.members.extend(range(run.start, run.stop))
            share.blocks.extend([block] * (run.stop - run.start))
        plan.kept["shares"] = list(shares.values())
    return cast("list[Share]", plan.kept["shares"])


def those_of(share: Share, alike: list[bool]) -> Share:
    """The share's tensors that a kernel may walk through."""
    chosen = [alike[i] for i in share.members]
    if all(chosen):
        return share
    members, blocks = (list(itertools.compress(x, chosen)) for x in (share.members, share.blocks))
    return share._replace(members=members, blocks=blocks)


def move_others(optimizer: Method, ready: Ready, share: Share, taken: Share) -> None:
    """Move what the kernel did not, over lists."""
    if taken is share:
        return
    group = ready.plan.groups[share.group]
    lists, scales, missed = ready.lists, ready.scales.get(id(group)), ready.missed
    columns = None if scales is None else scales.to(share.device).unbind()
    may_move = None if missed is None else (~missed.to(share.device)).unbind()
    done = set(taken.members)
    items = [
        Item(
            lists.params[i],
            lists.grads[i],
            lists.buffers[i] if group["momentum"] != 0 else None,
            None,
            None if columns is None else columns[block],
            None,
            None if may_move is None else may_move[block],
        )
        for i, block in zip(share.members, share.blocks, strict=True)
        if i not in done
    ]
    room = max([ROOM, *(size_of(item.param) for item in items)])
    move_in_chunks(Batch(group, optimizer.decay_of(group), items), room, ready.signals.grad_scale)


def _served(optimizer: Method, ready: Ready, share: Share) -> Share:
    """Find what the kernel serves. With nothing to look out for, the lists are as fast, and exactly SGD's."""
    group = ready.plan.groups[share.group]
    decay = optimizer.decay_of(group) if group["weight_decay"] != 0 else None
    wide_lr = share.dtype == torch.float64 and isinstance(group["lr"], Tensor) and not group["lr"].is_cpu
    rounds_twice = share.dtype in HALF and (
        decay == "decoupled" or (decay == "before_scaling" and ready.signals.grad_scale is not None)
    )
    if ready.missed is None or wide_lr or rounds_twice:
        return share._replace(members=[], blocks=[])
    return those_of(share, ready.lists.alike)


def _move_share(optimizer: Method, ready: Ready, share: Share) -> None:
    group, lists = ready.plan.groups[share.group], ready.lists
    decay = optimizer.decay_of(group) if group["weight_decay"] != 0 else None
    lr = group["lr"]
    if isinstance(lr, Tensor):
        lr = float(lr) if lr.is_cpu else lr.reshape(()).to(share.device, torch.float32)
    missed = cast("Tensor", ready.missed).to(share.device)
    flags = missed.to(torch.float32).unbind()
    divisors = _divisors(ready, share)
    shrink = _shrinkage(group, lr, missed, share.dtype) if decay == "decoupled" else None
    params = [lists.params[i] for i in share.members]
    strides = [param.stride() for param in params]
    grads = _with_strides([lists.grads[i] for i in share.members], strides)
    buffers = _with_strides([lists.buffers[i] for i in share.members], strides) if group["momentum"] != 0 else []
    sizes = list(map(size_of, params))
    for chunk in chunks(sizes, max([ROOM, *sizes])):
        copies = _copies(params[chunk], grads[chunk], group, decay, ready.signals.grad_scale)
        if share.dtype == torch.float64 and divisors is not None:  # the kernel would read them in float32
            torch._foreach_div_(copies, [divisors[block] for block in share.blocks[chunk]])
        start = chunk.start
        for block, alike in itertools.groupby(share.blocks[chunk]):
            stop = start + len(list(alike))
            if shrink is not None:
                torch._foreach_mul_(params[start:stop], shrink[block])
            cast("Any", _kernel)(
                params[start:stop],
                copies[start - chunk.start : stop - chunk.start],
                buffers[start:stop],
                weight_decay=group["weight_decay"] if decay == "after_scaling" else 0.0,
                momentum=group["momentum"],
                lr=lr,
                dampening=0.0,
                nesterov=group["nesterov"],
                maximize=False,
                is_first_step=False,
                grad_scale=None if divisors is None or share.dtype == torch.float64 else divisors[block],
                found_inf=flags[block],
            )
            start = stop


def _divisors(ready: Ready, share: Share) -> tuple[Tensor, ...] | None:
    """Return the blocks' divisors: the loss scale over the block's scale, with the sign of the step."""
    group, missed, loss_scale = ready.plan.groups[share.group], cast("Tensor", ready.missed), ready.signals.grad_scale
    dtype = torch.float64 if share.dtype == torch.float64 else torch.float32
    scale = ready.scales.get(id(group))
    if scale is None and loss_scale is None and not group["maximize"]:
        return None
    divisors = torch.ones(len(missed), dtype=dtype, device=share.device) if scale is None else scale.reciprocal()
    divisors = divisors.to(share.device, dtype)
    if loss_scale is not None:
        divisors = divisors * loss_scale.to(share.device, dtype)
    return (divisors.neg() if group["maximize"] else divisors).unbind()


def _shrinkage(group: dict[str, Any], lr: float | Tensor, missed: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return the factors of the decoupled decay, 1 for a block that stays."""
    factor = 1 - lr * group["weight_decay"]
    if isinstance(factor, Tensor):
        factors = factor.expand(len(missed)).masked_fill(missed, 1.0)
    else:
        factors = torch.full_like(missed, factor, dtype=dtype).masked_fill_(missed, 1.0)
    return factors.unbind()


def _copies(
    params: list[Tensor], grads: list[Tensor], group: dict[str, Any], decay: str | None, loss_scale: Tensor | None
) -> list[Tensor]:
    """Copy the gradients as they are to be divided, in units of the loss scale, with the decay before the scaling."""
    alpha = -group["weight_decay"] if group["maximize"] else group["weight_decay"]
    if decay != "before_scaling":
        return list(torch._foreach_mul(grads, 1.0))
    if loss_scale is None:
        return list(torch._foreach_add(grads, params, alpha=alpha))
    decays = torch._foreach_mul(params, loss_scale.to(params[0].device, params[0].dtype) * alpha)
    torch._foreach_add_(decays, grads)
    return list(decays)


def _with_strides(tensors: list[Tensor], strides: list[tuple[int, ...]]) -> list[Tensor]:
    """Return the same memory with the parameters' strides, which may be other ones where a dimension has one index."""
    return [
        tensor if tensor.stride() == stride else tensor.as_strided(tensor.shape, stride)
        for tensor, stride in zip(tensors, strides, strict=True)
    ]
