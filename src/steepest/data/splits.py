"""Data in memory, split once."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from steepest._errors import InputError


@dataclass(frozen=True)
class Split:
    """Inputs and targets of the same length, as two tensors on one device.

    Raises:
        InputError: the lengths differ or are 0.
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets) or len(self.inputs) == 0:
            raise InputError(
                f"a split needs as many inputs as targets, and at least one; "
                f"got {len(self.inputs)} inputs and {len(self.targets)} targets"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> "Split":
        return Split(self.inputs.to(device), self.targets.to(device))

    @classmethod
    def from_dataset(cls, dataset: "Dataset[tuple[Tensor, Tensor]]") -> "Split":
        """Stack a map-style dataset of ``(input, target)`` pairs into memory."""
        pairs = [dataset[i] for i in range(len(dataset))]  # type: ignore[arg-type]
        return cls(
            torch.stack([torch.as_tensor(x) for x, _ in pairs]), torch.stack([torch.as_tensor(y) for _, y in pairs])
        )


def as_split(value: object) -> Split:
    """A split from what a user's function returns: a split, a pair of tensors, or a map-style dataset of pairs.

    Raises:
        InputError: it is none of these.

    Example:
        >>> len(as_split((torch.zeros(3, 2), torch.zeros(3))))
        3
    """
    if isinstance(value, Split):
        return value
    if isinstance(value, Dataset):
        return Split.from_dataset(value)
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, Tensor) for part in value):
        return Split(*value)
    raise InputError(
        f"each of the three parts of a workload's data must be a steepest.data.Split, a pair of tensors or a map-style "
        f"dataset, got {type(value).__name__}"
    )


class Splits(NamedTuple):
    """Training data, validation data to choose hyperparameters on, and test data that only the report sees."""

    train: Split
    validation: Split
    test: Split

    def to(self, device: torch.device | str) -> "Splits":
        return Splits(*(split.to(device) for split in self))


def hold_out(split: Split, fraction: float, seed: int = 0) -> tuple[Split, Split]:
    """Cut a random part off: ``(the rest, the part)``. The same seed always cuts the same part.

    Raises:
        InputError: ``fraction`` leaves one of the two parts empty.

    Example:
        >>> rest, part = hold_out(Split(torch.arange(10), torch.arange(10)), fraction=0.2)
        >>> len(rest), len(part), sorted([*rest.targets.tolist(), *part.targets.tolist()]) == list(range(10))
        (8, 2, True)
    """
    count = round(fraction * len(split))
    if not 0 < count < len(split):
        raise InputError(f"fraction must leave both parts non-empty, got {fraction} of {len(split)} samples")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    part, rest = order[:count], order[count:]
    return Split(split.inputs[rest], split.targets[rest]), Split(split.inputs[part], split.targets[part])


def standardize(splits: Splits) -> Splits:
    """Shift and scale all inputs by the mean and standard deviation of the training inputs, one of each per data set.

    Example:
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> standardize(Splits(Split(x, x), Split(x, x), Split(x, x))).test.inputs.flatten().tolist()
        [-1.0, 1.0]
    """
    mean = splits.train.inputs.mean()
    std = splits.train.inputs.std(correction=0)
    return Splits(*(Split((split.inputs - mean) / std, split.targets) for split in splits))
