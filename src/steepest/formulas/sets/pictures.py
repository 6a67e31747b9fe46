"""Sets of pictures: a folder for each class, or an archive of such folders."""

import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from steepest._errors import InputError, one_line
from steepest.formulas.image.opening import open_image
from steepest.formulas.image.paper import to_grey
from steepest.formulas.image.symbols import SIDE, cut_symbol
from steepest.formulas.sets.limits import LARGEST, MOST_SYMBOLS, check_count, read_bytes
from steepest.formulas.sets.names import folder_name, label_of
from steepest.formulas.sets.symbol_set import SymbolSet, no_symbols

MARGIN = 1
LARGEST_PICTURE = 2**20  # bytes
LARGEST_SIDE = 2048  # pixels
HIGHEST_RATIO = 300
_SUFFIXES = (".png", ".jpg", ".jpeg")
_FRAMED = SIDE + 2 * MARGIN
_NO_PICTURES = ("__MACOSX", "Thumbs.db", "desktop.ini")
_WHEN = (1980, 1, 1, 0, 0, 0)


def read_picture(content: bytes, name: str) -> NDArray[np.uint8]:
    """The bitmap (28, 28) of a PNG or JPEG of one symbol.

    Ink is what differs from the paper, which is what most of the picture's edge is. A picture of 30x30 pixels with an
    edge of paper alone holds the bitmap as it is; of any other the ink is cut out.

    Raises:
        InputError: it cannot be read, is too large, or there is no ink.
    """
    grey = to_grey(open_image(content))
    if max(grey.shape) > LARGEST_SIDE:
        raise InputError(f"{name} must have at most {LARGEST_SIDE} pixels a side, got {max(grey.shape)}")
    level, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light = grey > level
    edge = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    ink = light if edge.mean() < 0.5 else ~light
    if not ink.any() or ink.all():
        raise InputError(f"{name} must show a symbol, and has no ink")
    framed = ink.shape == (_FRAMED, _FRAMED) and edge.mean() in (0.0, 1.0)
    return ink[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.uint8) if framed else cut_symbol(ink)


def write_picture(bitmap: NDArray[np.uint8]) -> bytes:
    """The PNG of a bitmap, black on white, with an edge of one pixel, as :func:`read_picture` reads it.

    Example:
        >>> bitmap = np.eye(28, dtype=np.uint8)
        >>> np.array_equal(read_picture(write_picture(bitmap), "a picture"), bitmap)
        True
    """
    picture = np.pad((1 - bitmap) * np.uint8(255), MARGIN, constant_values=255)
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes()


def read_folder(path: Path) -> SymbolSet:
    """A set from a folder of folders of PNGs or JPEGs, each named after its class.

    Raises:
        InputError: it cannot be read, holds a link, or a picture in a folder that is no class.
    """
    return _read_pictures(_walk(path), str(path))


def read_zip(path: Path) -> SymbolSet:
    """The same from a zip of such a folder.

    Raises:
        InputError: it cannot be read, is too large when unpacked or packed too tightly, or holds a link or a name that
            leads out of it; or as in :func:`read_folder`.
    """
    try:
        with zipfile.ZipFile(path) as file:
            infos = file.infolist()
            _check_archive(infos, str(path))
            return _read_pictures(((i.filename, _unpack(file, i, path)) for i in infos if not i.is_dir()), str(path))
    except (
        OSError,
        ValueError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
    ) as error:
        raise InputError(f"{path} cannot be read as a zip: {one_line(str(error))}") from error


def pictures_of(symbols: SymbolSet) -> Iterator[tuple[str, bytes]]:
    """The files of a set: their paths with ``/``, and what is in them."""
    numbers = dict.fromkeys(symbols.labels, 0)
    for bitmap, label in zip(symbols.images, symbols.labels, strict=True):
        yield f"{folder_name(label)}/{numbers[label]:05}.png", write_picture(bitmap)
        numbers[label] += 1


def write_zip(symbols: SymbolSet) -> bytes:
    """The content of a zip that :func:`read_zip` reads; of the same set always the same."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, picture in pictures_of(symbols):
            file.writestr(zipfile.ZipInfo(name, _WHEN), picture)
    return content.getvalue()


def _read_pictures(files: Iterator[tuple[str, bytes]], name: str) -> SymbolSet:
    """Read a set from files in the order of their names; a file that is no picture and lies in no class is let be."""
    found: list[tuple[str, str, NDArray[np.uint8]]] = []
    for place, content in files:
        parts = PurePosixPath(place).parts
        if any(part in _NO_PICTURES or part.startswith(".") for part in parts):
            continue
        label = label_of(parts[-2]) if len(parts) > 1 else None
        if label is None and not place.lower().endswith(_SUFFIXES):
            continue
        shown = one_line(f"{name}: {place[:80]}")
        if label is None:
            raise InputError(f"{shown} must lie in a folder that is named after a class, such as U+2200 or ∀")
        check_count(len(found) + 1, name)
        try:
            found.append((label, place, read_picture(content, shown)))
        except InputError as error:
            raise error if str(error).startswith(shown) else InputError(f"{shown}: {error}") from error
    if not found:
        raise InputError(f"{name} must hold folders with PNGs, named after classes, such as U+2200 or ∀, and has none")
    found.sort(key=lambda item: item[:2])
    return no_symbols() + SymbolSet(np.stack([image for *_, image in found]), tuple(label for label, *_ in found))


def _walk(path: Path) -> Iterator[tuple[str, bytes]]:
    def walk(folder: Path, depth: int) -> Iterator[tuple[str, bytes]]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"{folder} cannot be read: {error.strerror or error}") from error
        for entry in entries:
            place = Path(entry.path)
            if entry.is_symlink():
                raise InputError(f"{place} must be no link, as no file of a set may")
            if entry.is_dir() and depth:
                yield from walk(place, depth - 1)
            elif entry.is_file() and (place.suffix.lower() in _SUFFIXES or label_of(folder.name) is not None):
                yield place.relative_to(path).as_posix(), read_bytes(place, LARGEST_PICTURE)

    return walk(path, 3)


def _check_archive(infos: list[zipfile.ZipInfo], name: str) -> None:
    """Refuse before anything is unpacked."""
    if len(infos) > 2 * MOST_SYMBOLS:
        raise InputError(f"{name} must hold at most {MOST_SYMBOLS} symbols, got {len(infos)} files")
    if (total := sum(info.file_size for info in infos)) > LARGEST:
        raise InputError(f"{name} must have at most {LARGEST} bytes when unpacked, got {total}")
    for info in infos:
        shown = one_line(info.filename[:80])
        parts = info.filename.split("/")
        if (
            info.filename.startswith("/")
            or ".." in parts
            or "\\" in info.filename
            or ":" in parts[0]
            or "\0" in info.filename
        ):
            raise InputError(f"{name} must hold names that stay within it, got {shown!r}")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(f"{name} must hold no links, got {shown!r}")
        if info.file_size > HIGHEST_RATIO * max(info.compress_size, 100):
            raise InputError(f"{name} must not be packed more than {HIGHEST_RATIO} to 1, got {shown!r}")
        if info.file_size > LARGEST_PICTURE and info.filename.lower().endswith(_SUFFIXES):
            raise InputError(f"{name} must hold pictures of at most {LARGEST_PICTURE} bytes, got {shown!r}")


def _unpack(file: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    """Unpack a file, of which the header may have said less than there is."""
    with file.open(info) as opened:
        content = opened.read(LARGEST_PICTURE + 1)
    if len(content) > LARGEST_PICTURE:
        raise InputError(
            f"{path} must hold files of at most {LARGEST_PICTURE} bytes, got {one_line(info.filename[:80])!r}"
        )
    return content
