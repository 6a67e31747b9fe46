"""Labelled images from the hub, or from a local folder in the hub's layout, through the `datasets` library."""

import os
import socket
import urllib.parse
import urllib.request

import torch
from torch import Tensor

from steepest._errors import InputError, require
from steepest.data.splits import Split


def load_hub_images(name: str) -> tuple[Split, Split]:
    """Load the training and test images of a data set with the columns ``image`` and ``label``.

    Args:
        name: a name on the hub, such as ``ylecun/mnist``, or the path of a local folder of Parquet files.

    Returns:
        Training and test split; inputs ``uint8`` of shape (N, H, W) if grey, (N, H, W, C) if coloured; targets int64.

    Raises:
        InputError: `datasets` is not installed, or the data set cannot be had.
    """
    if not os.path.isdir(name):
        _skip_retries_without_network()
    datasets = require("datasets", extra="hub")
    numpy = require("numpy", extra="compare")
    splits = []
    for part in ("train", "test"):
        try:
            table = datasets.load_dataset(name, split=part)
        except Exception as error:  # the library raises a dozen kinds, from no network to no such name
            raise InputError(f"{name} could not be loaded from the hub: {' '.join(str(error).split())}") from error
        images: Tensor = torch.from_numpy(numpy.stack([numpy.asarray(image) for image in table["image"]]))
        splits.append(Split(images, torch.tensor(table["label"][:], dtype=torch.int64)))
    return splits[0], splits[1]


def _skip_retries_without_network() -> None:
    """Without a route to the hub, go straight to its cache: the library would first retry for half a minute."""
    hub = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    if urllib.request.getproxies():  # then a direct connection says nothing
        return
    try:
        socket.create_connection((hub.hostname or "", hub.port or 443), timeout=5).close()
    except OSError:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
