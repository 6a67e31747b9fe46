"""From the places of samples to what a workload's own steps take."""

import hashlib
import itertools
import multiprocessing
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from steepest.data.items import Collate, Items, Stream, moved
from steepest.training.loop.batches import Batches
from steepest.training.process.randomness import (
    derived_seed,
    generator_states,
    lent_generators,
    restore_generators,
    seed_generators,
)

_CPU = torch.device("cpu")


def item_batches(split: Items, batch_size: int, seed: int, collate: Collate | None) -> "SampleBatches":
    """The training batches of a part whose samples are anything."""
    kind = StreamBatches if isinstance(split, Stream) else ItemBatches
    return kind(split, batch_size, seed, collate)


def batch_at(split: Items, places: Tensor, collate: Collate | None) -> Any:
    """The nested batch of these samples on the split's device; what it draws at random is always the same."""
    before = generator_states(_CPU)
    seed_generators(0, devices=False)
    try:
        found = (collate or split.collate or default_collate)(split.take(places.tolist()))
    finally:
        restore_generators(before, _CPU)
    return moved(found, split.inputs.device)


class Fetched:
    """The samples of a step, each drawn once, of which any part can be had as a nested batch."""

    def __init__(self, split: Items, samples: list[Any], collate: Collate | None) -> None:
        self._samples = samples
        self._collate, self._device = collate or split.collate or default_collate, split.inputs.device

    def __call__(self, numbers: Tensor) -> Any:
        """The nested batch of the samples of these numbers."""
        return moved(self._collate([self._samples[number] for number in numbers.tolist()]), self._device)


class SampleBatches(Iterator[list[Any]]):
    """Endless batches of samples that can be resumed."""

    def __init__(self, split: Items, batch_size: int, seed: int, collate: Collate | None) -> None:
        self._split, self._size, self._seed, self._collate = split, batch_size, seed, collate

    def take(self, count: int = 1) -> tuple[Fetched, Tensor]:
        """The samples of the next batches, and their numbers in them, which stand for inputs and targets."""
        samples = [sample for _ in range(count) for sample in next(self)]
        numbers = torch.arange(len(samples), dtype=torch.int64, device=self._split.inputs.device)
        return Fetched(self._split, samples, self._collate), numbers

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """The place in the data."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where :meth:`state_dict` was taken."""


class ItemBatches(SampleBatches):
    """In the order of :class:`Batches`.

    What a dataset draws at random for a sample follows from the run's seed, the epoch and the sample's place in it,
    whatever was drawn before, and whichever worker draws it.
    """

    def __init__(self, split: Items, batch_size: int, seed: int, collate: Collate | None) -> None:
        super().__init__(split, batch_size, seed, collate)
        self._order = Batches(split, batch_size, seed)
        self._ahead: Iterator[list[Any]] = iter(())

    def __next__(self) -> list[Any]:
        before = self._order.state_dict()
        places, _ = next(self._order)
        if not self._split.workers:
            kept = generator_states(_CPU)
            try:
                return [_draw(self._split.dataset, key) for key in self._list_keys(places)]
            finally:
                restore_generators(kept, _CPU)
        found = next(self._ahead, None)
        if found is None:
            self._ahead = self._load_ahead(before)
            found = next(self._ahead)
        return found

    def state_dict(self) -> dict[str, Any]:
        return self._order.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._order.load_state_dict(state)
        self._ahead = iter(())

    def _list_keys(self, places: Tensor, order: Batches | None = None) -> list[tuple[int, int]]:
        """List place and seed of every sample of a batch that has just been taken."""
        state = (order or self._order).state_dict()
        epoch = int.from_bytes(hashlib.sha256(state["epoch"].numpy().tobytes()).digest()[:4], "big")
        first = epoch + self._seed + state["taken"] * self._size
        return [(place, (first + k) % 2**32) for k, place in enumerate(places.tolist())]

    def _load_ahead(self, state: dict[str, Any]) -> Iterator[list[Any]]:
        """Let workers draw the batches of an epoch from a place in the data on."""
        order = Batches(self._split, self._size, self._seed)
        order.load_state_dict(state)
        per_epoch = len(self._split) // self._size
        left = per_epoch - state["taken"] or per_epoch  # at the end of an epoch the next one begins
        loader: DataLoader[Any] = DataLoader(
            _Drawn(self._split.dataset),
            batch_sampler=[self._list_keys(next(order)[0], order) for _ in range(left)],
            num_workers=self._split.workers,
            collate_fn=_keep,
            generator=torch.Generator().manual_seed(0),
        )
        with _allowed_children():
            return iter(loader)


@contextmanager
def _allowed_children() -> Iterator[None]:
    """Let a study's worker start those of a DataLoader, which end by themselves when it does."""
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    before = config.get("daemon")
    config["daemon"] = False
    try:
        yield
    finally:
        config["daemon"] = before


class _Drawn(Dataset[Any]):
    """Ask a dataset by places and seeds."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __getitem__(self, key: tuple[int, int]) -> Any:
        return _draw(self._dataset, key)


def _draw(dataset: Any, key: tuple[int, int]) -> Any:
    place, seed = key
    seed_generators(seed, devices=False)
    return dataset[place]


def _keep(samples: list[Any]) -> list[Any]:
    return samples


class StreamBatches(SampleBatches):
    """Of an iterable dataset, which begins anew where it ends.

    It draws from global generators of its own, seeded in each epoch. Whoever resumes takes the samples of the epoch
    once more.
    """

    def __init__(self, split: Items, batch_size: int, seed: int, collate: Collate | None) -> None:
        super().__init__(split, batch_size, seed, collate)
        self._per_epoch = len(split) // batch_size
        self._begin_epoch(0)

    def __next__(self) -> list[Any]:
        if self._taken == self._per_epoch:
            self._begin_epoch(self._epoch + 1)
        return self._take()

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "taken": self._taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._begin_epoch(state["epoch"])
        while self._taken < state["taken"]:
            self._take()

    def _begin_epoch(self, epoch: int) -> None:
        self._epoch, self._taken = epoch, 0
        self._lend = lent_generators(derived_seed(f"stream {epoch}", self._seed))
        with self._lend():
            self._samples = iter(self._split.dataset)

    def _take(self) -> list[Any]:
        self._taken += 1
        with self._lend():
            found = list(itertools.islice(self._samples, self._size))
            while len(found) < self._size:  # it was shorter than it says
                self._samples = iter(self._split.dataset)
                more = list(itertools.islice(self._samples, self._size - len(found)))
                if not more:
                    raise ValueError("the iterable dataset of the training data gives no sample")
                found += more
        return found
