"""The one place that measures norms: in float32 at least, of the full tensor, without a host synchronisation."""

import itertools
import math
import sys
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

HALF = (torch.float16, torch.bfloat16)
MeshAxes = tuple[Any, tuple[int, ...]]
"""A device mesh and indices of its axes."""
_WHOLE = (Tensor, nn.Parameter)  # types of tensors that lie on this rank as they are
_NOTHING: Mapping[int, tuple[Tensor, float | Tensor]] = {}
# Elements of half precision converted at once: 1 MB of float32 stays in the cache.
PIECE = 1 << 18
# Below this `dot` does not share its work among threads.
_PARALLEL = 1 << 14


class BlockNorms(NamedTuple):
    """L2 norms of one block: floats on the host (the CPU's fused path), or tensors, a vector holding several blocks."""

    grad: float | Tensor
    weight: float | Tensor = 0.0
    decay: float | Tensor = 0.0  # of the block's term `weight_decay * w`


def tensor_norm(tensor: Tensor) -> Tensor:
    """L2 norm of one tensor as a real 0-dim tensor: float64 for 64-bit input, float32 for everything smaller.

    An empty tensor has norm 0. Of a sharded ``DTensor`` it is the norm of the full tensor, the same on every rank.

    Example:
        >>> tensor_norm(torch.tensor([3.0, 4.0], dtype=torch.bfloat16))
        tensor(5.)
    """
    half = tensor.dtype in HALF
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


def norms_over_blocks(norms: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """The blocks' norms as a vector, where neighbours form a block and ``sizes`` says how many.

    Blocks of one size are combined together where they are neighbours.

    Example:
        >>> norms_over_blocks([torch.tensor(3.0), torch.tensor(4.0), torch.tensor(7.0)], [2, 1])
        tensor([5., 7.])
    """
    kinds = [(n.device, n.dtype) for n in norms]
    if kinds.count(kinds[0]) < len(kinds):
        dtype = torch.float64 if any(n.dtype == torch.float64 for n in norms) else torch.float32
        norms = [n.to(norms[0].device, dtype) for n in norms]
    each = torch.stack(list(norms))
    parts, start = [], 0
    for size, alike in itertools.groupby(sizes):
        stop = start + size * len(list(alike))
        part = each[start:stop]
        parts.append(part if size == 1 else torch.linalg.vector_norm(part.view(-1, size), dim=1))
        start = stop
    return parts[0] if len(parts) == 1 else torch.cat(parts)


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


def block_normalizing_scale(norms: BlockNorms, ratio: float | None) -> float | Tensor:
    """Scale ``s_b`` of block-normalised gradients.

    ``1 / ||g_b||`` where the ratio is ``None``, else ``ratio * ||w_b|| / ||g_b||``; a block whose weights are all zero
    takes the former in any case. 0 for a zero gradient, NaN for one that is not finite.

    Source: Yu et al., arXiv 1707.04822 (NG_UNIT and NG).

    Example:
        >>> block_normalizing_scale(BlockNorms(grad=5.0), None)
        0.2
        >>> block_normalizing_scale(BlockNorms(torch.tensor([5.0, 5.0]), torch.tensor([10.0, 0.0])), 0.5)
        tensor([1.0000, 0.2000])
    """
    unit = reciprocal(norms.grad)
    if ratio is None:
        return unit
    return unit * where(norms.weight > 0, ratio * norms.weight, 1.0)


def reciprocal(norm: float | Tensor) -> float | Tensor:
    """``1 / norm``, and what the edges must mean: 0 for a zero norm (no move), NaN for a norm that is not finite.

    A norm below the smallest normal number counts as zero: its reciprocal would overflow.

    Example:
        >>> reciprocal(torch.tensor([4.0, 0.0, float("inf")]))
        tensor([0.2500, 0.0000,    nan])
        >>> reciprocal(4.0), reciprocal(0.0), reciprocal(float("inf"))
        (0.25, 0.0, nan)
    """
    if isinstance(norm, Tensor):
        tiny = torch.finfo(norm.dtype).tiny
        inverse = torch.where(norm < tiny, 0.0, norm.reciprocal())
        return torch.where(torch.isinf(norm), torch.nan, inverse)
    if norm < sys.float_info.min:
        return 0.0
    return math.nan if math.isinf(norm) else 1 / norm


def like_norm(value: float | Tensor, norm: float | Tensor) -> Tensor:
    """A scale as a tensor; a number takes the dtype and device of the norm that it came from."""
    if isinstance(value, Tensor):
        return value
    like = cast("Tensor", norm)
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def where(condition: bool | Tensor, yes: float | Tensor, no: float | Tensor) -> float | Tensor:
    """``torch.where`` for tensors, ``yes if condition else no`` for floats."""
    if isinstance(condition, Tensor):
        return torch.where(condition, yes, no)
    return yes if condition else no


def all_of(flags: Sequence[Tensor]) -> Tensor | None:
    """Whether all 0-dim flags hold, on the first one's device; ``None`` without flags."""
    if len(flags) == 1:
        return flags[0]
    return torch.stack([f.to(flags[0].device) for f in flags]).all() if flags else None


def square_norm(tensor: Tensor) -> float:
    """Square of the L2 norm of one dense CPU tensor, read at the pace of the memory.

    With one thread ``vector_norm`` is the faster reduction, with several ``dot``. Neither may be given half precision:
    the one would be rounded to it, and asking for a float32 result is a hundred times slower than converting pieces
    that stay in the cache.
    """
    if tensor.dtype in HALF:
        pieces = torch.split(tensor.reshape(-1), PIECE)
        return math.fsum(torch.linalg.vector_norm(piece.float()).item() ** 2 for piece in pieces)
    if torch.get_num_threads() > 1 and tensor.is_contiguous() and tensor.numel() >= _PARALLEL:
        flat = tensor.view(-1)
        return float(torch.dot(flat, flat))
    return float(torch.linalg.vector_norm(tensor)) ** 2


def full_norms(tensors: Sequence[Tensor], plus: Mapping[int, tuple[Tensor, float | Tensor]] = _NOTHING) -> list[Tensor]:
    """:func:`tensor_norm` of every tensor in few kernels, and one reduction for each mesh of sharded tensors.

    Where ``plus[i]`` is ``(other, factor)`` the norm is that of ``tensors[i] + factor * other``, and only one such sum
    exists at a time.

    Example:
        >>> full_norms([torch.tensor([3.0, 4.0]), torch.tensor([1.0])], plus={1: (torch.tensor([2.0]), 0.5)})
        [tensor(5.), tensor(2.)]
    """
    norms: list[Tensor | None] = [None] * len(tensors)
    alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    parts = [local(t) for t in tensors]
    for i, (tensor, part) in enumerate(zip(tensors, parts, strict=True)):
        if type(tensor) not in _WHOLE and any(p.is_partial() for p in getattr(tensor, "placements", ())):
            # Not yet summed over the ranks: torch resolves it.
            norms[i] = tensor_norm(tensor if i not in plus else _sum(tensor, *plus[i]))
        elif i in plus:
            norms[i] = tensor_norm(_sum(part, local(plus[i][0]), plus[i][1]))
        elif part.is_cpu and part.dtype in HALF:
            norms[i] = torch.tensor(square_norm(part) ** 0.5, dtype=torch.float32, device=part.device)
        else:
            alike.setdefault((part.device, part.dtype), []).append(i)
    for (_, dtype), chosen in alike.items():
        measured = torch._foreach_norm([parts[i] for i in chosen], 2, torch.float32 if dtype in HALF else None)
        for i, norm in zip(chosen, measured, strict=True):
            norms[i] = norm
    return _over_the_ranks(tensors, cast("list[Tensor]", norms))


def _sum(tensor: Tensor, other: Tensor, factor: float | Tensor) -> Tensor:
    return (other * factor).add_(tensor) if isinstance(factor, Tensor) else tensor.add(other, alpha=factor)


def _over_the_ranks(tensors: Sequence[Tensor], norms: list[Tensor]) -> list[Tensor]:
    """Combine the norms of shards into norms of full tensors, in place: one all-reduce for each set of mesh axes."""
    # A rank's shard may be empty, and its norm 0; ranks agree on the order since their groups do.
    for axes, chosen in sharded(tensors).items():
        squares = all_reduced(torch.stack([norms[i] for i in chosen]).square(), axes)
        for i, norm in zip(chosen, squares.sqrt().unbind(), strict=True):
            norms[i] = norm
    return norms


def sharded(tensors: Sequence[Tensor], *, but_by_filter: bool = False) -> dict[MeshAxes, list[int]]:
    """Indices of the tensors that are cut, by mesh and the axes they are cut over; a partial sum does not count as cut.

    Args:
        but_by_filter: leave out the axes over which whole filters (indices of dimension 0) are dealt out.
    """
    found: dict[MeshAxes, list[int]] = {}
    for i, tensor in enumerate(tensors):
        if type(tensor) in _WHOLE:
            continue
        placements = getattr(tensor, "placements", ())
        if any(p.is_partial() for p in placements):
            continue
        axes = tuple(k for k, p in enumerate(placements) if p.is_shard() and not (but_by_filter and p.is_shard(0)))
        if axes:
            found.setdefault((cast("Any", tensor).device_mesh, axes), []).append(i)
    return found


def all_reduced(values: Tensor, axes: MeshAxes, *, maximum: bool = False) -> Tensor:
    """Sum, or maximum, of ``values`` over the ranks along the mesh's axes, in place."""
    mesh, indices = axes
    operation = torch.distributed.ReduceOp.MAX if maximum else torch.distributed.ReduceOp.SUM
    for axis in indices:
        torch.distributed.all_reduce(values, operation, group=mesh.get_group(axis))
    return values


def full_maxima(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Largest magnitude in every full tensor, 0 in an empty one; like :func:`full_norms` otherwise.

    Example:
        >>> full_maxima([torch.tensor([3.0, -4.0]), torch.zeros(0)])
        [tensor(4.), tensor(0.)]
    """
    parts = [local(t) for t in tensors]
    maxima = [part.abs().amax() if part.numel() else part.new_zeros(()) for part in parts]
    for axes, chosen in sharded(tensors).items():
        together = all_reduced(torch.stack([maxima[i] for i in chosen]), axes, maximum=True)
        for i, value in zip(chosen, together.unbind(), strict=True):
            maxima[i] = value
    return maxima


def filter_sums(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """Sum of ``tensor * other`` over each filter: all dimensions but the first, which stays as it is cut on this rank.

    The pairs have the same shape and lie over the ranks alike. The results, of shape (filters, 1, ...), are in float32
    at least and broadcast to this rank's part (:func:`local`).

    Example:
        >>> filter_sums([torch.tensor([[1.0, 2.0], [3.0, 4.0]])], [torch.ones(2, 2)])
        [tensor([[3.],
                [7.]])]
    """
    sums = []
    for tensor, other in zip(tensors, others, strict=True):
        a, b = (x.float() if x.dtype in HALF else x for x in (local(tensor), local(other)))
        sums.append((a * b).sum(dim=tuple(range(1, a.dim())), keepdim=True))
    for axes, chosen in sharded(tensors, but_by_filter=True).items():
        for i in chosen:
            all_reduced(sums[i], axes)
    return sums


def aligned(grad: Tensor, param: Tensor) -> Tensor:
    """The gradient laid over the ranks as its parameter is; a ``DTensor``'s may still be a sum to be taken."""
    placements = getattr(param, "placements", None)
    if placements is None or placements == getattr(grad, "placements", None):
        return grad
    return cast("Tensor", cast("Any", grad).redistribute(cast("Any", param).device_mesh, placements))


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that lies on this rank, complex numbers as pairs of real ones; shares its memory."""
    if type(tensor) not in _WHOLE and hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
