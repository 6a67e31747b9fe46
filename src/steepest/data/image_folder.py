"""A local folder of images, one subfolder for each class."""

from pathlib import Path

import torch

from steepest._errors import InputError, require
from steepest.data.hub import three_parts
from steepest.data.pixels import square, standardize_pixels
from steepest.data.splits import Split, Splits

_PARTS = ("train", "validation", "test")


def image_folder(path: str | Path, *, size: int = 32) -> Splits:
    """Load a folder of images, one subfolder for each class, in colour and of one size.

    If the subfolders are ``train`` and ``test``, perhaps with ``validation``, those are the parts and hold the classes;
    else a fifth of the images is held out as test data. Without a part for it, a tenth of the training images is
    validation data. Files whose name is not that of an image are left aside.

    Args:
        path: the folder.
        size: height and width; images are turned upright, cropped to their central square and scaled.

    Returns:
        Inputs float32 of shape (N, 3, size, size), standardised; targets int64, the rank of the class by name.

    Raises:
        InputError: there is no such folder, it holds no images or one class only, an image cannot be decoded, a part
            has a class that ``train`` lacks, or Pillow is not installed.
    """
    path = Path(path)
    number = {name: index for index, name in enumerate(image_classes(path))}
    loaded = {part: _load(folder, number, size) for part, folder in _parts(path).items()}
    return standardize_pixels(three_parts(loaded["train"], loaded.get("validation"), loaded.get("test")))


def image_classes(path: Path) -> list[str]:
    """Names of the classes of such a folder, sorted.

    Raises:
        InputError: there is no such folder, or it does not hold images of at least two classes.
    """
    if not path.is_dir():
        raise InputError(f"the folder of images {str(path)!r} does not exist")
    train = _parts(path)["train"]
    found = [folder.name for folder in _folders(train) if _images(folder)]
    if len(found) < 2:
        raise InputError(
            f"{str(train)!r} must have a subfolder with images for each of at least 2 classes, got "
            f"{found[0] + ' only' if found else 'none'}"
        )
    return found


def _parts(path: Path) -> dict[str, Path]:
    names = {folder.name for folder in _folders(path)}
    if {"train", "test"} <= names <= set(_PARTS):
        return {part: path / part for part in _PARTS if part in names}
    return {"train": path}


def _folders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    known = require("PIL.Image", extra="hub").registered_extensions()
    files = (file for file in folder.rglob("*") if file.suffix.lower() in known and not file.name.startswith("."))
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def _load(folder: Path, number: dict[str, int], size: int) -> Split:
    pil, ops = require("PIL.Image", extra="hub"), require("PIL.ImageOps", extra="hub")
    inputs, targets = [], []
    for subfolder in _folders(folder):
        files = _images(subfolder)
        if files and subfolder.name not in number:
            raise InputError(f"{str(folder)!r} has the class {subfolder.name!r}, which the training part has not")
        for file in files:
            try:
                with pil.open(file) as image:
                    inputs.append(square(ops.exif_transpose(image), size))
            except Exception as error:  # whatever a decoder raises
                raise InputError(f"the image {str(file)!r} cannot be read: {error}") from error
            targets.append(number[subfolder.name])
    if not inputs:
        raise InputError(f"{str(folder)!r} holds no images")
    return Split(torch.stack(inputs), torch.tensor(targets, dtype=torch.int64, device="cpu"))
