"""CIFAR-10, from Parquet files or from the hub."""

import importlib.util
from pathlib import Path

from steepest._errors import InputError
from steepest.data.hub import load_hub_images
from steepest.data.pixels import standardize_pixels
from steepest.data.place import NO_FOLDER, existing_data_folder
from steepest.data.splits import Split, Splits, hold_out

HUB_NAME = "uoft-cs/cifar10"
FOLDERS = ("cifar10", "cifar10-jpeg")


def cifar10(data_dir: str | Path | None = None) -> Splits:
    """Load CIFAR-10: 45,000 training, 5,000 validation and 10,000 test images, as He et al. (CVPR 2016) split it.

    Looks for Parquet files in the folder ``cifar10``, else ``cifar10-jpeg``, under ``data_dir`` or ``STEEPEST_DATA``;
    without them asks the hub. Say of a figure from a copy in JPEG that it is one: "CIFAR-10 (JPEG q75)".

    Returns:
        Inputs float32 of shape (N, 3, 32, 32), standardised; targets int64. 737 MB.

    Raises:
        InputError: there is no such folder or file, the hub cannot be reached, or `datasets` is not installed.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    """
    folder = existing_data_folder(data_dir)
    places = [folder / name for name in FOLDERS] if folder else []
    place = next((str(place) for place in places if any(place.rglob("*.parquet"))), None)
    if place is None and importlib.util.find_spec("datasets") is None:
        raise InputError(f"{_missing(folder)}, or let the hub bring them: pip install 'steepest[hub]'")
    try:
        train, test = load_hub_images(place or HUB_NAME)
    except InputError as error:
        if place is not None:
            raise
        raise InputError(f"{_missing(folder)}, or let the hub bring them ({error})") from error
    rest, validation = hold_out(train, 0.1)
    return standardize_pixels(
        [Split(s.inputs.permute(0, 3, 1, 2).contiguous(), s.targets) for s in (rest, validation, test)]
    )


def _missing(folder: Path | None) -> str:
    where = NO_FOLDER if folder is None else f"there are none in {str(folder)!r}"
    return (
        f"cifar10 needs Parquet files with the columns image and label in the folder {' or '.join(FOLDERS)} of the "
        f"data folder: {where}; get them from https://huggingface.co/datasets/{HUB_NAME}"
    )
