"""The scales of all blocks at once, as vectors on the device, and which of them are finite."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from steepest.optim.method import Entry, Method, Signals
from steepest.optim.norms import BlockNorms, full_norms, like_norm, norms_over_blocks


def block_scales(
    optimizer: Method, blocks: Sequence[Sequence[Entry]], signals: Signals
) -> tuple[dict[int, Tensor], Tensor | None]:
    """The blocks' scales for each group (by the group's id), and whether they and the blocks' norms are finite."""
    if not optimizer.normalizes:
        return {}, None
    flat = [entry for members in blocks for entry in members]
    sizes = [len(members) for members in blocks]
    decayed = {
        i: (entry.param, _raw_decay(entry, signals))
        for i, entry in enumerate(flat)
        if optimizer.norm_includes_decay(entry.group)
    }
    grads = norms_over_blocks(full_norms([entry.grad for entry in flat], decayed), sizes)
    if signals.grad_scale is not None:
        grads = grads / signals.grad_scale.to(grads.device, grads.dtype)
    norms = BlockNorms(grads)
    if any(map(optimizer.needs_weight_norms, optimizer.param_groups)):
        norms = BlockNorms(grads, *_weight_norms(flat, sizes))
    groups = {id(entry.group): entry.group for entry in flat}
    vectors = {key: like_norm(optimizer.scale(group, norms), grads).expand_as(grads) for key, group in groups.items()}
    return vectors, torch.isfinite(torch.stack([grads, *vectors.values()])).all(dim=0)


def _weight_norms(flat: Sequence[Entry], sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the blocks' norms of the weights, and of the weights times their weight decay."""
    each = full_norms([entry.param for entry in flat])
    decays = [float(entry.group["weight_decay"]) for entry in flat]
    weights = norms_over_blocks(each, sizes)
    if all(decay == decays[0] for decay in decays):
        return weights, weights * decays[0]
    return weights, norms_over_blocks(torch._foreach_mul(each, decays), sizes)


def _raw_decay(entry: Entry, signals: Signals) -> float | Tensor:
    """Return the weight decay in the units and the sign of the gradient as it lies there."""
    decay = -entry.group["weight_decay"] if entry.group["maximize"] else entry.group["weight_decay"]
    if signals.grad_scale is None:
        return float(decay)
    wide = torch.promote_types(entry.param.real.dtype, torch.float32)
    return signals.grad_scale.to(entry.param.device, wide).mul(decay)


def flags_of(finite: Tensor | None, found_inf: Tensor | None, count: int) -> Tensor | None:
    """Which of the blocks may move; ``None`` if nobody has looked for what is not finite."""
    if found_inf is None:
        return finite
    clean = found_inf.reshape(()) == 0
    return clean.expand(count) if finite is None else finite & clean.to(finite.device)
