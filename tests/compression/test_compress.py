"""The loop: the budget is kept, layers are taken in their order, a killed compression goes on, bad input is told."""

import copy
import itertools
import math
import random
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from steepest._errors import InputError
from steepest.compression import compress, folder, load_compressed, save_compressed
from steepest.compression.folder import Folder
from steepest.compression.pruning import global_masks
from steepest.compression.weights import find_weights
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.loop.run import Run

CROSS_ENTROPY = nn.functional.cross_entropy


class Task:
    """A small network that was trained, its data and its points."""

    def __init__(self, seed=0, norm=True):
        torch.manual_seed(seed)
        self.x = torch.randn(160, 1, 6, 6)
        self.y = (self.x[:, 0, :3].mean((1, 2)) > self.x[:, 0, 3:].mean((1, 2))).long()
        norms = [nn.BatchNorm2d(4)] if norm else []
        self.model = nn.Sequential(
            nn.Conv2d(1, 4, 3), *norms, nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2)
        )
        optimizer = torch.optim.Adam(self.model.parameters(), 1e-2)
        for _ in range(30):
            optimizer.zero_grad()
            CROSS_ENTROPY(self.model(self.x), self.y).backward()
            optimizer.step()
        self.loader = DataLoader(TensorDataset(self.x[:120], self.y[:120]), batch_size=30, shuffle=True)

    def points(self, model):
        return 100 * (model(self.x[120:]).argmax(dim=1) == self.y[120:]).float().mean().item()

    def compress(self, **options):
        return compress(
            self.model, self.loader, CROSS_ENTROPY, self.points, **{"budget": 5.0, "sparsity": 0.5} | options
        )


@pytest.fixture(scope="module")
def task():
    return Task()


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("mode", ["straight-through", "project"])
def test_what_is_found_is_what_is_said(task, mode):
    before, torch_state, numpy_state = copy.deepcopy(task.model), torch.get_rng_state(), np.random.get_state()[1]
    found = task.compress(mode=mode, budget=20.0)
    assert same(before, task.model)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()
    assert list(found.model.state_dict()) == list(task.model.state_dict())
    assert found.base == task.points(task.model.eval())
    assert found.accuracy == task.points(found.model)
    assert found.constrained == ("0.weight", "4.weight", "6.weight")
    state = found.model.state_dict()
    for key in found.constrained:
        assert len(state[key].unique()) <= 3
    zeros = sum(int((state[key] == 0).sum()) for key in found.constrained)
    count = sum(state[key].numel() for key in found.constrained)
    assert zeros == round(0.5 * count)
    assert found.sparsity == pytest.approx(zeros / count)
    assert [row.step for row in found.log] == ["base", "prune", "constrain", "constrain", "constrain"]
    for earlier, later in itertools.pairwise(found.log):
        assert later.before == (earlier.after if earlier.kept else earlier.before)
    plain = copy.deepcopy(task.model)
    plain.load_state_dict(state, strict=True)
    assert torch.equal(plain.eval()(task.x), found.model(task.x))


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 5), st.floats(0, 30), st.sampled_from([0.0, 0.5, 0.9, 0.97]), st.booleans())
@pytest.mark.slow
def test_the_budget_is_never_broken(seed, budget, sparsity, higher):
    task = Task(seed, norm=seed % 2 == 0)
    sign = 1 if higher else -1
    found = compress(
        task.model,
        task.loader,
        CROSS_ENTROPY,
        lambda model: sign * task.points(model),
        budget=budget,
        sparsity=sparsity,
        higher_is_better=higher,
        seed=seed,
    )
    lost = sign * (found.base - found.accuracy)
    assert lost <= budget
    assert sign * task.points(found.model) == found.accuracy


def test_nothing_is_kept_of_what_breaks_the_budget(task):
    calls = []

    def worse_each_time(model):
        calls.append(model)
        return 100.0 - 3 * (len(calls) - 1)

    found = compress(task.model, task.loader, CROSS_ENTROPY, worse_each_time, budget=2.0, sparsity=0.5)
    assert found.accuracy == found.base == 100.0
    assert not any(row.kept for row in found.log[1:])
    assert found.sparsity == 0
    assert same(found.model, task.model.eval())
    tried = [row.sparsity for row in found.log if row.step == "prune"]
    assert tried == pytest.approx([0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625], abs=0.002)


def test_less_is_pruned_where_the_budget_asks_for_it(task):
    def only_up_to_a_third(model):
        zeros = sum(int((p == 0).sum()) for p in model.parameters() if p.dim() > 1)
        return 100.0 if zeros <= 0.34 * sum(p.numel() for p in model.parameters() if p.dim() > 1) else 0.0

    found = compress(task.model, task.loader, CROSS_ENTROPY, only_up_to_a_third, budget=1.0, sparsity=0.8)
    assert 0.3 <= found.sparsity <= 0.34
    assert [row.kept for row in found.log if row.step == "prune"] == [False, False, True, True, False, True]


def test_layers_are_taken_by_their_sparsity(task):
    def order_of(**options):
        found = task.compress(**options)
        return [row.layers for row in found.log if row.step == "constrain"], found

    sparsest, found = order_of()
    masks = {row.layers[0]: row.sparsity for row in found.log if row.step == "constrain"}
    shares = [masks[layers[0]] for layers in sparsest]
    assert shares == sorted(shares, reverse=True)
    densest, _ = order_of(order="densest")
    assert densest == sparsest[::-1]
    together, found = order_of(order="together")
    assert together == [("0.weight", "4.weight", "6.weight")]
    assert found.log[-1].epochs == 3
    assert {tuple(map(tuple, order_of(order="random", seed=seed)[0])) for seed in range(6)} != {tuple(sparsest)}


def test_exempt_layers_are_left_alone(task):
    found = task.compress(exempt=["first", "6"], budget=100.0)
    assert found.constrained == ("4.weight",)
    assert not (found.model[0].weight == 0).any()
    assert [place.key for place in find_weights(task.model, exempt=["4.weight"])] == ["0.weight", "6.weight"]


def test_embeddings_and_recurrent_layers_by_option():
    model = nn.ModuleDict({"e": nn.Embedding(5, 4), "r": nn.LSTM(4, 3), "h": nn.Linear(3, 5)})
    keys = [place.key for place in find_weights(model, embeddings=True, recurrent=True)]
    assert keys == ["e.weight", "r.weight_ih_l0", "r.weight_hh_l0", "h.weight"]
    model["h"].weight = nn.Parameter(torch.zeros(5, 4))
    model["e"].weight = model["h"].weight
    assert [place.key for place in find_weights(model, embeddings=True, recurrent=True)] == keys[1:3]


class Reader(nn.Module):
    """Says whether a sequence had more ones than zeros."""

    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(2, 6), nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.lstm(self.embedding(x))[0][:, -1])


def test_a_recurrent_network_is_made_small_with_its_embedding(tmp_path):
    torch.manual_seed(0)
    x = torch.randint(0, 2, (200, 7))
    y = (x.sum(dim=1) > 3).long()
    model = Reader()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        CROSS_ENTROPY(model(x), y).backward()
        optimizer.step()

    def loss_on_all(model):
        return CROSS_ENTROPY(model(x), y).item()

    found = compress(
        model,
        DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True),
        CROSS_ENTROPY,
        loss_on_all,
        higher_is_better=False,
        budget=0.4,
        sparsity=0.3,
        epochs_per_layer=10,
        embeddings=True,
        recurrent=True,
        optimizer=lambda p: torch.optim.Adam(p, lr=0.01),
    )
    assert set(found.constrained) == {"embedding.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "head.weight"}
    assert found.accuracy - found.base <= 0.4
    save_compressed(found.model, tmp_path / "net.steepest")
    plain = Reader()
    plain.load_state_dict(load_compressed(tmp_path / "net.steepest"), strict=True)
    assert torch.equal(plain.eval()(x), found.model(x))
    assert all(len(plain.state_dict()[key].unique()) <= 3 for key in found.constrained)


def test_masks_leave_out_exactly_the_share_with_ties_and_zeros():
    weights = {"a": torch.tensor([0.0, 1.0, 1.0, -1.0]), "b": torch.tensor([[2.0, 1.0], [0.0, -3.0]])}
    for sparsity, zeros in ((0.0, 2), (0.25, 2), (0.5, 4), (0.9, 7)):
        masks = global_masks(weights, sparsity)
        assert sum(int((~mask).sum()) for mask in masks.values()) == zeros
        kept = torch.cat([weights[k].abs()[m] for k, m in masks.items()])
        gone = torch.cat([weights[k].abs()[~m] for k, m in masks.items()])
        assert kept.min() >= gone.max()


def test_the_loaders_order_follows_from_the_seed_alone(task):
    found = [task.compress(seed=1), task.compress(seed=1)]
    torch.manual_seed(7)
    found.append(task.compress(seed=1))
    assert same(found[0].model, found[1].model)
    assert same(found[0].model, found[2].model)
    assert not same(found[0].model, task.compress(seed=2).model)


class _Stopped(BaseException):
    pass


@pytest.mark.parametrize("stop", [1, 2, 4, 6])
def test_it_goes_on_where_it_was_stopped(task, tmp_path, monkeypatch, stop):
    whole = task.compress(budget=30.0)
    calls = itertools.count()
    write = Folder.write

    def stopping(self, *args):
        if next(calls) == stop:
            raise _Stopped
        write(self, *args)

    monkeypatch.setattr(Folder, "write", stopping)
    with pytest.raises(_Stopped) if stop < 5 else nullcontext():
        task.compress(budget=30.0, folder=tmp_path / "c")
    monkeypatch.undo()
    judged = []

    def counting(model):
        judged.append(model)
        return task.points(model)

    again = compress(task.model, task.loader, CROSS_ENTROPY, counting, budget=30.0, sparsity=0.5, folder=tmp_path / "c")
    assert same(again.model, whole.model)
    assert len(judged) == max(5 - stop, 0)
    assert [(r.step, r.layers, r.after, r.kept, r.bytes) for r in again.log] == [
        (r.step, r.layers, r.after, r.kept, r.bytes) for r in whole.log
    ]
    with pytest.raises(InputError, match=r"its optimizer is 'SGD lr=0\.03 momentum=0\.9', and 'AdamW "):
        task.compress(budget=30.0, folder=tmp_path / "c", optimizer=partial(torch.optim.AdamW, lr=0.01))
    with pytest.raises(InputError, match=r"holds another compression: its budget is 30\.0, and 29\.0 is asked for"):
        task.compress(budget=29.0, folder=tmp_path / "c")


@pytest.mark.parametrize("mode", ["straight-through", "project"])
@pytest.mark.parametrize("stop", [1, 5, 8, 13, 15])
@pytest.mark.slow
def test_it_goes_on_in_the_middle_of_a_layer(task, tmp_path, monkeypatch, mode, stop):
    asked = {"budget": 30.0, "mode": mode, "epochs_per_layer": 3, "clip": 2.0 if mode == "straight-through" else None}
    whole = task.compress(**asked)
    monkeypatch.setattr(folder, "Checkpoint", partial(Checkpoint, every_seconds=0.0))
    calls = itertools.count()

    def stopping(name, share):
        if next(calls) == stop:
            raise _Stopped

    with pytest.raises(_Stopped):
        task.compress(**asked, folder=tmp_path / "c", progress=stopping)
    assert len(list((tmp_path / "c" / "checkpoints").glob("*.pt"))) == (stop % 4 != 0)  # 4: as a training begins
    resumed = []
    original = Run.resume_from
    monkeypatch.setattr(Run, "resume_from", lambda self, state: resumed.append(original(self, state)) or resumed[-1])
    again = task.compress(**asked, folder=tmp_path / "c")
    assert resumed == [True] * (stop % 4 != 0)
    assert same(again.model, whole.model)
    assert not list((tmp_path / "c" / "checkpoints").glob("*"))


class Noisy(Dataset):
    """Changes what it gives at random, by torch's, NumPy's and Python's generators."""

    def __init__(self, task):
        self.task = task

    def __len__(self):
        return 64

    def __getitem__(self, i):
        return self.task.x[i] + 0.01 * torch.randn(1) + 0.01 * np.random.randn() * random.random(), self.task.y[i]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.slow
def test_a_dataset_that_changes_at_random_is_seeded_too(task, workers):
    loader = DataLoader(Noisy(task), batch_size=16, shuffle=True, num_workers=workers)
    found = [compress(task.model, loader, CROSS_ENTROPY, task.points, budget=9.0, sparsity=0.5) for _ in range(2)]
    assert same(found[0].model, found[1].model)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"budget": -1.0}, ValueError, "budget must be a finite number of points of at least 0, got -1.0"),
        ({"budget": math.nan}, ValueError, "budget must be a finite number of points of at least 0, got nan"),
        ({"sparsity": 1.0}, ValueError, "sparsity must be a share of at least 0 and below 1, got 1.0"),
        ({"mode": "hard"}, ValueError, "mode must be 'straight-through' or 'project', got 'hard'"),
        ({"mode": "project", "clip": 1.0}, ValueError, "clip must be None in mode 'project'"),
        ({"mode": "project", "sigma_lr": 0.5}, ValueError, "sigma_lr must be 1 in mode 'project'"),
        ({"order": "best"}, ValueError, "order must be 'sparsest', 'densest', 'random' or 'together', got 'best'"),
        ({"schedule": "one-cycle"}, ValueError, "schedule must be .* got 'one-cycle'"),
        ({"epochs_per_layer": 0}, ValueError, "epochs_per_layer must be an integer of at least 1, got 0"),
        ({"retrain_epochs": 1.5}, ValueError, "retrain_epochs must be an integer of at least 1, got 1.5"),
        ({"seed": -1}, ValueError, "seed must be an integer of at least 0, got -1"),
        ({"exempt": "0"}, TypeError, "exempt must be a list of names, got the text '0'"),
        ({"exempt": ["9"]}, ValueError, "exempt must name modules or weights of the model, 'first' or 'last', got '9'"),
        ({"exempt": ["0", "4", "6"]}, ValueError, "model must have a convolution or linear layer .* got none"),
        ({"optimizer": "sgd"}, TypeError, "optimizer must be a function of parameters, got str"),
        ({"higher_is_better": 1}, ValueError, "higher_is_better must be True or False, got 1"),
    ],
)  # fmt: skip
def test_bad_settings_are_one_sentence(task, options, error, sentence):
    with pytest.raises(error, match=sentence):
        task.compress(**options)


@pytest.mark.parametrize(
    ("points", "error", "sentence"),
    [
        (
            lambda model: torch.tensor(1.0),
            TypeError,
            "evaluate must return a number of points, such as a float, got Tensor",
        ),
        (lambda model: None, TypeError, "evaluate must return a number of points, such as a float, got NoneType"),
        (lambda model: math.nan, ValueError, "evaluate must return a finite number for the given model, got nan"),
        ("points", TypeError, "evaluate must be a function of a model, got str"),
    ],
)
def test_points_that_are_none_are_one_sentence(task, points, error, sentence):
    with pytest.raises(error, match=sentence):
        compress(task.model, task.loader, CROSS_ENTROPY, points)


def test_a_model_or_loader_that_is_none_is_one_sentence(task):
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got OrderedDict"):
        compress(task.model.state_dict(), task.loader, CROSS_ENTROPY, task.points)
    with pytest.raises(ValueError, match="model must have a convolution or linear layer whose weight is its own"):
        compress(nn.ReLU(), task.loader, CROSS_ENTROPY, task.points)
    with pytest.raises(InputError, match=r"a loader must be a torch.utils.data.DataLoader, got list"):
        compress(task.model, [], CROSS_ENTROPY, task.points)
    with pytest.raises(InputError, match="every batch of a DataLoader must be a pair of tensors"):
        compress(task.model, DataLoader(TensorDataset(task.x), batch_size=4), CROSS_ENTROPY, task.points)


def test_weights_that_are_not_plain_are_told():
    for change in (nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm):
        model = nn.Sequential(change(nn.Linear(3, 3)), nn.Linear(3, 2))
        with pytest.raises(ValueError, match=r"model must have plain weights .* got another kind at '0\.weight'"):
            find_weights(model)
        assert [place.key for place in find_weights(model, exempt=["0"])] == ["1.weight"]
    with pytest.raises(ValueError, match=r"got another kind at 'weight'"):
        find_weights(nn.LazyLinear(3))


def test_a_training_that_diverges_is_taken_back(task):
    found = task.compress(optimizer=lambda p: torch.optim.SGD(p, lr=1e20), budget=0.0)
    assert found.accuracy == found.base
    assert all(math.isnan(row.after) for row in found.log[1:])
    assert same(found.model, task.model.eval())
