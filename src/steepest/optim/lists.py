"""The tensors of a step as lists, checked before anything moves; what was seen to be right is not looked into again."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from steepest.optim.layout import check_entry, check_state, owned_states, readable
from steepest.optim.method import Method
from steepest.optim.norms import aligned, local
from steepest.optim.plan import Plan, same

_DENSE = torch.strided
_NO_STATE: dict[str, Any] = {}
_shares_memory = torch._C._is_alias_of  # type: ignore[attr-defined]


class Lists(NamedTuple):
    """What lies on this rank, parallel to the plan's parameters."""

    params: list[Tensor]
    grads: list[Tensor]
    buffers: list[Tensor]  # of no use where the group has no momentum
    alike: list[bool]  # whether the kernel may walk through all three


def gathered(optimizer: Method, plan: Plan) -> Lists:
    """The tensors of the step, which are all checked before anything is changed.

    Raises:
        RuntimeError: a gradient or a state does not fit its parameter, or a parameter cannot be written.
    """
    uses_momentum = [group["momentum"] != 0 for group in plan.groups]
    used = [uses_momentum[i] for i in plan.group_of]
    params, state = plan.params, optimizer.state
    found = [state.get(p, _NO_STATE).get("momentum_buffer") if u else None for p, u in zip(params, used, strict=True)]
    grads = [cast("Tensor", p.grad) for p in params]
    buffers = [p if b is None else b for p, b in zip(params, found, strict=True)]
    if plan.plain and same(found, plan.own) and _places(params, buffers) == plan.places:
        alike = list(map(lie_alike, params, grads, buffers))
        if all(alike):
            return Lists(params, grads, buffers, alike)
    for i, (param, grad) in enumerate(zip(params, grads, strict=True)):
        _check(optimizer, param, grad, plan.groups[plan.group_of[i]])
    held = owned_states(optimizer, list(itertools.compress(params, used)), "momentum_buffer", [*params, *grads])
    own = iter(held)
    buffers = [next(own) if u else p for p, u in zip(params, used, strict=True)]
    plan.own[:] = [b if u else None for b, u in zip(buffers, used, strict=True)]
    plan.places[:] = _places(params, buffers) if plan.plain else []
    return _locals(optimizer, plan, grads, buffers)


def _places(params: list[Tensor], buffers: list[Tensor]) -> list[int]:
    return [tensor.data_ptr() for tensor in itertools.chain(params, buffers)]


def _locals(optimizer: Method, plan: Plan, grads: list[Tensor], buffers: list[Tensor]) -> Lists:
    """Return what lies on this rank, where gradients can be read while the rest is written."""
    params = plan.params
    if not plan.plain:
        grads = [local(aligned(g, p)) for g, p in zip(grads, params, strict=True)]
        params, buffers = [local(p) for p in params], [local(b) for b in buffers]
    for i, (param, buffer) in enumerate(zip(params, buffers, strict=True)):
        if buffer.shape != param.shape:  # the full tensors have one shape, and lie over the ranks in other ways
            check_state(optimizer, plan.params[i], "momentum_buffer", buffer, param)
        grads[i] = readable(grads[i], param, buffer)
    return Lists(params, grads, buffers, list(map(lie_alike, params, grads, buffers)))


def _check(optimizer: Method, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
    if grad.is_sparse:
        raise RuntimeError(optimizer.refuse_sparse())
    check_entry(optimizer, param, grad, group)


def lie_alike(param: Tensor, grad: Tensor, buffer: Tensor) -> bool:
    """Whether the kernel, which walks through memory, meets the same elements in all of them (torch checks nothing)."""
    shape, dtype, device = param.shape, param.dtype, param.device
    if grad.shape != shape or buffer.shape != shape or grad.dtype != dtype or buffer.dtype != dtype:
        return False
    # A parameter's device is part of the plan; its layout, and a buffer's, cannot change while it is the same object.
    if grad.device != device or buffer.device != device or grad.layout != _DENSE:
        return False
    if _shares_memory(grad, param) or (buffer is not param and _shares_memory(grad, buffer)):
        return False
    if not grad.data_ptr() or param.is_neg() or grad.is_neg() or buffer.is_neg():
        return False
    if param.is_contiguous() and grad.is_contiguous() and buffer.is_contiguous():
        return True
    alike = grad.stride() == param.stride() == buffer.stride()
    return alike and bool(torch.ops.aten.is_non_overlapping_and_dense(param))
