"""Images as spikes: differences of Gaussians, whose larger responses spike earlier."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from steepest.optim.arguments import check_number

GRID = 2.0**16  # factors of the kernels are whole multiples of 1/GRID, so that sums of products with pixels are exact
RADIUS = 3  # of the kernel of 7 by 7
BORDER = 2  # pixels at the edge that do not respond
WINDOW = 17  # side of the box that responses are divided by
TOGETHER = 64  # images
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


@torch.no_grad()
def encode(
    images: Tensor, *, size: int | None = 27, threshold: float = 50.0, steps: int = 12, silent: int = 2
) -> Tensor:
    r"""Spikes of on- and off-centre cells, the stronger the earlier.

    Images are brought to ``size`` by ``size`` whole grey levels and filtered by a difference of Gaussians of 7 by 7
    pixels,

    .. code-block:: text

        k(r) = (exp(-r^2/2) / 1 - exp(-r^2/8) / 2) / sqrt(2 pi), less its mean, over its maximum

    Positive responses are those of ON cells, negative of OFF cells; those below the threshold, and two pixels at the
    edge, are silent. Each response is divided by the mean of its own kind in a box of 17 by 17, plus 1e-4. The cells of
    a kind spike once, in order of their responses, equally many (plus or minus one) at each step; then follow the
    ``silent`` steps. Equal responses spike in the order of their pixels.

    The result is the same to the last bit for every batch size, number of threads and device: the factors of the
    kernels are rounded to 2^-16, and all sums are exact.

    Args:
        images: (N, H, W), (N, 1, H, W) or (N, 3, H, W); uint8, or floating-point from 0 to 1. A blank one has no
            spikes.
        size: side of the images that are filtered, by linear interpolation with antialiasing; ``None``: as they are.
        threshold: grey levels, of 255.
        steps: time steps, T.
        silent: of them, those at the end that have no spikes.

    Returns:
        bool (T, N, 2, H', W'), ON first; in float it is what spikingjelly and snnTorch take.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind, shape or range.

    Source: Vaila, Chiasson, Saxena, arXiv 1903.12272, as its author's code has it (known); the interpolation, the
    rounding, and the order of equals are ours.

    Example:
        >>> image = torch.zeros(1, 27, 27)
        >>> image[0, 13, 13] = 1.0
        >>> spikes = encode(image)
        >>> spikes.shape, spikes[:, 0, 0].nonzero().tolist()[0], int(spikes.sum(dim=0).max())
        (torch.Size([12, 1, 2, 27, 27]), [0, 13, 13], 1)
    """
    check_number("threshold", threshold, "a finite number of at least 0", lambda x: 0 <= x < math.inf)
    _check_whole("steps", steps, 1)
    _check_whole("silent", silent, 0)
    if silent >= steps:
        raise ValueError(f"silent must be below steps, {steps}, got {silent!r}")
    if size is not None:
        _check_whole("size", size, 2 * RADIUS + 1)
    grey = _read_grey(images)
    parts = [_encode(part, size, threshold, steps - silent, silent) for part in torch.split(grey, TOGETHER)]
    return torch.cat(parts, dim=1)


def _encode(grey: Tensor, size: int | None, threshold: float, steps: int, silent: int) -> Tensor:
    """Encode few images, so that what is computed stays in the cache."""
    grey = _resize(grey, size)
    response = _filter(grey)
    both = torch.stack([response, -response], dim=1)
    both = torch.where(both >= max(threshold, torch.finfo(both.dtype).tiny), both, 0.0)
    both[..., :BORDER, :], both[..., -BORDER:, :] = 0.0, 0.0
    both[..., :BORDER], both[..., -BORDER:] = 0.0, 0.0
    found = _rank(_normalize(both).flatten(2), steps, silent)
    return found.reshape(*found.shape[:3], *grey.shape[-2:])


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


def _read_grey(images: Tensor) -> Tensor:
    """Read whole grey levels from 0 to 255, float64 (N, H, W)."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor, got {type(images).__name__}")
    channels = images.shape[1] if images.ndim == 4 else 1
    sides = images.shape[-2:]
    if images.ndim not in (3, 4) or channels not in (1, 3) or min(sides, default=0) <= 2 * RADIUS:
        raise ValueError(
            f"images must have the shape (N, H, W), (N, 1, H, W) or (N, 3, H, W), with sides of at least "
            f"{2 * RADIUS + 1}, got {tuple(images.shape)}"
        )
    if images.is_floating_point():
        if len(images) and not bool(((images >= 0) & (images <= 1)).all()):
            raise ValueError(
                f"images must be uint8, or from 0 to 1, got values from {float(images.min()):g} to "
                f"{float(images.max()):g}"
            )
        levels = (images.double() * 255 + 0.5).floor()
    elif images.dtype == torch.uint8:
        levels = images.double()
    else:
        raise TypeError(f"images must be uint8 or floating-point, got {images.dtype}")
    if channels == 3:
        red, green, blue = levels.unbind(1)
        return (GREY[0] * red + GREY[1] * green + GREY[2] * blue + 0.5).floor()
    return levels.reshape(len(levels), *sides)


def _resize(grey: Tensor, size: int | None) -> Tensor:
    if size is None or grey.shape[-2:] == (size, size):
        return grey
    rows, columns = (_matrix_to(size, side).to(grey.device) for side in grey.shape[-2:])
    return (rows @ grey @ columns.t() / GRID**2 + 0.5).floor()


@cache
def _matrix_to(size: int, side: int) -> Tensor:
    """Interpolate linearly from ``side`` to ``size``: (size, side), whole multiples of 1 whose rows sum to GRID."""
    eye = torch.eye(side, dtype=torch.float64, device="cpu")[None, None]
    found = F.interpolate(eye, size=(size, side), mode="bilinear", antialias=True, align_corners=False)[0, 0]
    found = (found * GRID).round()
    largest = found.argmax(dim=1, keepdim=True)
    return found.scatter_add(1, largest, GRID - found.sum(dim=1, keepdim=True))


def _filter(grey: Tensor) -> Tensor:
    """Filter by the difference of Gaussians: a sum of three separable kernels, each of whole numbers."""
    (narrow, wide), mean, top = _make_factors()
    height, width = grey.shape[-2:]

    def by(factor: tuple[float, ...]) -> Tensor:
        rows, columns = (_make_band(factor, side, grey.device) for side in (height, width))
        return rows @ grey @ columns

    found = by(narrow) - by(wide) / 2 - by((GRID,) * len(narrow)) * mean
    return found / (GRID**2 * top)


@cache
def _make_factors() -> tuple[tuple[tuple[float, ...], ...], float, float]:
    """Make both Gaussians in one dimension, times GRID; and the kernel's mean and maximum, but for 1/sqrt(2 pi)."""
    reach = range(-RADIUS, RADIUS + 1)
    factors = tuple(tuple(float(round(GRID * math.exp(-x * x / (2 * s * s)))) for x in reach) for s in (1, 2))
    narrow, wide = (sum(factor) ** 2 / GRID**2 for factor in factors)
    mean = (narrow - wide / 2) / len(reach) ** 2
    return factors, mean, 1 - 1 / 2 - mean


@cache
def _make_band(factor: tuple[float, ...], side: int, device: torch.device) -> Tensor:
    """Make the symmetric matrix that filters along one dimension, with zeros beyond the edge."""
    found = torch.zeros((side, side), dtype=torch.float64, device=device)
    for shift, value in enumerate(factor, start=-(len(factor) // 2)):
        found.diagonal(shift).fill_(value)
    return found


def _normalize(response: Tensor) -> Tensor:
    """Divide by the mean in a box."""
    # Steps of 2^-20 make the sums over the box exact.
    steps = (response * 2.0**20).round()
    rows, columns = (_make_band((1.0,) * WINDOW, side, response.device) for side in response.shape[-2:])
    mean = rows @ steps @ columns / (2.0**20 * WINDOW**2)
    return response / (mean + 1e-4)


def _rank(values: Tensor, steps: int, silent: int) -> Tensor:
    """Say when each spikes, the largest first: (steps + silent, N, kinds, cells) of values (N, kinds, cells)."""
    order = values.argsort(dim=-1, descending=True, stable=True)
    count = (values > 0).sum(dim=-1, keepdim=True)
    place = torch.arange(values.shape[-1], dtype=torch.int64, device=values.device)
    when = torch.where(place < count, place * steps // count.clamp(min=1), steps)
    when = torch.empty_like(order).scatter_(-1, order, when)
    every = torch.arange(steps + silent, dtype=torch.int64, device=values.device)
    return (when == every[:, None, None, None]) & (values > 0)
