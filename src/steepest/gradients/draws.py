"""Random numbers that all ranks draw alike: a function of seed and draw, of which every rank keeps the part it owns."""

import hashlib
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from steepest.optim.norms import HALF, local

# Tensors up to this many elements together are served by one call of the generator.
_BUCKET = 1 << 22

Fill = Callable[[int, torch.dtype, torch.Generator], Tensor]
"""Makes a flat tensor of so many random numbers of a dtype, on the generator's device."""


def seeded(device: torch.device, *key: int) -> torch.Generator:
    """A generator whose numbers depend on the key alone: the same on all ranks, in any order of the calls."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest) >> 1)


def signs(count: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """``count`` numbers, -1 or +1 with equal chances; one 64-bit random word makes 64 of them.

    Example:
        >>> signs(5, torch.float32, seeded(torch.device("cpu"), 0)).abs()
        tensor([1., 1., 1., 1., 1.])
    """
    words = torch.empty((count + 63) // 64, dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)
    masks = (1 << torch.arange(8, device=generator.device)).to(torch.uint8).unsqueeze(1)
    bits = words.view(torch.uint8).bitwise_and(masks).flatten()[:count]
    return bits.to(torch.bool).to(dtype).mul_(2).sub_(1)


def normal(count: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """``count`` numbers of the standard normal distribution."""
    return torch.randn(count, dtype=dtype, device=generator.device, generator=generator)


def uniform(count: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """``count`` numbers, uniform in [0, 1)."""
    return torch.rand(count, dtype=dtype, device=generator.device, generator=generator)


def buckets(tensors: Sequence[Tensor]) -> list[list[int]]:
    """Indices of the tensors whose random numbers are drawn together; they share device and width.

    It depends on the sizes of the full tensors only, so that all ranks agree.
    """
    made: list[list[int]] = []
    open_ones: dict[tuple[torch.device, torch.dtype], tuple[list[int], int]] = {}
    for i, tensor in enumerate(tensors):
        key = (tensor.device, wide(tensor))
        members, size = open_ones.get(key, ([], 0))
        if not members or size + tensor.numel() > _BUCKET:
            members, size = [], 0
            made.append(members)
        members.append(i)
        open_ones[key] = members, size + tensor.numel()
    return made


def draw(tensors: Sequence[Tensor], fill: Fill, *key: int) -> list[Tensor]:
    """Random numbers in the shapes of the full tensors (complex ones as pairs), which share device and width."""
    shapes = [(*t.shape, 2) if t.is_complex() else tuple(t.shape) for t in tensors]
    sizes = [t.numel() * (2 if t.is_complex() else 1) for t in tensors]
    flat = fill(sum(sizes), wide(tensors[0]), seeded(tensors[0].device, *key))
    return [part.view(shape) for part, shape in zip(torch.split(flat, sizes), shapes, strict=True)]


def local_part(full: Tensor, tensor: Tensor) -> Tensor:
    """The part of ``full``, which all ranks hold alike, that belongs to this rank's part of ``tensor``."""
    placements = getattr(tensor, "placements", None)
    if placements is None:
        return full
    from torch.distributed.tensor import DTensor, Replicate

    mesh = cast("DTensor", tensor).device_mesh
    replicated = DTensor.from_local(full, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return replicated.redistribute(placements=placements).to_local()


def wide(tensor: Tensor) -> torch.dtype:
    """The real dtype in which a tensor's random numbers are made: float64 for 64-bit ones, else float32."""
    return torch.float32 if tensor.dtype in HALF else local(tensor).dtype
