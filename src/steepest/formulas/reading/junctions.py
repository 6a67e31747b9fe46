"""How a cut looks from near: a small convolutional net sees the ink on both sides of where they meet."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from steepest.formulas.image.boxes import Mask, Part, crop
from steepest.formulas.image.touching import Cut
from steepest.formulas.recognition.networks import max_pool

SIDE = 32  # pixels
FARTHEST = 4.0  # scales that a number of the layout is taken to be from its mean
_CAPITAL = 26.0  # pixels that a capital is high
_REACH = np.ones((5, 5), dtype=np.uint8)

Values = NDArray[np.float64]
Pictures = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Junctions:
    """Three convolutions of 3x3, each with ReLU before a pooling by 2, and two layers that are told the layout, too.

    Args:
        mean, scale: of the 11 numbers of the layout.
        layers: of each its weights, (out, in, 3, 3) or (out, in), and biases (out,): float32 that 16 bits hold.
    """

    mean: Values
    scale: Values
    layers: tuple[tuple[Tensor, Tensor], ...]

    @torch.no_grad()
    def __call__(self, pictures: Pictures, layouts: Values) -> Values:
        """One logit for each cut (N,).

        Args:
            pictures: of :func:`draw_junctions`, (N, 2, 32, 32).
            layouts: of :func:`~steepest.formulas.reading.seams.cut_layouts`, (N, 11).
        """
        x, told = as_tensors(pictures, layouts, self.mean, self.scale)
        *convolutions, (hidden, bias), (head, last) = self.layers
        for weight, shift in convolutions:
            x = max_pool(torch.relu(F.conv2d(x, weight, shift, padding=1)))
        x = torch.relu(F.linear(torch.cat([x.flatten(1), told], dim=1), hidden, bias))
        return np.asarray(F.linear(x, head, last)[:, 0].double())

    def to_table(self) -> dict[str, Any]:
        """What a JSON file holds of it."""
        return {
            "mean": [float(f"{value:.4g}") for value in self.mean],
            "scale": [float(f"{value:.4g}") for value in self.scale],
            "layers": [[_write(weight), _write(bias)] for weight, bias in self.layers],
        }

    @classmethod
    def from_table(cls, found: Mapping[str, Any]) -> "Junctions":
        """What :meth:`to_table` gives."""
        layers = tuple((_read(weight), _read(bias)) for weight, bias in found["layers"])
        return cls(np.array(found["mean"]), np.array(found["scale"]), layers)


def as_tensors(pictures: Pictures, layouts: Values, mean: Values, scale: Values) -> tuple[Tensor, Tensor]:
    """What the net is given: the pictures from 0 to 1, and the layouts less their mean, over their scale."""
    told = np.clip((layouts - mean) / scale, -FARTHEST, FARTHEST)
    return torch.from_numpy(pictures).float() / 255, torch.from_numpy(told).float()


def draw_junctions(part: Part, cuts: Sequence[Cut], height: float) -> Pictures:
    """The ink left and right of each cut (cuts, 2, 32, 32), from 0 to 255, about where the two meet.

    Args:
        height: a capital's; in the pictures it is 26 pixels.

    Example:
        >>> from steepest.formulas.image import Box
        >>> bar = Part(Box(0, 0, 20, 4), np.ones((4, 20), dtype=bool))
        >>> half = Part(Box(0, 0, 10, 4), bar.ink[:, :10])
        >>> cut = Cut(half, Part(Box(10, 0, 10, 4), half.ink), 1.0)
        >>> (draw_junctions(bar, [cut], 26.0)[0].sum(axis=(1, 2)) // 255).tolist()
        [40, 40]
    """
    found = np.zeros((len(cuts), 2, SIDE, SIDE), dtype=np.uint8)
    factor = _CAPITAL / height
    for pictures, cut in zip(found, cuts, strict=True):
        sides = [_place(half, part) for half in (cut.left, cut.right)]
        x, y = _find_middle(sides, part, cut)
        way = np.array([[factor, 0, SIDE / 2 - factor * x], [0, factor, SIDE / 2 - factor * y]])
        for picture, side in zip(pictures, sides, strict=True):
            ink = cv2.GaussianBlur(side, (0, 0), 0.4 / factor) if factor < 1 else side
            picture[:] = cv2.warpAffine(ink, way, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return found


def _place(half: Part, part: Part) -> Pictures:
    """Place a half within the part's box."""
    found = np.zeros(part.ink.shape, dtype=np.uint8)
    found[crop(half.box.moved(-part.box.x, -part.box.y))] = 255 * half.ink.astype(np.uint8)
    return found


def _find_middle(sides: Sequence[Pictures], part: Part, cut: Cut) -> tuple[float, float]:
    """Find the mean of the pixels that are near both sides; where there is none, the middle of the gap."""
    near: Mask = np.logical_and(*(cv2.dilate(side, _REACH) for side in sides))
    rows, columns = np.nonzero(near)
    if not rows.size:
        return (cut.left.box.right + cut.right.box.x) / 2 - part.box.x, part.box.height / 2
    return float(columns.mean()), float(rows.mean())


def _write(values: Tensor) -> dict[str, Any]:
    content = np.ascontiguousarray(values.numpy(), dtype="<f2").tobytes()
    return {"shape": list(values.shape), "float16": base64.b64encode(content).decode()}


def _read(found: Mapping[str, Any]) -> Tensor:
    values = np.frombuffer(base64.b64decode(found["float16"]), dtype="<f2").reshape(found["shape"])
    return torch.from_numpy(values.astype(np.float32))
