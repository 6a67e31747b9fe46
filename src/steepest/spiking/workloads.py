"""Spiking features of images, and a classifier on them, as workloads that optimizers are compared on."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steepest._errors import InputError
from steepest.data import Split, Splits
from steepest.data.emnist import emnist
from steepest.data.images import grey_images
from steepest.spiking.binary import Activation, BinaryClassifier, Surrogate
from steepest.spiking.features import (
    FeatureSettings,
    Learnt,
    Progress,
    cache_folder,
    extract_features,
    learn_filters,
)
from steepest.training import Workload

DATASETS: dict[str, tuple[Callable[[Path | None], Splits], int, float, str]] = {
    "mnist": (partial(grey_images, "mnist"), 10, 0.98, "MNIST"),
    "fashion-mnist": (partial(grey_images, "fashion-mnist"), 10, 0.84, "Fashion-MNIST"),
    "emnist": (emnist, 47, 0.7, "EMNIST ByMerge-test subset"),
}
"""Of each: its grey images, its number of classes, a target of accuracy, and what it is called."""


def load_grey(dataset: str, data_dir: Path | None = None) -> Splits:
    """Images uint8 (N, 28, 28) of ``"mnist"``, ``"fashion-mnist"`` or ``"emnist"``.

    Raises:
        InputError: there is no such data set, or its files are not there.
    """
    if dataset not in DATASETS:
        raise InputError(f"the data set must be one of {', '.join(DATASETS)}, got {dataset!r}")
    return DATASETS[dataset][0](data_dir)


def spiking_features(
    grey: Splits,
    settings: FeatureSettings,
    chosen: Tensor | None = None,
    progress: Progress = lambda name, share: None,
    device: torch.device | str = "cpu",
) -> tuple[Splits, Learnt]:
    """Features of all three parts, bool (N, count), and the filters; both from the cache if it has them.

    Args:
        grey: images uint8 (N, H, W).
        chosen: indices of the training images of which features are wanted; the filters learn from all.
        device: where features are computed, the same to the last bit on every one that has float64; filters learn on
            the CPU, and all is returned in its memory.
    """
    cache = cache_folder()
    learnt = learn_filters(grey.train.inputs, settings, cache, progress)
    grey = grey if chosen is None else some_of(grey, chosen)
    extract = partial(
        extract_features, learnt.layer, contrast=settings.contrast, cache=cache, progress=progress, device=device
    )
    return Splits(*(Split(extract(part.inputs), part.targets) for part in grey)), learnt


def some_of(splits: Splits, chosen: Tensor) -> Splits:
    """The same with these training images only."""
    return Splits(Split(splits.train.inputs[chosen], splits.train.targets[chosen]), splits.validation, splits.test)


def pixels(grey: Splits) -> Splits:
    """Images alone, float32 (N, H * W) from 0 to 1."""
    return Splits(*(Split(part.inputs.flatten(1).float() / 255, part.targets) for part in grey))


def spiking_workload(
    dataset: str,
    settings: FeatureSettings = FeatureSettings(),  # noqa: B008
    *,
    hidden: int = 1500,
    surrogate: Surrogate = "box",
    tau: float = 0.5,
    dropout: float = 0.0,
    activation: Activation = "binary",
    on_pixels: bool = False,
) -> Workload:
    """A :class:`~steepest.spiking.BinaryClassifier` on the spiking features of a data set.

    The filters are those of ``settings.seed`` in every run; the seed of a run is that of the classifier.

    Args:
        on_pixels: leave the features out.

    Raises:
        InputError: there is no such data set.
        ValueError: an argument is of the wrong kind or range.
    """
    if dataset not in DATASETS:
        raise InputError(f"the data set must be one of {', '.join(DATASETS)}, got {dataset!r}")
    _, classes, target, what = DATASETS[dataset]
    features = 784 if on_pixels else settings.count
    kind = {"binary": "a classifier of binary units", "relu": "an MLP", "sigmoid": "an MLP of sigmoid units"}
    options: dict[str, Any] = {"surrogate": surrogate, "tau": tau, "dropout": dropout, "activation": activation}
    model = partial(BinaryClassifier, features, hidden, classes, **options)
    with torch.device("meta"):
        model()  # refuses what cannot be built
    data = partial(_load, dataset, None if on_pixels else settings)
    return Workload(
        f"spiking-{dataset}",
        data=data,
        model=model,
        batch_size=100,
        epochs=10,
        target=target,
        description=f"{what}, {kind[activation]} on {'pixels' if on_pixels else 'spiking features'}",
    )


def _load(dataset: str, settings: FeatureSettings | None, data_dir: Path | None) -> Splits:
    grey = load_grey(dataset, data_dir)
    return pixels(grey) if settings is None else spiking_features(grey, settings)[0]


spiking_mnist = spiking_workload("mnist")
spiking_fashion_mnist = spiking_workload("fashion-mnist")
spiking_emnist = replace(spiking_workload("emnist"), epochs=20)
