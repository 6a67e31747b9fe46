"""The one place that measures norms: in float32 at least, of the full tensor, without a host synchronisation."""

from collections.abc import Hashable, Sequence
from typing import cast

import torch
from torch import Tensor


def tensor_norm(tensor: Tensor) -> Tensor:
    """L2 norm of one tensor as a real 0-dim tensor: float64 for 64-bit input, float32 for everything smaller.

    An empty tensor has norm 0. Of a sharded ``DTensor`` it is the norm of the full tensor, the same on every rank.

    Example:
        >>> tensor_norm(torch.tensor([3.0, 4.0], dtype=torch.bfloat16))
        tensor(5.)
    """
    half = tensor.dtype in (torch.float16, torch.bfloat16)
    norm = torch.linalg.vector_norm(tensor, dtype=torch.float32 if half else None)
    # A DTensor's norm is a partial value: every rank holds its own share until it is resolved.
    return cast("Tensor", norm.full_tensor()) if hasattr(norm, "full_tensor") else norm


def root_sum_square(norms: Sequence[Tensor]) -> Tensor:
    """Norm of the concatenation of tensors whose norms are given, on the first norm's device.

    Mixed precisions are combined in the widest.

    Example:
        >>> root_sum_square([torch.tensor(3.0), torch.tensor(4.0)])
        tensor(5.)
    """
    dtype = torch.float64 if any(n.dtype == torch.float64 for n in norms) else torch.float32
    return cast("Tensor", torch.linalg.vector_norm(torch.stack([n.to(norms[0].device, dtype) for n in norms])))


def block_norms(norms: Sequence[Tensor], blocks: Sequence[Hashable]) -> dict[Hashable, Tensor]:
    """Combine the tensors' norms into one norm per block; ``blocks[i]`` names the block of tensor ``i``.

    Example:
        >>> block_norms([torch.tensor(3.0), torch.tensor(4.0), torch.tensor(7.0)], ["a", "a", "b"])
        {'a': tensor(5.), 'b': tensor(7.)}
    """
    members: dict[Hashable, list[Tensor]] = {}
    for norm, block in zip(norms, blocks, strict=True):
        members.setdefault(block, []).append(norm)
    return {block: root_sum_square(group) for block, group in members.items()}


def normalizing_scales(
    grads: Sequence[Tensor], params: Sequence[Tensor], blocks: Sequence[Hashable], ratios: Sequence[float | None]
) -> list[Tensor]:
    """Scale ``s_b`` of block-normalised gradients, one 0-dim tensor for each gradient.

    ``1 / ||g_b||`` where the ratio is ``None``, else ``ratio * ||w_b|| / ||g_b||``; a block whose weights are all zero
    takes the former in any case. 0 for a zero gradient, NaN for one that is not finite.

    Source: Yu et al., arXiv 1707.04822 (NG_UNIT and NG).

    Example:
        >>> g, w = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 10.0])
        >>> normalizing_scales([g, g], [w, w], ["a", "b"], [None, 0.5])
        [tensor(0.2000), tensor(1.)]
    """
    unit = {b: reciprocal(n) for b, n in block_norms([tensor_norm(g) for g in grads], blocks).items()}
    if all(ratio is None for ratio in ratios):
        return [unit[b] for b in blocks]
    weights = block_norms([tensor_norm(p) for p in params], blocks)
    return [
        unit[b] if ratio is None else unit[b] * torch.where(weights[b] > 0, ratio * weights[b], 1.0)
        for b, ratio in zip(blocks, ratios, strict=True)
    ]


def reciprocal(norm: Tensor) -> Tensor:
    """``1 / norm``, and what the edges must mean: 0 for a zero norm (no move), NaN for a norm that is not finite.

    A norm below the smallest normal number counts as zero: its reciprocal would overflow.

    Example:
        >>> reciprocal(torch.tensor([4.0, 0.0, float("inf")]))
        tensor([0.2500, 0.0000,    nan])
    """
    tiny = torch.finfo(norm.dtype).tiny
    inverse = torch.where(norm < tiny, torch.zeros_like(norm), 1 / norm)
    return torch.where(torch.isinf(norm), torch.full_like(norm, torch.nan), inverse)
