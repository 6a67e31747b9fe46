"""Training from a DataLoader: its order by the seed alone, resumed at a batch, and the trained model handed out."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from steepest._errors import InputError
from steepest.data import Split, Splits
from steepest.data.loaded import Loaded
from steepest.training import Workload
from steepest.training.builtin import METHODS
from steepest.training.definitions.assignment import Assignment
from steepest.training.loop.batches import Batches, batches_of
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.train import train

X = torch.arange(40.0).reshape(20, 2)
Y = torch.arange(20)


class Noisy(Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, i):
        return X[i] + torch.rand(1) + np.random.rand() + random.random(), Y[i]


def taken(batches, count):
    return [next(batches) for _ in range(count)]


def same(a, b):
    return all(torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(a, b, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_seed_alone_says_what_comes_and_nothing_else_is_drawn(workers):
    def loader(generator=None):
        return DataLoader(Noisy(), batch_size=6, shuffle=True, num_workers=workers, generator=generator)

    torch.manual_seed(1)
    first = taken(batches_of(Loaded.of(loader()), 6, seed=3), 9)
    torch.manual_seed(2)
    state = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    own = torch.Generator().manual_seed(5)
    again = taken(batches_of(Loaded.of(loader(own)), 6, seed=3), 9)
    assert (torch.get_rng_state() == state[0]).all()
    assert (np.random.get_state()[1].tolist(), random.getstate()) == state[1:]
    if workers == 0:
        assert same(first, taken(batches_of(Loaded.of(loader()), 6, seed=3), 9))
    assert [len(y) for _, y in again] == [6, 6, 6, 2, 6, 6, 6, 2, 6]
    assert sorted(torch.cat([y for _, y in again[:4]]).tolist()) == Y.tolist()
    assert [y.tolist() for _, y in again[:4]] != [y.tolist() for _, y in again[4:8]]
    assert not same(first[:3], taken(batches_of(Loaded.of(loader()), 6, seed=4), 3))


@pytest.mark.parametrize("at", [0, 1, 4, 5, 7])
def test_it_goes_on_in_the_middle_of_an_epoch(at):
    part = Loaded.of(DataLoader(Noisy(), batch_size=6, shuffle=True))
    noise = lambda x, generator: x + torch.rand(1, generator=generator)  # noqa: E731
    batches = batches_of(part, 6, seed=3, augment=noise)
    taken(batches, at)
    state = batches.state_dict()
    rest = taken(batches, 6)
    other = batches_of(part, 6, seed=3, augment=noise)
    other.load_state_dict(state)
    assert same(rest, taken(other, 6))


def test_tensors_in_memory_are_batched_as_before():
    assert isinstance(batches_of(Split(X, Y), 4, 0), Batches)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


@pytest.mark.parametrize(
    ("loader", "sentence"),
    [
        ([(X, Y)], "a loader must be a torch.utils.data.DataLoader, got list"),
        (DataLoader(Stream(), batch_size=2), "a DataLoader must have a length"),
        (DataLoader(TensorDataset(X, Y), batch_size=30, drop_last=True), "a DataLoader must give at least one batch"),
        (DataLoader(TensorDataset(X), batch_size=2), "every batch of a DataLoader must be a pair of tensors"),
        (DataLoader([{"x": X[0]}], batch_size=1), "inputs and targets, got dict"),
    ],
)
def test_a_loader_that_cannot_be_used_is_one_sentence(loader, sentence):
    with pytest.raises(InputError, match=sentence):
        Loaded.of(loader)


def linear():
    return nn.Sequential(nn.Linear(2, 20))


def test_a_run_from_a_loader_resumes_and_hands_out_its_model(tmp_path):
    few = Split(X[:2], Y[:2])
    splits = Splits(Loaded.of(DataLoader(Noisy(), batch_size=5, shuffle=True)), few, few)
    workload = Workload("loaded", lambda _: splits, linear, batch_size=5, epochs=3, target=0.5)
    asked = Assignment(workload, METHODS["sgd"], splits, {"lr": 0.001}, seed=1, epochs=3, batch_size=5)
    whole, models = [], []
    outcome = train(asked, with_test=False, trained=lambda model: whole.append(model.state_dict()))
    assert outcome.gradient_evaluations == 12
    checkpoint = Checkpoint(tmp_path / "run.pt", every_seconds=0.0)
    train(asked, with_test=False, checkpoint=checkpoint, progress=lambda seen: seen.fraction > 0.3)
    resumed = train(asked, with_test=False, checkpoint=checkpoint, trained=models.append)
    assert not models[0].training
    assert resumed.gradient_evaluations == 12
    assert all(torch.equal(whole[0][key], value) for key, value in models[0].state_dict().items())
    pruned = []
    train(asked, with_test=False, progress=lambda seen: True, trained=pruned.append)
    assert not pruned
