"""From the places of samples to what a workload's own steps take."""

import hashlib
import itertools
import multiprocessing
from collections.abc import Iterable, Iterator
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


def item_batches(split: Items, batch_size: int, seed: int, collate: Collate | None) -> "ItemBatches | StreamBatches":
    """The training batches of a part whose samples are anything."""
    if isinstance(split, Stream):
        return StreamBatches(split, batch_size, seed, collate)
    return ItemBatches(split, batch_size, seed, collate)


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
    """The samples of a training batch, each drawn once, of which any part can be had as a nested batch."""

    def __init__(self, split: Items, places: Tensor, samples: Iterable[Any], collate: Collate | None) -> None:
        self._samples = dict(zip(places.tolist(), samples, strict=True))
        self._collate, self._device = collate or split.collate or default_collate, split.inputs.device

    def __call__(self, places: Tensor) -> Any:
        """The nested batch of the samples at these places."""
        return moved(self._collate([self._samples[place] for place in places.tolist()]), self._device)


class ItemBatches(Batches):
    """As :class:`Batches`, of places; ``fetched`` has the samples of the last batch.

    What a dataset draws at random for a sample follows from the run's seed, the epoch and the sample's place in it,
    whatever was drawn before, and whichever worker draws it.
    """

    fetched: Fetched

    def __init__(self, split: Items, batch_size: int, seed: int, collate: Collate | None) -> None:
        self._items, self._collate, self._seed = split, collate, seed
        self._ahead: Iterator[list[Any]] | None = None
        super().__init__(split, batch_size, seed)

    def __next__(self) -> tuple[Tensor, Tensor]:
        places, _ = super().__next__()
        if self._items.workers:
            if self._ahead is None:
                self._ahead = self._load_ahead(self._taken - 1)
            samples = next(self._ahead)
        else:
            before = generator_states(_CPU)
            try:
                samples = [_draw(self._items.dataset, key) for key in self._list_keys(self._taken - 1)]
            finally:
                restore_generators(before, _CPU)
        self.fetched = Fetched(self._items, places, samples, self._collate)
        return places, places

    def _list_keys(self, number: int) -> list[tuple[int, int]]:
        """List place and seed of every sample of a batch of this epoch."""
        chosen = self._order[number * self._batch_size :][: self._batch_size].tolist()
        first = self._seed_of_epoch + number * self._batch_size
        return [(place, (first + k) % 2**32) for k, place in enumerate(chosen)]

    def _load_ahead(self, first: int) -> Iterator[list[Any]]:
        loader: DataLoader[Any] = DataLoader(
            _Drawn(self._items.dataset),
            batch_sampler=[self._list_keys(number) for number in range(first, self._per_epoch)],
            num_workers=self._items.workers,
            collate_fn=_keep,
            pin_memory=False,
            generator=torch.Generator().manual_seed(0),
        )
        with _allowed_children():
            return iter(loader)

    def _begin_epoch(self) -> None:
        super()._begin_epoch()
        digest = hashlib.sha256(self._epoch.numpy().tobytes()).digest()
        self._seed_of_epoch = (int.from_bytes(digest[:4], "big") + self._seed) % 2**32
        self._ahead = None


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
    """A dataset that is asked for places and seeds."""

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


class StreamBatches(Iterator[tuple[Tensor, Tensor]]):
    """Batches of an iterable dataset, which begins anew where it ends; ``fetched`` has the samples of the last one.

    It draws from global generators of its own, seeded in each epoch. Whoever resumes takes the samples of the epoch
    once more.
    """

    fetched: Fetched

    def __init__(self, split: Stream, batch_size: int, seed: int, collate: Collate | None) -> None:
        self._split, self._size, self._seed, self._collate = split, batch_size, seed, collate
        self._per_epoch = len(split) // batch_size
        self._begin_epoch(0)

    def __next__(self) -> tuple[Tensor, Tensor]:
        if self._taken == self._per_epoch:
            self._begin_epoch(self._epoch + 1)
        samples = self._take()
        places = torch.arange(self._size, dtype=torch.int64, device=self._split.inputs.device)
        self.fetched = Fetched(self._split, places, samples, self._collate)
        return places, places

    def state_dict(self) -> dict[str, Any]:
        """The place in the data."""
        return {"epoch": self._epoch, "taken": self._taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where :meth:`state_dict` was taken."""
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
