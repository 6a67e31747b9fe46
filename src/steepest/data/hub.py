"""Labelled images from the hub, or from a local folder in the hub's layout, through the `datasets` library."""

import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from steepest._errors import InputError, require
from steepest.data.pixels import square, standardize_pixels
from steepest.data.splits import Split, Splits, hold_out


class HubImages(NamedTuple):
    """A data set that is there, its images not decoded yet.

    ``parts`` maps the name of a part to its table; ``image`` and ``label`` are names of columns.
    """

    name: str
    parts: Mapping[str, Any]
    image: str
    label: str

    def classes(self) -> list[Any]:
        """The labels of the training part, sorted.

        Raises:
            InputError: there are fewer than two, or a sample has none.
        """
        found = self.parts["train"].unique(self.label)
        if None in found:
            raise InputError(f"{self.name} has training samples without a {self.label}")
        if len(found) < 2:
            raise InputError(f"{self.name} must have at least 2 classes, got {len(found)}")
        return sorted(found)

    def pixels(self, part: str, convert: Callable[[Any], Tensor]) -> Tensor:
        """All images of a part, each through ``convert``.

        Raises:
            InputError: one cannot be decoded, or they differ in shape.
        """
        table, images = self.parts[part], []
        for index in range(len(table)):
            try:
                images.append(convert(table[index][self.image]))
            except Exception as error:  # whatever a decoder raises
                raise InputError(f"image {index} of part {part!r} of {self.name} cannot be read: {error}") from error
        if shapes := {tuple(image.shape) for image in images[1:]} - {tuple(images[0].shape)}:
            raise InputError(
                f"the images of {self.name} must have one shape, got {tuple(images[0].shape)} and {min(shapes)}; "
                "steepest.data.hub_images brings them to one"
            )
        return torch.stack(images)


def load_hub_images(name: str) -> tuple[Split, Split]:
    """Load the training and test images of a data set of labelled images, pixel by pixel as they are.

    Args:
        name: a name on the hub, such as ``ylecun/mnist``, or the path of a local folder of Parquet files.

    Returns:
        Training and test split; inputs ``uint8`` of shape (N, H, W) if grey, (N, H, W, C) if coloured; targets int64.

    Raises:
        InputError: `datasets` is not installed, the data set cannot be had, lacks one of the two parts, or its images
            differ in shape.
    """
    numpy = require("numpy", extra="compare")
    found = find_hub_images(name)
    if missing := {"train", "test"} - set(found.parts):
        raise InputError(f"{name} must have the parts train and test, lacks {min(missing)}")
    splits = []
    for part in ("train", "test"):
        images = found.pixels(part, lambda image: torch.from_numpy(numpy.array(image)))
        labels = found.parts[part][found.label][:]
        splits.append(Split(images, torch.tensor(labels, dtype=torch.int64, device="cpu")))
    return splits[0], splits[1]


def hub_images(name: str, *, size: int = 32, label: str | None = None) -> Splits:
    """Load any data set of labelled images, in colour and of one size, with three parts.

    A part ``test`` is the test data; without it a part ``validation``, and without that a fifth of the training part,
    held out. A part ``validation`` besides ``test`` is the validation data; without it a tenth of the training part.

    Args:
        name: a name on the hub, such as ``ylecun/mnist``, or the path of a local folder in the hub's layout.
        size: height and width; images are cropped to their central square and scaled.
        label: the column of the labels, where there are several.

    Returns:
        Inputs float32 of shape (N, 3, size, size), standardised; targets int64, the rank of the label among those of
        the training part.

    Raises:
        InputError: `datasets` is not installed, the data set cannot be had, has no part ``train``, no or several
            columns of images or labels, one class only, a label that training lacks, or an image that cannot be read.
    """
    found = find_hub_images(name, label)
    number = {label: index for index, label in enumerate(found.classes())}

    def split(part: str) -> Split:
        labels = found.parts[part][found.label][:]
        if unknown := set(labels) - set(number):
            raise InputError(f"part {part!r} of {name} has the label {min(unknown)!r}, which its training part has not")
        targets = torch.tensor([number[label] for label in labels], dtype=torch.int64, device="cpu")
        return Split(found.pixels(part, lambda image: square(image, size)), targets)

    train, test_part = split("train"), next((part for part in ("test", "validation") if part in found.parts), None)
    validation = split("validation") if test_part == "test" and "validation" in found.parts else None
    return standardize_pixels(three_parts(train, validation, split(test_part) if test_part else None))


def three_parts(train: Split, validation: Split | None, test: Split | None) -> Splits:
    """A fifth of the training part for a test part that is absent, then a tenth of the rest for the validation part.

    Raises:
        InputError: there is too little to cut off.
    """
    if (test is None or validation is None) and len(train) < 10:
        raise InputError(f"at least 10 training images are needed to hold some out, got {len(train)}")
    if test is None:
        train, test = hold_out(train, 0.2)
    if validation is None:
        train, validation = hold_out(train, 0.1)
    return Splits(train, validation, test)


def find_hub_images(name: str, label: str | None = None) -> HubImages:
    """The tables of a data set, with the columns that hold images and labels, found by their types.

    Raises:
        InputError: as :func:`hub_images`, as far as that is known without decoding an image.
    """
    local = os.path.isdir(name)
    offline = not local and _is_offline()
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    datasets = require("datasets", extra="hub")
    if offline:
        datasets.config.HF_HUB_OFFLINE = True  # the variable is read once, when the library is imported
    require("PIL.Image", extra="hub")
    try:
        with _no_progress_bars(datasets):
            parts = datasets.load_dataset(name)
    except Exception as error:  # the library raises a dozen kinds, from no network to no such name
        where = "" if local else " from the hub"
        raise InputError(f"{name} could not be loaded{where}: {' '.join(str(error).split())}") from error
    if "train" not in parts:
        raise InputError(f"{name} must have a part train, got {', '.join(parts)}")
    image = _image_column(name, parts["train"].features, datasets)
    label = _label_column(name, parts["train"].features, datasets, image, label)
    return HubImages(name, {part: v.cast_column(image, datasets.Image()) for part, v in parts.items()}, image, label)


def _image_column(name: str, features: Mapping[str, Any], datasets: Any) -> str:
    # A Parquet file that `datasets` did not write holds images as plain structures.
    found = [
        column
        for column, kind in features.items()
        if isinstance(kind, datasets.Image) or (isinstance(kind, dict) and set(kind) == {"bytes", "path"})
    ]
    if len(found) != 1:
        raise InputError(
            f"{name} must have one column of images, got {len(found) or 'none'}; its columns are {', '.join(features)}"
        )
    return found[0]


def _label_column(name: str, features: Mapping[str, Any], datasets: Any, image: str, wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in features:
            raise InputError(f"{name} has no column {wanted!r}; its columns are {', '.join(features)}")
        return wanted
    plain = [c for c, kind in features.items() if str(getattr(kind, "dtype", "")).startswith(("int", "uint", "string"))]
    found = [c for c, kind in features.items() if isinstance(kind, datasets.ClassLabel)] or plain
    found = ["label"] if "label" in found else found
    if len(found) != 1:
        raise InputError(
            f"{name} must have one column of labels, got {', '.join(found) or 'none'}; choose one in a workload of "
            f"your own: data=lambda _: steepest.data.hub_images({name!r}, label=...)"
        )
    return found[0]


@contextmanager
def _no_progress_bars(datasets: Any) -> Iterator[None]:
    shown = datasets.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _is_offline() -> bool:
    """Say whether there is no way to the hub but its cache; the library would first retry for half a minute."""
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return True
    hub = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    if urllib.request.getproxies():  # then a direct connection says nothing
        return False
    try:
        socket.create_connection((hub.hostname or "", hub.port or 443), timeout=5).close()
    except OSError:
        return "HF_HUB_OFFLINE" not in os.environ
    return False
