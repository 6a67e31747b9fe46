"""Training images changed at random, whole batches at a time and on their device."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def random_crop_flip(images: Tensor, generator: Generator, padding: int = 4) -> Tensor:
    """Images cropped at random from their own padding with zeros, half of them mirrored; they keep their size.

    Args:
        images: (N, C, H, W).
        generator: on their device; all that is random comes from it.
        padding: pixels on each side.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.

    Example:
        >>> random_crop_flip(torch.arange(9.0).view(1, 1, 3, 3), torch.Generator().manual_seed(0)).shape
        torch.Size([1, 1, 3, 3])
    """
    (count, channels, height, width), device = images.shape, images.device
    top, left = torch.randint(2 * padding + 1, (2, count, 1), generator=generator, device=device)
    mirrored = torch.rand(count, 1, generator=generator, device=device) < 0.5
    rows = top + torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    columns = left + torch.where(mirrored, columns.flip(0), columns)
    pixels = (rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]).view(count, 1, -1)
    padded = F.pad(images, [padding] * 4).flatten(2)
    return padded.gather(2, pixels.expand(-1, channels, -1)).view_as(images)
