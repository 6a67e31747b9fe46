"""The plain loop over blocks and their tensors: the specification that the faster paths must agree with."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from steepest.optim.method import Entry, Method, Signals
from steepest.optim.norms import BlockNorms, aligned, all_of, like_norm, root_sum_square, tensor_norm
from steepest.optim.step import scaled_step


def loop_step(optimizer: Method, signals: Signals) -> None:
    """Take the step with :func:`steepest.optim.step.scaled_step`, tensor by tensor, for any tensor torch can add."""
    if not (blocks := optimizer.prepared_blocks()):
        return
    clean = [] if signals.found_inf is None else [signals.found_inf.reshape(()) == 0]
    seen = list(clean)
    for members in blocks:
        grads = [_true_gradient(entry, signals) for entry in members]
        steps = [optimizer.step_scale(entry.param, entry.group) for entry in members]
        scales: list[Tensor | None] = [None] * len(members)
        finite = [torch.isfinite(tensor_norm(step)) for step in steps if step is not None]
        if optimizer.normalizes:
            norms = _measure(optimizer, members, grads)
            measured = [like_norm(optimizer.scale(entry.group, norms), norms.grad) for entry in members]
            finite += [torch.isfinite(s) for s in (cast("Tensor", norms.grad), *measured)]
            scales = [*measured]
        valid = all_of(finite + clean)
        seen += finite
        for entry, grad, scale, step in zip(members, grads, scales, steps, strict=True):
            _move(optimizer, entry, grad, scale, step, valid)
    if (everything := all_of(seen)) is not None:
        optimizer.count_nonfinite(~everything)


def _true_gradient(entry: Entry, signals: Signals) -> Tensor:
    grad = aligned(entry.grad, entry.param)
    if signals.grad_scale is not None:
        inverse = signals.grad_scale.to(grad.device).reciprocal()
        grad = grad.to(torch.promote_types(grad.dtype, torch.float32)).mul(inverse)
    return -grad if entry.group["maximize"] else grad


def _measure(optimizer: Method, members: list[Entry], grads: list[Tensor]) -> BlockNorms:
    decays = [entry.group["weight_decay"] for entry in members]
    measured = [
        grad.add(entry.param, alpha=decay) if optimizer.norm_includes_decay(entry.group) else grad
        for entry, grad, decay in zip(members, grads, decays, strict=True)
    ]
    grad_norm = root_sum_square([tensor_norm(g) for g in measured])
    if not any(map(optimizer.needs_weight_norms, optimizer.param_groups)):
        return BlockNorms(grad_norm)
    weights = [tensor_norm(entry.param) for entry in members]
    decay_norm = root_sum_square([n * decay for n, decay in zip(weights, decays, strict=True)])
    return BlockNorms(grad_norm, root_sum_square(weights), decay_norm)


def _move(
    optimizer: Method,
    entry: Entry,
    grad: Tensor,
    scale: Tensor | None,
    step_scale: Tensor | None,
    valid: Tensor | None,
) -> None:
    param, group, state = entry.param, entry.group, optimizer.state.get(entry.param, {})
    old = {name: state.get(name) for name in ("momentum_buffer", "compensation")}
    if group["kahan_sum"] and old["compensation"] is None:
        old["compensation"] = torch.zeros_like(param)
    new = scaled_step(
        param,
        grad,
        old["momentum_buffer"] if group["momentum"] != 0 else None,
        old["compensation"] if group["kahan_sum"] else None,
        scale=None if scale is None else scale.to(param.device),
        step_scale=step_scale,
        lr=group["lr"],
        momentum=group["momentum"],
        weight_decay=group["weight_decay"],
        decay=optimizer.decay_of(group),
        nesterov=group["nesterov"],
    )._asdict()
    old["param"] = param
    for name, tensor in new.items():
        if tensor is None:
            continue
        if valid is not None:
            # `where`, not a multiplication by 0: 0 * NaN is NaN.
            before = torch.zeros_like(tensor) if old[name] is None else old[name]
            tensor = torch.where(valid.to(param.device), tensor, before)
        if name == "param":
            param.copy_(tensor)
        else:
            optimizer.state[param][name] = tensor
