"""A subset of EMNIST: handwritten digits and letters in one file."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from steepest._errors import InputError, require
from steepest.data.place import NO_FOLDER, existing_data_folder
from steepest.data.splits import Split, Splits, hold_out

FILE = Path("emnist", "bymerge-subset.npz")
PARTS = ("train_images", "train_labels", "test_images", "test_labels")


def emnist(data_dir: str | Path | None = None) -> Splits:
    """Load digits and letters of 47 classes, as they are: a tenth of the training images is held out for validation.

    The file is ``emnist/bymerge-subset.npz`` under ``data_dir`` or ``STEEPEST_DATA``: NumPy's format, with
    ``train_images``, ``test_images`` uint8 (N, 28, 28), ``train_labels`` and ``test_labels``. Any data of that layout
    is taken. Ours is drawn from the test part of EMNIST ByMerge, 350 images of a class to train and 65 to test: it is
    not EMNIST Balanced.

    Returns:
        Inputs uint8 of shape (N, 28, 28); targets int64.

    Raises:
        InputError: there is no such file, or it holds something else.

    Source: Cohen, Afshar, Tapson, van Schaik, "EMNIST: extending MNIST to handwritten letters", IJCNN 2017.
    """
    numpy = require("numpy", extra="spiking")
    folder = existing_data_folder(data_dir)
    if folder is None or not (folder / FILE).is_file():
        where = NO_FOLDER if folder is None else f"it is not in {str(folder)!r}"
        raise InputError(f"emnist needs the file {FILE} in the data folder: {where}")
    train, test = _read_parts(numpy, folder / FILE)
    return Splits(*hold_out(train, 0.1), test)


def _read_parts(numpy: Any, path: Path) -> tuple[Split, Split]:
    try:
        with numpy.load(path, allow_pickle=False) as found:
            arrays = [found[name] for name in PARTS]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} must be an .npz file with {', '.join(PARTS)}: {error}") from error
    images, labels = arrays[::2], arrays[1::2]
    right = all(a.dtype == numpy.uint8 and a.shape[1:] == (28, 28) for a in images)
    if not right or not all(a.ndim == 1 and a.dtype.kind in "iu" for a in labels):
        raise InputError(f"{path} must hold images uint8 (N, 28, 28) and one whole number for each as its label")
    return tuple(  # type: ignore[return-value]
        Split(torch.from_numpy(a), torch.from_numpy(b.astype(numpy.int64))) for a, b in zip(images, labels, strict=True)
    )
