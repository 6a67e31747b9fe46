"""Pictures of the steps from a page to its symbols."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest.formulas.image.boxes import Box
from steepest.formulas.image.lines import Line

_COLOURS = [(214, 39, 40), (31, 119, 180), (44, 160, 44), (148, 103, 189)]


class Pictures:
    """A folder of numbered pictures, one a step; without a folder, nothing happens."""

    def __init__(self, folder: Path | str | None) -> None:
        self._folder = None if folder is None else Path(folder)
        self._count = 0
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def save(
        self, step: str, image: NDArray[np.generic], boxes: Sequence[Box] = (), lines: Sequence[Line] = ()
    ) -> None:
        """Write a picture (H, W), with boxes and lines drawn on it, as ``NN-step.png``."""
        if self._folder is None:
            return
        grey = image.astype(np.uint8) * 255 if image.dtype == np.bool_ else image.astype(np.uint8)
        picture = np.repeat(grey[:, :, None], 3, axis=2)
        for k, box in enumerate(boxes):
            colour = _COLOURS[k % len(_COLOURS)]
            cv2.rectangle(picture, (box.x, box.y), (box.right - 1, box.bottom - 1), colour[::-1], 1)
        width = picture.shape[1] - 1
        for line in lines:
            cv2.line(picture, (0, round(line.at(0))), (width, round(line.at(width))), _COLOURS[1][::-1], 1)
        self._count += 1
        encoded = cv2.imencode(".png", picture)[1]
        (self._folder / f"{self._count:02d}-{step}.png").write_bytes(encoded.tobytes())
