"""Training symbols as another hand might have written them: turned, slanted, stretched and shifted a little."""

import torch
from torch import Generator, Tensor

from steepest.formulas.sets.turning import rotations, transform

TURN = 8.0
"""Degrees, at most."""
SLANT = 0.2
"""Pixels to the side for each pixel of height, at most."""
STRETCH = 0.15
"""Logarithm of a side's factor, at most."""
SHIFT = 1.0
"""Pixels, at most."""


def distort(
    images: Tensor,
    generator: Generator,
    *,
    turn: float = TURN,
    slant: float = SLANT,
    stretch: float = STRETCH,
    shift: float = SHIFT,
) -> Tensor:
    """Each image changed at random, and scaled so that its longer side fills the square again; then shifted.

    All amounts are uniform up to what is given, to both sides.

    Args:
        images: float (N, 28, 28) from 0 to 1.
        generator: on their device; all that is random comes from it.
        turn: in degrees.
        slant: pixels to the side for each pixel of height.
        stretch: logarithm of the factor of each side.
        shift: in pixels, each way.

    Example:
        >>> distort(torch.ones(3, 28, 28), torch.Generator().manual_seed(0)).shape
        torch.Size([3, 28, 28])
    """
    amounts = torch.rand(6, len(images), generator=generator, dtype=images.dtype, device=images.device) * 2 - 1
    maps = rotations(turn * amounts[0])
    aslant = torch.zeros_like(maps)
    aslant[:, 0, 0], aslant[:, 1, 1] = (stretch * amounts[1]).exp(), (stretch * amounts[2]).exp()
    aslant[:, 0, 1] = slant * amounts[3]
    return transform(images, maps @ aslant, shift=shift * amounts[4:].T)
