"""The step over lists of tensors, on their device: no host synchronisation, and fit for ``torch.compile``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from steepest.optim.layout import LIKE_THE_PARAMETER, check_state, owned_state, owned_states, readable
from steepest.optim.method import Entry, Method, Signals
from steepest.optim.norms import HALF, aligned, all_of, local, tensor_norm
from steepest.optim.scales import block_scales, flags_of
from steepest.optim.step import Decay

ROOM = 16 << 20
"""Bytes of the tensors that are moved together on CUDA, if the largest is no larger."""


class Item(NamedTuple):
    """One tensor of the list, everything on this rank and its device."""

    param: Tensor
    grad: Tensor
    momentum_buffer: Tensor | None
    compensation: Tensor | None
    scale: Tensor | None
    step_scale: Tensor | None
    valid: Tensor | None


class Batch(NamedTuple):
    """Tensors of one group, device and dtype."""

    group: dict[str, Any]
    decay: Decay
    items: list[Item]


def foreach_step(optimizer: Method, signals: Signals) -> None:
    """Take the step with ``torch._foreach_*``, at most one tensor's worth of temporaries at a time (on CUDA 16 MB)."""
    if not (blocks := optimizer.prepared_blocks()):
        return
    batches = _gather(optimizer, blocks, signals)
    room = _room([item.param for batch in batches for item in batch.items])
    for batch in batches:
        move_in_chunks(batch, room, signals.grad_scale)


def move_in_chunks(batch: Batch, room: int, grad_scale: Tensor | None) -> None:
    """Move the tensors of a batch, as many at a time as have room together."""
    for chunk in chunks([size_of(item.param) for item in batch.items], room):
        move_list(batch._replace(items=batch.items[chunk]), grad_scale)


def _room(params: list[Tensor]) -> int:
    on_cuda = not torch.compiler.is_compiling() and any(param.is_cuda for param in params)
    return max([size_of(param) for param in params] + ([ROOM] if on_cuda else []))


def size_of(tensor: Tensor) -> int:
    """In bytes."""
    return tensor.numel() * tensor.element_size()


def _gather(optimizer: Method, blocks: list[list[Entry]], signals: Signals) -> list[Batch]:
    """Return what is to be moved, with its scales, all on the device; steps that are not finite are counted."""
    if not torch.compiler.is_compiling():
        _own_the_state(optimizer, blocks)
    scales, finite = block_scales(optimizer, blocks, signals)
    flags = flags_of(finite, signals.found_inf, len(blocks))
    columns = {key: vector.unbind() for key, vector in scales.items()}
    may_move = None if flags is None else flags.unbind()
    seen = [] if flags is None else [flags.all()]
    alike: dict[tuple[int, torch.device, torch.dtype, bool], list[Item]] = {}
    groups: dict[int, dict[str, Any]] = {}
    for i, members in enumerate(blocks):
        steps = [optimizer.step_scale(entry.param, entry.group) for entry in members]
        finite_steps = [torch.isfinite(tensor_norm(step)) for step in steps if step is not None]
        seen += finite_steps
        valid = all_of(([] if may_move is None else [may_move[i]]) + finite_steps)
        for entry, step in zip(members, steps, strict=True):
            param, grad = local(entry.param), local(aligned(entry.grad, entry.param))
            device = param.device
            scale = columns[id(entry.group)][i] if columns else None
            buffer = _state(optimizer, entry, "momentum_buffer") if entry.group["momentum"] != 0 else None
            item = Item(
                param,
                grad if torch.compiler.is_compiling() else readable(grad, param if buffer is None else buffer),
                buffer,
                _state(optimizer, entry, "compensation") if entry.group["kahan_sum"] else None,
                None if scale is None else scale.to(device),
                _broadcastable(step, entry.param),
                None if valid is None else valid.to(device),
            )
            groups[id(entry.group)] = entry.group
            alike.setdefault((id(entry.group), device, param.dtype, valid is None), []).append(item)
    if (everything := all_of(seen)) is not None:
        optimizer.count_nonfinite(~everything)
    return [Batch(groups[key], optimizer.decay_of(groups[key]), items) for (key, *_), items in alike.items()]


def _own_the_state(optimizer: Method, blocks: list[list[Entry]]) -> None:
    """See to it, where a state is seen for the first time, that it shares no memory with what is read or written."""
    entries = [entry for members in blocks for entry in members]
    held = [optimizer.state.get(entry.param) for entry in entries]
    if optimizer._own is not None and _seen(entries, held) == optimizer._own:
        return
    tensors = [tensor for entry in entries for tensor in (entry.param, entry.grad)]
    for name, option in zip(LIKE_THE_PARAMETER, ("momentum", "kahan_sum"), strict=True):
        params = [entry.param for entry in entries if entry.group[option]]
        tensors += owned_states(optimizer, params, name, tensors)
    held = [optimizer.state.get(entry.param) for entry in entries]
    optimizer._own = _seen(entries, held)


def _seen(entries: list[Entry], held: list[dict[str, Any] | None]) -> list[tuple[int, int]]:
    """Return the tensors and where they lie: ``.data`` and ``set_`` move one."""
    states = [state.get(name) for state in held if state is not None for name in LIKE_THE_PARAMETER]
    tensors = [*(entry.param for entry in entries), *(state for state in states if state is not None)]
    return [(id(tensor), 0 if tensor.is_meta else local(tensor).data_ptr()) for tensor in tensors]


def _state(optimizer: Method, entry: Entry, name: str) -> Tensor:
    state, param = local(owned_state(optimizer, entry.param, name)), local(entry.param)
    if state.shape != param.shape:  # the full tensors have one shape, and lie over the ranks in other ways
        check_state(optimizer, entry.param, name, state, param)
    return state


def _broadcastable(step: Tensor | None, param: Tensor) -> Tensor | None:
    if step is None:
        return None
    step = local(step)
    return step.unsqueeze(-1) if param.is_complex() else step


def chunks(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Neighbours that together are no larger than the limit, or single ones."""
    start = total = 0
    for i, size in enumerate(sizes):
        if i > start and total + size > limit:
            yield slice(start, i)
            start, total = i, 0
        total += size
    if sizes:
        yield slice(start, len(sizes))


def move_list(batch: Batch, grad_scale: Tensor | None) -> None:
    """Move the tensors of a batch, with temporaries as large as all of them together."""
    group, decay, items = batch
    momentum, weight_decay, lr = group["momentum"], group["weight_decay"], group["lr"]
    params = [item.param for item in items]
    buffers = [item.momentum_buffer for item in items if item.momentum_buffer is not None]
    compensations = [item.compensation for item in items if item.compensation is not None]
    on_host = isinstance(lr, Tensor) and lr.device.type == "cpu" and not torch.compiler.is_compiling()
    if on_host and params[0].dtype not in HALF:
        lr = float(lr)  # no synchronisation; in half precision torch would round a number, and not a tensor
    elif isinstance(lr, Tensor):
        lr = lr.reshape(())  # (1, 1) would not broadcast to a vector in place

    d = _Owned([item.grad for item in items])
    scales = [item.scale for item in items if item.scale is not None]
    if (scales or grad_scale is not None) and params[0].dtype in HALF:
        d.replace([t.float() for t in d.tensors])  # the scale must not be rounded to half precision
    if grad_scale is not None:
        d.multiply(grad_scale.to(params[0].device).reciprocal())
    if group["maximize"]:
        d.multiply(-1.0)
    if weight_decay != 0 and decay == "before_scaling":
        d.add(params, weight_decay)
    if scales:
        d.multiply(scales)
    d.cast(params[0].dtype)
    if weight_decay != 0 and decay == "after_scaling":
        d.add(params, weight_decay)

    valid = [item.valid for item in items if item.valid is not None]
    if momentum != 0 and valid:
        # m + ((momentum - 1) * m + d), where valid; the look-ahead d + momentum * m is then m + momentum * (the change)
        d.add(buffers, momentum - 1)
        d.mask(valid)
        torch._foreach_add_(buffers, d.tensors)
        if group["nesterov"]:
            d.multiply(momentum)
            d.add(buffers, 1.0)
    elif momentum != 0:
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, d.tensors)
        if group["nesterov"]:
            d.add(buffers, momentum)
    if momentum != 0 and not group["nesterov"]:
        d = _Owned(buffers)
    d.multiply_each([item.step_scale for item in items])
    if weight_decay != 0 and decay == "decoupled":
        d.add(params, weight_decay)
    if valid:
        d.mask(valid)

    if not compensations:
        _subtract(params, d.tensors, lr)
        return
    _subtract(compensations, d.tensors, lr)  # now the change that is due
    del d
    before = [p.clone() for p in params]
    torch._foreach_add_(params, compensations)
    for param, ok, old in zip(params, valid, before, strict=False):  # there may be nothing to mask by
        # A compensation left from before may be just large enough to move its weight.
        torch.where(ok, param, old, out=param)
    torch._foreach_sub_(before, params)
    torch._foreach_add_(compensations, before)


def _subtract(tensors: list[Tensor], updates: list[Tensor], lr: float | Tensor) -> None:
    if not isinstance(lr, Tensor):
        torch._foreach_add_(tensors, updates, alpha=-lr)
        return
    for tensor, update in zip(tensors, updates, strict=True):
        if tensor.dtype in HALF:
            tensor.copy_(tensor.float().addcmul(update.float(), lr, value=-1))
        else:
            tensor.addcmul_(update, lr, value=-1)


class _Owned:
    """Hold tensors, copied before the first operation in place: gradients and buffers stay as they are."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors
        self._copied = False

    def replace(self, tensors: list[Tensor]) -> None:
        self._copied = self._copied or all(a is not b for a, b in zip(tensors, self.tensors, strict=True))
        self.tensors = tensors

    def multiply(self, factor: float | Tensor | list[Tensor]) -> None:
        if self._copied:
            torch._foreach_mul_(self.tensors, factor)
        else:
            self.replace(list(torch._foreach_mul(self.tensors, factor)))

    def multiply_each(self, factors: list[Tensor | None]) -> None:
        """Multiply by factors that broadcast to the tensors; ``None`` is 1."""
        if all(factor is None for factor in factors):
            return
        if not self._copied:
            self.replace([t.clone() for t in self.tensors])
        for tensor, factor in zip(self.tensors, factors, strict=True):
            if factor is not None:
                # In float32 for half precision, whose factor must not be rounded.
                tensor.copy_(tensor.float() * factor) if tensor.dtype in HALF else tensor.mul_(factor)

    def add(self, others: list[Tensor], alpha: float) -> None:
        if self._copied:
            torch._foreach_add_(self.tensors, others, alpha=alpha)
        else:
            self.replace(list(torch._foreach_add(self.tensors, others, alpha=alpha)))

    def cast(self, dtype: torch.dtype) -> None:
        if self.tensors[0].dtype != dtype:
            self.replace([t.to(dtype) for t in self.tensors])

    def mask(self, valid: list[Tensor]) -> None:
        """Zero where not valid; a multiplication would keep NaN."""
        if not self._copied:
            self.replace([t.clone() for t in self.tensors])
        for tensor, ok in zip(self.tensors, valid, strict=True):
            tensor.masked_fill_(~ok, 0)
