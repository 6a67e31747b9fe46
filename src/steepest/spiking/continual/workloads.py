"""Workloads of one task after the other: some classes of a data set each."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from steepest import data as library
from steepest._errors import InputError
from steepest.data import Split, Splits, Tasks
from steepest.spiking.continual.blocks import ContinualNet, check_classes
from steepest.spiking.features import FeatureSettings
from steepest.spiking.workloads import load_grey, spiking_features
from steepest.training.definitions.workload import Workload

DIGIT_PAIRS = tuple((first, first + 1) for first in range(0, 10, 2))
"""Ten classes in five tasks."""
TENS_OF_47 = tuple(tuple(range(5 * t, 5 * t + 5)) for t in range(7)) + tuple(
    tuple(range(35 + 4 * t, 39 + 4 * t)) for t in range(3)
)
"""47 classes in ten tasks: seven of 5, three of 4."""


def split_by_class(splits: Splits, classes: Sequence[Sequence[int]]) -> Tasks:
    """The samples of each task's classes, in their order; those of no class named are left out.

    Raises:
        ValueError: a label is negative or named twice, or there is no task.
        InputError: a part has no sample of one of the classes, or its targets are no integers (N,).

    Example:
        >>> part = Split(torch.arange(6), torch.tensor([0, 1, 2, 3, 0, 2]))
        >>> tasks = split_by_class(Splits(part, part, part), [(0, 1), (2, 3)])
        >>> [task.train.inputs.tolist() for task in tasks.tasks]
        [[0, 1, 4], [2, 3, 5]]
    """
    tasks = check_classes(classes)
    for name, split in zip(Splits._fields, splits, strict=True):
        if split.targets.ndim != 1 or split.targets.is_floating_point():
            raise InputError(
                f"targets must be labels, integers (N,), got {split.targets.dtype} of shape "
                f"{tuple(split.targets.shape)}"
            )
        there = set(split.targets.tolist())
        if missing := [label for labels in tasks for label in labels if label not in there]:
            raise InputError(f"the {name} data has no sample of class {missing[0]}")
    return Tasks([Splits(*(_choose(split, labels) for split in splits)) for labels in tasks])


def split(
    name: str,
    data: Callable[[Path | None], Splits],
    classes: Sequence[Sequence[int]],
    *,
    features: int,
    hidden: int,
    target: float = 0.5,
    batch_size: int = 10,
    epochs: int = 10,
    description: str = "",
) -> Workload:
    """A workload whose tasks are some classes each, of one data set; its model is a :class:`ContinualNet`.

    Args:
        name: of the workload.
        data: of the data folder, or ``None``: training, validation and test data, always the same.
        classes: the labels of each task.
        features: of an input.
        hidden: units of the hidden layer.
        target: of the mean accuracy over all tasks.
        batch_size, epochs: of each task.
        description: one line.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> split("pairs", lambda _: library.digits(), DIGIT_PAIRS, features=64, hidden=16).epochs
        10
    """
    tasks = check_classes(classes)
    return Workload(
        name,
        data=lambda data_dir: split_by_class(data(data_dir), tasks),
        model=lambda: ContinualNet(features, hidden, tasks),
        batch_size=batch_size,
        epochs=epochs,
        target=target,
        description=description,
    )


def _choose(split: Split, labels: Sequence[int]) -> Split:
    wanted = torch.tensor(labels, dtype=split.targets.dtype, device=split.targets.device)
    rows = torch.isin(split.targets, wanted)
    return Split(split.inputs[rows], split.targets[rows])


split_digits = split(
    "split-digits",
    lambda _: library.digits(),
    DIGIT_PAIRS,
    features=64,
    hidden=128,
    description="scikit-learn's 8x8 digits (embedded), two classes a task, MLP 64-128-10",
)


def split_spiking(dataset: str, classes: Sequence[Sequence[int]], what: str, images: int | None = None) -> Workload:
    """Tasks of some classes each, on the spiking features of a data set's images.

    Args:
        dataset: ``"mnist"``, ``"fashion-mnist"`` or ``"emnist"``.
        what: it is called in the description.
        images: of training, drawn by a fixed seed; all there are by default.
    """
    settings = FeatureSettings()

    def load(data_dir: Path | None) -> Splits:
        grey = load_grey(dataset, data_dir)
        if images is not None:
            drawn = torch.randperm(len(grey.train), generator=torch.Generator("cpu").manual_seed(0), device="cpu")
            return spiking_features(grey, settings, drawn[:images])[0]
        return spiking_features(grey, settings)[0]

    return split(
        f"split-{dataset}",
        load,
        classes,
        features=settings.count,
        hidden=1500,
        description=f"{what} in {len(classes)} tasks by class, an MLP of 1,500 hidden units on spiking features",
    )


split_mnist = split_spiking("mnist", DIGIT_PAIRS, "MNIST")
split_mnist_12k = replace(
    split_spiking("mnist", DIGIT_PAIRS, "12,000 images of MNIST", 12_000), name="split-mnist-12k", epochs=3
)
split_emnist = split_spiking("emnist", TENS_OF_47, "EMNIST ByMerge-test subset")
WORKLOADS = {workload.name: workload for workload in (split_digits, split_mnist, split_mnist_12k, split_emnist)}
