"""Pictures that a stranger may have made: PNG and JPEG by what is in them, of a bounded size, whole."""

import io
import threading
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from steepest._errors import InputError

LARGEST_FILE = 20 * 2**20  # bytes
LARGEST_IMAGE = 25_000_000  # pixels
_KINDS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"}
_ONE_AT_A_TIME = threading.Lock()  # Pillow's limit and the filters of warnings are the process's


def open_image(source: Path | str | bytes) -> NDArray[np.uint8]:
    """A PNG or JPEG as grey (H, W), in colour (H, W, 3), or with transparency (H, W, 4); turned as the camera was held.

    What it is called does not matter, what is in it does. Of a file of several pictures the first is taken.

    Args:
        source: a file, or what is in it.

    Raises:
        InputError: it cannot be read, is larger than 20 MiB or 25 million pixels, is neither PNG nor JPEG, or is
            damaged.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    content = source if isinstance(source, bytes) else _read(Path(source))
    if len(content) > LARGEST_FILE:
        raise InputError(f"{name} must have at most {LARGEST_FILE} bytes, got {len(content)}")
    kind = next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
    if kind is None:
        raise InputError(f"{name} must be a PNG or a JPEG, and begins like neither")
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, LARGEST_IMAGE
        try:
            with Image.open(io.BytesIO(content), formats=[kind]) as image:
                image.verify()
            with Image.open(io.BytesIO(content), formats=[kind]) as image:
                image.load()
                return _pixels(ImageOps.exif_transpose(image))
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputError(f"{name} must have at most {LARGEST_IMAGE} pixels, and has more") from error
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
            raise InputError(f"{name} is a damaged {kind} and cannot be read") from error
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):  # 16 bits of grey
        values = np.asarray(image, dtype=np.float64)
        return np.clip(values / 257, 0, 255).astype(np.uint8)
    clear = "transparency" in image.info or image.mode in ("LA", "PA", "RGBA")
    mode = "RGBA" if clear else "L" if image.mode in ("1", "L") else "RGB"
    return np.array(image.convert(mode), dtype=np.uint8)
