"""MNIST and Fashion-MNIST: from files if there are any, else from the hub."""

import importlib.util
from pathlib import Path

import torch

from steepest._errors import InputError
from steepest.data.hub import load_hub_images
from steepest.data.idx import read_idx
from steepest.data.place import NO_FOLDER, existing_data_folder
from steepest.data.splits import Split, Splits, hold_out, standardize

HUB_NAMES = {"mnist": "ylecun/mnist", "fashion-mnist": "zalando-datasets/fashion_mnist"}
SOURCES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "https://github.com/zalandoresearch/fashion-mnist",
}
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def images(name: str, data_dir: str | Path | None = None) -> Splits:
    """Load ``"mnist"`` or ``"fashion-mnist"``: 54,000 training, 6,000 validation and 10,000 test images.

    Looks for the four original IDX files, gzipped or not, in the folder ``name`` under ``data_dir`` or
    ``STEEPEST_DATA``; without them asks the hub, if the extra ``hub`` is installed.

    Returns:
        Inputs float32 of shape (N, 1, 28, 28), standardised; targets int64.

    Raises:
        InputError: there is no such folder or file, or the hub cannot be reached.
    """
    found = grey_images(name, data_dir)
    return standardize(Splits(*(Split(_pixels(split), split.targets) for split in found)))


def grey_images(name: str, data_dir: str | Path | None = None) -> Splits:
    """The same images as they are: inputs uint8 of shape (N, 28, 28), targets int64.

    Raises:
        InputError: there is no such folder or file, or the hub cannot be reached.
    """
    folder = existing_data_folder(data_dir)
    places = None if folder is None else {file: _find(folder / name, file) for file in FILES}
    if places is not None and all(places.values()):
        tensors = [read_idx(path) for path in places.values() if path is not None]
        train, test = Split(tensors[0], tensors[1]), Split(tensors[2], tensors[3])
    elif importlib.util.find_spec("datasets") is not None:
        try:
            train, test = load_hub_images(HUB_NAMES[name])
        except InputError as error:
            raise InputError(f"{_missing(name, folder)}, or let the hub bring them ({error})") from error
    else:
        raise InputError(f"{_missing(name, folder)}, or let the hub bring them: pip install 'steepest[hub]'")
    rest, validation = hold_out(train, 0.1)
    return Splits(*(Split(s.inputs, s.targets.to(torch.int64)) for s in (rest, validation, test)))


def _pixels(split: Split) -> torch.Tensor:
    return split.inputs.to(torch.float32).div_(255).unsqueeze(1)


def _find(folder: Path, file: str) -> Path | None:
    return next((p for p in (folder / f"{file}.gz", folder / file) if p.is_file()), None)


def _missing(name: str, folder: Path | None) -> str:
    where = NO_FOLDER if folder is None else f"not all of them are in {str(folder / name)!r}"
    wanted = ", ".join(f"{file}.gz" for file in FILES)
    return (
        f"{name} needs the files {wanted} in the folder {name} of the data folder: {where}; "
        f"get them from {SOURCES[name]}"
    )
