"""Data in memory, split once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from steepest._errors import InputError


@dataclass(frozen=True)
class Split:
    """Inputs and targets of the same length, as two tensors on one device.

    Raises:
        InputError: they are no such tensors, or their lengths differ or are 0.
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        for name in ("inputs", "targets"):
            _check_tensor(name, getattr(self, name))
        if self.inputs.device != self.targets.device:
            raise InputError(
                f"the inputs and targets of a split must lie on one device, got {self.inputs.device} and "
                f"{self.targets.device}"
            )
        if len(self.inputs) != len(self.targets) or len(self.inputs) == 0:
            raise InputError(
                f"a split needs as many inputs as targets, and at least one; "
                f"got {len(self.inputs)} inputs and {len(self.targets)} targets"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device | str) -> "Split":
        return Split(self.inputs.to(device), self.targets.to(device))

    def at(self, rows: Tensor | slice) -> "Split":
        """Some of the samples."""
        return Split(self.inputs[rows], self.targets[rows])

    def copied_to(self, device: torch.device) -> "Split":
        """The same in memory of its own, so that nobody else has these tensors."""
        return Split(self.inputs.to(device, copy=True), self.targets.to(device, copy=True))

    @classmethod
    def from_dataset(cls, dataset: "Dataset[tuple[Tensor, Tensor]]") -> "Split":
        """Stack a map-style dataset of ``(input, target)`` pairs into memory."""
        try:
            count = len(dataset)  # type: ignore[arg-type]
        except TypeError:
            raise InputError(
                f"a dataset of a workload must be map-style, with a length, got {type(dataset).__name__}"
            ) from None
        if count == 0:
            raise InputError("a split needs at least one sample, got an empty dataset")
        pairs = [dataset[i] for i in range(count)]
        for item in pairs:
            if not isinstance(item, tuple | list) or len(item) != 2:
                raise InputError(f"every item of a dataset must be a pair (input, target), got {_describe(item)}")
        return cls(
            torch.stack([torch.as_tensor(x, device="cpu") for x, _ in pairs]),
            torch.stack([torch.as_tensor(y, device="cpu") for _, y in pairs]),
        )


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise InputError(f"the {name} of a split must be a torch.Tensor, got {_describe(value)}; see torch.as_tensor")
    if value.ndim == 0:
        raise InputError(f"the {name} of a split must have a first dimension of samples, got a 0-dim tensor")
    if value.layout != torch.strided or value.is_meta or value.requires_grad:
        how = "that needs a gradient" if value.requires_grad else f"of layout {value.layout} on {value.device}"
        raise InputError(f"the {name} of a split must be a dense tensor of plain data in memory, got one {how}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _describe(value: object) -> str:
    """Say what it is, and what is in it."""
    if isinstance(value, tuple | list):
        inside = dict.fromkeys(type(part).__name__ for part in value)
        return f"a {type(value).__name__} of {len(value)} ({', '.join(inside) or 'nothing'})"
    return type(value).__name__


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
    if isinstance(value, tuple) and len(value) == 2:
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

    @property
    def tasks(self) -> "list[Splits]":
        """The tasks that follow each other; all of it is one, unless it is a :class:`Tasks`."""
        return [self]

    def each(self, change: Callable[[Split], Split]) -> "Splits":
        """The same with every part changed by a function that leaves its length as it is."""
        return Splits(*map(change, self))

    def to(self, device: torch.device | str) -> "Splits":
        return self.each(lambda split: split.to(device))


class Tasks(Splits):
    """A sequence of tasks that one model learns one after the other, each with its own three parts.

    As a :class:`Splits` it holds the data of all tasks together.

    Args:
        tasks: what a workload's function of data may return for each of them; inputs and targets of all have the same
            shapes and dtypes but for the number of samples.

    Raises:
        InputError: there is none, one is no three parts, or they do not fit together.

    Example:
        >>> def part(n):
        ...     return torch.zeros(n, 2), torch.zeros(n)
        >>> tasks = Tasks([[part(4), part(1), part(1)], [part(6), part(2), part(2)]])
        >>> len(tasks.train), [len(task.train) for task in tasks.tasks]
        (10, [4, 6])
    """

    lengths: "tuple[tuple[int, ...], ...]"
    """Samples of each task's parts."""

    def __new__(cls, tasks: Iterable[object]) -> "Tasks":
        parts = [as_splits(task) for task in tasks]
        if not parts:
            raise InputError("a sequence of tasks needs at least one, got none")
        try:
            whole = [
                Split(torch.cat([split.inputs for split in some]), torch.cat([split.targets for split in some]))
                for some in zip(*parts, strict=True)
            ]
        except (RuntimeError, TypeError) as error:
            raise InputError(f"the tasks of a sequence must have samples of one shape: {error}") from error
        return cls._of(whole, tuple(tuple(map(len, task)) for task in parts))

    @classmethod
    def _of(cls, whole: Iterable[Split], lengths: "tuple[tuple[int, ...], ...]") -> "Tasks":
        found = tuple.__new__(cls, whole)
        found.lengths = lengths
        return found

    def __reduce__(self) -> Any:
        return Tasks._of, (tuple(self), self.lengths)

    @property
    def tasks(self) -> "list[Splits]":
        found, start = [], [0, 0, 0]
        for counts in self.lengths:
            stop = [a + n for a, n in zip(start, counts, strict=True)]
            rows = [slice(a, z) for a, z in zip(start, stop, strict=True)]
            found.append(Splits(*(Split(s.inputs[r], s.targets[r]) for s, r in zip(self, rows, strict=True))))
            start = stop
        return found

    def each(self, change: Callable[[Split], Split]) -> "Tasks":
        return Tasks._of(map(change, self), self.lengths)


def as_splits(value: object) -> Splits:
    """What a workload's function of data returns, each of its three parts as a split.

    Raises:
        InputError: there are not three, or one is no split.

    Example:
        >>> part = (torch.zeros(3, 2), torch.zeros(3))
        >>> len(as_splits([part, part, part]).test)
        3
    """
    if isinstance(value, Tasks):
        return value
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Tensor):
        raise InputError(f"the data must be three parts, training, validation and test, got {_describe(value)}")
    parts = list(value)
    if len(parts) != 3:
        raise InputError(f"the data must be three parts, training, validation and test, got {len(parts)}")
    return Splits(*(as_split(part) for part in parts))


def hold_out(split: Split, fraction: float, seed: int = 0) -> tuple[Split, Split]:
    """Cut a random part off: ``(the rest, the part)``. The same seed always cuts the same part.

    Raises:
        InputError: ``fraction`` leaves one of the two parts empty.

    Example:
        >>> rest, part = hold_out(Split(torch.arange(10), torch.arange(10)), fraction=0.2)
        >>> len(rest), len(part), sorted([*rest.targets.tolist(), *part.targets.tolist()]) == list(range(10))
        (8, 2, True)
    """
    if not _is_number(fraction) or not 0 < fraction < 1:
        raise InputError(f"fraction must leave both parts non-empty: between 0 and 1, got {fraction!r}")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise InputError(f"seed must be an integer, got {seed!r}")
    count = round(fraction * len(split))
    if not 0 < count < len(split):
        raise InputError(f"fraction must leave both parts non-empty, got {fraction} of {len(split)} samples")
    generator = torch.Generator(device="cpu").manual_seed(seed)
    order = torch.randperm(len(split), generator=generator, device="cpu").to(split.inputs.device)
    part, rest = order[:count], order[count:]
    return Split(split.inputs[rest], split.targets[rest]), Split(split.inputs[part], split.targets[part])


def standardize(splits: Splits, *, per: Literal["column", "everything"] | None = None) -> Splits:
    """Shift and scale all inputs by the mean and standard deviation of the training inputs.

    Args:
        per: ``"column"``: one mean and one deviation for each column of a table, so that no unit outweighs the others;
            ``"everything"``: one of each for the whole data set, as for pixels, which share a unit. Left out, inputs of
            shape (N, columns) are a table, and all others are not.

    A column that is constant in the training inputs is only shifted.

    Raises:
        InputError: the inputs are no floating-point numbers, or ``per`` is something else or does not fit them.

    Example:
        >>> x = torch.tensor([[0.0, 7.0], [200.0, 7.0]])
        >>> standardize(Splits(Split(x, x), Split(x, x), Split(x, x))).test.inputs.tolist()
        [[-1.0, 0.0], [1.0, 0.0]]
    """
    inputs = splits.train.inputs
    if not inputs.is_floating_point():
        raise InputError(f"inputs must be floating-point numbers to be standardized, got {inputs.dtype}; see .float()")
    if per not in (None, "column", "everything"):
        raise InputError(f"per must be 'column' or 'everything', got {per!r}")
    if per == "column" and inputs.ndim != 2:
        raise InputError(f"per='column' needs inputs of shape (N, columns), got {tuple(inputs.shape)}")
    if per == "column" or (per is None and inputs.ndim == 2):
        mean, std = inputs.mean(dim=0), inputs.std(dim=0, correction=0)
    else:
        mean, std = inputs.mean(), inputs.std(correction=0)
    # What rounding leaves of a constant is no deviation.
    constant = std <= 8 * torch.finfo(std.dtype).eps * mean.abs()
    std = torch.where(constant, torch.ones_like(std), std)
    return splits.each(lambda split: Split((split.inputs - mean) / std, split.targets))
