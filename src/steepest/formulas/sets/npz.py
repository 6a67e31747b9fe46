"""Sets in NumPy's format: ``images`` (N, 28, 28) or (N, 784) or packed bits (N, 98), ``labels``, ``names``."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steepest._errors import InputError
from steepest._files import reason_of
from steepest.formulas.image.symbols import SIDE
from steepest.formulas.sets.limits import LARGEST, PIXELS, check_count, set_of
from steepest.formulas.sets.symbol_set import SymbolSet

PACKED = PIXELS // 8


def read_npz(path: Path) -> SymbolSet:
    """A set from an ``.npz``: ``labels`` are classes, or numbers of ``names``.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as file:
            found = {info.filename: info for info in file.infolist()}
            images = _read_array(file, found["images.npy"])
            labels = _read_array(file, found["labels.npy"])
            names = _read_array(file, found["names.npy"]) if "names.npy" in found else None
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} must be an .npz with images and labels: {reason_of(error)}") from error
    return set_of(_as_images(images, path), _as_labels(labels, names, len(images), path), str(path))


def write_npz(symbols: SymbolSet) -> bytes:
    """The content of an ``.npz`` that :func:`read_npz` reads; images as packed bits."""
    names = list(symbols.counts())
    content = io.BytesIO()
    np.savez_compressed(
        content,
        images=np.packbits(symbols.images.reshape(len(symbols), PIXELS), axis=1),
        labels=np.array([names.index(label) for label in symbols.labels], dtype=np.uint8),
        names=np.array(names, dtype="U1"),
    )
    return content.getvalue()


def _read_array(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Read one array, of which neither the header nor the archive can make more than there is."""
    if info.file_size > LARGEST:
        raise ValueError(f"{info.filename} must have at most {LARGEST} bytes, got {info.file_size}")
    with file.open(info) as opened:
        content = io.BytesIO(opened.read(LARGEST))
    if np.lib.format.read_magic(content) != (1, 0):
        raise ValueError(f"{info.filename} must be of version 1.0 of NumPy's format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(content)
    values = content.read()
    if dtype.hasobject or (fortran and len(shape) > 1) or math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f"{info.filename} must hold as many plain numbers or texts as its header says, by rows")
    return np.frombuffer(values, dtype=dtype).reshape(shape) if math.prod(shape) else np.zeros(shape, dtype=dtype)


def _as_images(images: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    check_count(len(images) if images.ndim else 0, str(path))
    flat = images.reshape(len(images), -1) if images.ndim in (2, 3) and len(images) else images
    if images.dtype == np.uint8 and flat.ndim == 2 and flat.shape[1] == PACKED:
        flat = np.unpackbits(flat, axis=1)
    right = flat.ndim == 2 and flat.shape[1] == PIXELS and (flat.dtype == np.bool_ or flat.dtype.kind in "iu")
    if not right or (images.ndim == 3 and images.shape[1:] != (SIDE, SIDE)):
        raise InputError(
            f"{path} must hold images of shape (N, 28, 28), or (N, 98) of packed bits, got {images.dtype} of shape "
            f"{images.shape}"
        )
    if flat.size and (flat.min() < 0 or flat.max() > 1):
        raise InputError(f"{path} must hold images of 0 and 1, got {flat.min()} to {flat.max()}")
    return flat.astype(np.uint8).reshape(-1, SIDE, SIDE)


def _as_labels(labels: NDArray[Any], names: NDArray[Any] | None, count: int, path: Path) -> list[str]:
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise InputError(
            f"{path} must hold a label for each of {count} images, got {labels.dtype} of shape {labels.shape}"
        )
    if labels.dtype.kind == "U":
        return [str(label) for label in labels]
    if names is None or names.ndim != 1 or names.dtype.kind != "U":
        raise InputError(f"{path} must hold names, as its labels are numbers")
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < len(names):
        raise InputError(f"{path} must hold labels below the {len(names)} of its names, got {int(labels.max())}")
    return [str(names[label]) for label in labels]
