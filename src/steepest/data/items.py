"""Data whose samples are anything at all: texts, boxes, graphs, sequences of any length."""

import hashlib
import pickle
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from dataclasses import fields as fields_of
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
)

from steepest._errors import InputError
from steepest._kept import random_numbers_kept
from steepest.data.splits import Split, Splits, Tasks

Collate = Callable[[list[Any]], Any]
DIGESTED = 2000  # items at most, evenly over the data


@dataclass(frozen=True)
class Items(Split):
    """Samples that a map-style dataset gives one by one, each known by its place; ``inputs`` and ``targets`` are
    places.

    Raises:
        InputError: the dataset has no length, or no sample.

    Example:
        >>> texts = Items.of(["to be", "or not"])
        >>> len(texts), texts.take([1])
        (2, ['or not'])
    """

    dataset: Any = field(kw_only=True)
    collate: Collate | None = field(kw_only=True, default=None)
    workers: int = field(kw_only=True, default=0)

    @classmethod
    def of(cls, dataset: Any, collate: Collate | None = None, workers: int = 0) -> "Items":
        """The part that a dataset is: a map-style one, or any sequence."""
        try:
            count = len(dataset)
        except TypeError:
            raise InputError(
                f"a dataset of a workload must be map-style, with a length, got {type(dataset).__name__}"
            ) from None
        if count == 0:
            raise InputError("a split needs at least one sample, got an empty dataset")
        places = torch.arange(count, dtype=torch.int64, device="cpu")
        return cls(places, places, dataset=dataset, collate=collate, workers=workers)

    def take(self, places: Iterable[int]) -> list[Any]:
        """The samples at these places."""
        return [self.dataset[place] for place in places]

    def to(self, device: torch.device | str) -> "Items":
        return self._with(self.inputs.to(device))

    def at(self, rows: Tensor | slice) -> "Items":
        return self._with(self.inputs[rows])

    def copied_to(self, device: torch.device) -> "Items":
        return self._with(self.inputs.to(device, copy=True))

    def digest(self) -> bytes:
        """What tells the data from others: SHA-256 of the samples, or of 2,000 of them evenly over the data, each drawn
        from generators that are seeded alike."""
        count = len(self)
        chosen = range(count) if count <= DIGESTED else (i * count // DIGESTED for i in range(DIGESTED))
        return self._digest_of([int(self.inputs[place]) for place in chosen])

    def _digest_of(self, places: list[int]) -> bytes:
        found = hashlib.sha256(str(len(self)).encode())
        with random_numbers_kept(()):
            _seed_all()
            for sample in self._draw(places):
                for leaf in _list_leaves(sample):
                    found.update(leaf)
        return found.digest()

    def _draw(self, places: list[int]) -> Iterator[Any]:
        """Draw one after another, so that not all lie in memory at a time."""
        return (self.dataset[place] for place in places)

    def _with(self, places: Tensor) -> "Items":
        return replace(self, inputs=places, targets=places)


@dataclass(frozen=True)
class Stream(Items):
    """Training samples that an iterable dataset gives in an order of its own, over and over; its length is an epoch."""

    @classmethod
    def of(cls, dataset: Any, collate: Collate | None = None, workers: int = 0) -> "Stream":
        """The part that an iterable dataset with a length is."""
        try:
            count = len(dataset)
        except TypeError:
            raise InputError(
                f"an iterable dataset must have a length, the samples that count as an epoch, and {_name(dataset)} has "
                "none; define its __len__"
            ) from None
        places = torch.arange(count, dtype=torch.int64, device="cpu")
        return cls(places, places, dataset=dataset, collate=collate, workers=workers)

    def take(self, places: Iterable[int]) -> list[Any]:
        """As many samples from the beginning as the last place needs, those at the places of them."""
        wanted = list(places)
        first: list[Any] = []
        for item in self.dataset:
            first.append(item)
            if len(first) > max(wanted):
                break
        if len(first) <= max(wanted):
            raise InputError(f"{_name(self.dataset)} gave {len(first)} samples, and its length is {len(self)}")
        return [first[place] for place in wanted]

    def digest(self) -> bytes:
        """SHA-256 of the first samples, drawn from generators that are seeded alike."""
        return self._digest_of(list(range(min(len(self), 64))))

    def _draw(self, places: list[int]) -> Iterator[Any]:
        return iter(self.take(places))


def _seed_all() -> None:
    """Seed what a dataset may draw from."""
    random.seed(0)
    torch.default_generator.manual_seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)


def as_items(value: object, *, training: bool) -> Items:
    """A part of a workload that says itself how it is trained: a map-style dataset, a sequence, a DataLoader of one, of
    whose batches the run makes its own, or for training an iterable dataset with a length.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(value, Items):
        return value
    if isinstance(value, DataLoader):
        _check_order(value)
        found = as_items(value.dataset, training=training)
        collate = None if value.collate_fn is default_collate else value.collate_fn
        return replace(found, collate=collate, workers=value.num_workers)
    if isinstance(value, IterableDataset):
        return Stream.of(value) if training else Items.of(list(value))
    if isinstance(value, Mapping | str | bytes | Tensor) or not hasattr(value, "__getitem__"):
        raise InputError(
            f"each of the three parts of a workload's data must be a dataset, a sequence or a DataLoader, got "
            f"{_name(value)}"
        )
    return Items.of(value)


def _check_order(loader: DataLoader[Any]) -> None:
    """Refuse what a loader does of its own and the run would not do."""
    if isinstance(loader.dataset, IterableDataset):
        return
    batches = loader.batch_sampler
    for name, sampler, plain in (
        ("sampler", loader.sampler, (RandomSampler, SequentialSampler)),
        ("batch_sampler", batches, (BatchSampler, type(None))),
    ):
        weighs = isinstance(sampler, RandomSampler) and (sampler.replacement or len(sampler) != len(loader.dataset))  # type: ignore[arg-type]
        if type(sampler) not in plain or weighs:
            raise InputError(
                f"a DataLoader must have no {name} of its own, as the run orders samples, got {_name(sampler)}; let "
                "the dataset repeat or leave out samples"
            )
    if loader.worker_init_fn is not None:
        raise InputError("a DataLoader must have no worker_init_fn, as the run seeds every sample; leave it out")


def as_item_splits(value: object) -> Splits:
    """What a function of data returns, each of its three parts as :class:`Items`.

    Raises:
        InputError: there are not three, or one is no such part.
    """
    if isinstance(value, Tasks):
        raise InputError("a sequence of tasks has a loss of outputs and targets; training_step cannot have one")
    parts = value if isinstance(value, Iterable) and not isinstance(value, str | bytes | Tensor | Mapping) else [value]
    train, *others = parts = list(parts)
    if len(parts) != 3:
        raise InputError(f"the data must be three parts, training, validation and test, got {len(parts)}")
    return Splits(as_items(train, training=True), *(as_items(other, training=False) for other in others))


def moved(batch: Any, device: torch.device) -> Any:
    """A nested batch on a device: tensors, and whatever has a method ``to``, within dicts, sequences and dataclasses.

    Example:
        >>> moved({"x": [torch.zeros(2), "text"]}, torch.device("cpu"))
        {'x': [tensor([0., 0.]), 'text']}
    """
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if callable(to := getattr(batch, "to", None)):
        return to(device)
    if isinstance(batch, Mapping):
        return type(batch)({key: moved(part, device) for key, part in batch.items()})  # type: ignore[call-arg]
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(part, device) for part in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(moved(part, device) for part in batch)
    if is_dataclass(batch) and not isinstance(batch, type):
        return replace(batch, **{f.name: moved(getattr(batch, f.name), device) for f in fields_of(batch) if f.init})
    return batch


def _list_leaves(value: Any) -> Iterator[bytes]:
    """List what a sample is made of, as bytes that are the same in every process."""
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().flatten()
        yield f"{tuple(value.shape)}{value.dtype}".encode()
        yield flat.view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield repr(key).encode()
            yield from _list_leaves(part)
    elif isinstance(value, str | bytes | int | float | complex | None):
        yield repr(value).encode()
    elif isinstance(value, Sequence):
        yield f"{type(value).__name__}{len(value)}".encode()
        for part in value:
            yield from _list_leaves(part)
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields_of(value):
            yield from _list_leaves(getattr(value, f.name))
    elif hasattr(value, "tobytes"):  # of NumPy, of Pillow
        yield f"{getattr(value, 'shape', getattr(value, 'size', ''))}{getattr(value, 'dtype', '')}".encode()
        yield value.tobytes()
    else:
        yield pickle.dumps(value, protocol=4)


def _name(value: object) -> str:
    return f"a {type(value).__name__}"
