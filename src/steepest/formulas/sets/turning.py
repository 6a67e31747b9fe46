"""Bitmaps turned, slanted and stretched, and fitted into their square again, whole batches at a time."""

import torch
import torch.nn.functional as F
from torch import Tensor


def transform(images: Tensor, maps: Tensor, *, fit: bool = True, shift: Tensor | None = None) -> Tensor:
    """Images under linear maps about their middle.

    Args:
        images: float (N, 28, 28), or of another square, from 0 to 1.
        maps: (N, 2, 2), from (x, y) to (x, y), y downwards; they can be inverted.
        fit: scale what has been mapped so that the longer side of its ink, what is above 0.5, fills the square again.
        shift: (N, 2) in pixels, of x and y, afterwards.

    Returns:
        Of the same shape, between pixels by bilinear interpolation.

    Example:
        >>> bar = torch.zeros(1, 28, 28)
        >>> bar[:, :, 10:18] = 1
        >>> turned = transform(bar, torch.tensor([[[0.0, -1.0], [1.0, 0.0]]]))
        >>> torch.allclose(turned, bar.mT, atol=1e-5)
        True
    """
    side = images.shape[-1]
    at = (torch.arange(side, dtype=images.dtype, device=images.device) - (side - 1) / 2) * (2 / side)  # in [-1, 1]
    grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1).view(1, -1, 2)  # (1, side * side, 2): x, y
    back = grid if shift is None else grid - shift[:, None] * (2 / side)
    if fit:
        scale, middle = _find_box(images, maps, grid)
        back = back * scale[:, None, None] + middle[:, None]
    source = (back @ torch.linalg.inv(maps).mT).view(-1, side, side, 2).expand(len(images), -1, -1, -1)
    return F.grid_sample(images[:, None], source, mode="bilinear", padding_mode="zeros", align_corners=False)[:, 0]


def _find_box(images: Tensor, maps: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Find the box of the mapped ink: half its longer side (N,), 1 where there is no ink, and its middle (N, 2)."""
    ink = images.flatten(1)[:, :, None] > 0.5
    mapped = grid @ maps.mT
    low = torch.where(ink, mapped, torch.inf).amin(dim=1)
    high = torch.where(ink, mapped, -torch.inf).amax(dim=1)
    half_pixel = maps.abs().sum(dim=2) / images.shape[-1]
    half = ((high - low) / 2 + half_pixel).amax(dim=1)
    there = half.isfinite()
    middle = torch.where(there[:, None], (high + low) / 2, 0.0)
    return torch.where(there, half, 1.0), middle


def rotations(degrees: Tensor) -> Tensor:
    """Maps (N, 2, 2) that turn by angles (N,), against the clock as one looks at the image.

    Example:
        >>> rotations(torch.tensor([90.0])).round().tolist()  # y points downwards
        [[[-0.0, 1.0], [-1.0, -0.0]]]
    """
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, sin], dim=-1), torch.stack([-sin, cos], dim=-1)], dim=-2)
