"""Symbols of print, from the free fonts of this machine, as far from print as a bend and a slant take them."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from steepest.formulas.logic.labels import BOTH_CASES

FOLDER = Path("/usr/share/fonts/truetype/dejavu")
NAMES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-ExtraLight.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Italic.ttf",
)
_SIZE = 64  # of a font, in pixels


def find_fonts(folder: Path = FOLDER) -> tuple[Path, ...]:
    """The fonts of DejaVu that are there, in Debian's package ``fonts-dejavu-core`` or ``fonts-dejavu-extra``.

    Example:
        >>> find_fonts(Path("nowhere"))
        ()
    """
    return tuple(folder / name for name in NAMES if (folder / name).is_file())


def characters_of(label: str) -> str:
    """The characters of a class in print.

    Example:
        >>> characters_of("v"), characters_of("k"), characters_of("G")
        ('vV∨', 'kK', 'G')
    """
    if label == "v":
        return "vV\N{LOGICAL OR}"
    return label + (label.upper() if label in BOTH_CASES else "")


def ink_character(label: str, fonts: Sequence[Path], rng: np.random.Generator) -> NDArray[np.bool_] | None:
    """Ink (H, W) of a class's character in a font at random, bent; ``None`` where the font has no such character."""
    text = str(rng.choice(list(characters_of(label))))
    ink = _print(text, fonts[int(rng.integers(len(fonts)))])
    if ink is None:
        return None
    height, width = ink.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    slant, wide, turn = rng.normal(0.05, 0.15), np.exp(rng.normal(scale=0.15)), rng.normal(scale=0.07)
    down, right = y - height / 2, x - width / 2
    source_x = wide * (right + slant * down) + turn * down
    source_y = down - turn * right
    for _ in range(2):
        a, b, phase = rng.normal(scale=0.05), rng.normal(scale=0.05), rng.uniform(0, 6.3)
        wave = np.sin(a * right + b * down + phase)
        source_x, source_y = source_x + rng.normal(scale=2) * wave, source_y + rng.normal(scale=2) * wave
    bent = cv2.remap(
        ink, (source_x + width / 2).astype(np.float32), (source_y + height / 2).astype(np.float32), cv2.INTER_LINEAR
    )
    soft = cv2.GaussianBlur(bent, (0, 0), 1.5)
    found: NDArray[np.bool_] = soft > rng.uniform(0.25, 0.6) * soft.max()
    return found


@cache
def _print(text: str, font: Path) -> NDArray[np.float32] | None:
    """Print a character: its ink (H, W) from 0 to 1 with room around."""
    face = ImageFont.truetype(str(font), _SIZE)
    missing, own = face.getmask("\ue000"), face.getmask(text)
    if own.size == missing.size and bytes(own) == bytes(missing):
        return None
    image = Image.new("L", (3 * _SIZE, 3 * _SIZE))
    ImageDraw.Draw(image).text((_SIZE, _SIZE), text, fill=255, font=face)
    ink = np.asarray(image, dtype=np.float32) / 255
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return np.pad(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], _SIZE // 4)
