"""The schedule: its rule, its bounds, what it refuses, its state, its layers and its ranks."""

import copy
import io
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import steepest
from steepest.schedules import ConfusionCounts, MutualInformationLR, OneClassError, layer_groups, normalized_information
from tests.ranks import on_ranks

C = 3


def optimizer_of(*lrs):
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(2))], "lr": lr} for lr in lrs or (1.0,)], lr=1.0)


def scheduled(**options):
    return MutualInformationLR(optimizer_of(), **{"lr_min": 1e-3, "lr_max": 0.1} | options)


def channel(right, classes=C, n=100):
    """Of n samples of each class so many are told right; the others are shared out."""
    table = torch.full((classes, classes), (n - right) // (classes - 1))
    return table.fill_diagonal_(right)


def textbook(tables, low, high, threshold, log=False, warmup=0):
    """The rule of the sheet, slowly."""
    lr, before, found = high, None, []
    for epoch, table in enumerate(tables, start=1):
        p = table.double() / table.sum()
        information = sum(
            float(p[i, j] * math.log(p[i, j] / (p[i].sum() * p[:, j].sum())))
            for i in range(len(p))
            for j in range(len(p))
            if p[i, j] > 0
        )
        q = information / -sum(float(r * math.log(r)) for r in p.sum(1) if r > 0)
        q = min(max(q, 0.0), 1.0)
        if before is not None and abs(information - before) / max(before, 5e-324) < threshold and epoch > warmup:
            lr = min(lr, high ** (1 - q) * low**q if log else low + (high - low) * (1 - q))
        before = information
        found.append(lr)
    return found


RIGHT = (40, 60, 62, 63, 80, 81, 75, 76, 100, 100)


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.3, math.inf])
@pytest.mark.parametrize("interpolate", ["linear", "log"])
@pytest.mark.parametrize("warmup", [0, 4])
def test_the_rule_is_the_sheets(threshold, interpolate, warmup):
    tables = [channel(right, n=100) for right in RIGHT]
    scheduler = scheduled(threshold=threshold, interpolate=interpolate, warmup_epochs=warmup)
    found = []
    for table in tables:
        scheduler.step(table)
        found += scheduler.get_last_lr()
        assert found[-1] == scheduler.optimizer.param_groups[0]["lr"]
        assert scheduler.last_q == normalized_information(table)
    expected = textbook(tables, 1e-3, 0.1, threshold, interpolate == "log", warmup)
    assert found == pytest.approx(expected, rel=1e-9)
    assert (len(set(found)) > 1) == (threshold > 0)


counts = st.lists(st.lists(st.integers(0, 50), min_size=C, max_size=C), min_size=C, max_size=C).map(torch.tensor)
two_classes = counts.filter(lambda table: (table.sum(1) > 0).sum() > 1)


@settings(max_examples=200)
@given(
    st.lists(two_classes, min_size=5, max_size=5),
    st.sampled_from(["linear", "log"]),
    st.sampled_from([0.05, 1.0, math.inf]),
    st.sampled_from([None, "miller-madow"]),
    st.sampled_from([0.1, 0.05, torch.tensor(0.1), torch.tensor([0.1], dtype=torch.float64)]),
)
def test_the_rate_never_rises_and_stays_within_its_bounds(tables, interpolate, threshold, correction, lr):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=copy.deepcopy(lr), foreach=True)
    scheduler = MutualInformationLR(
        optimizer, 1e-4, 0.1, interpolate=interpolate, threshold=threshold, correction=correction
    )
    held = optimizer.param_groups[0]["lr"]
    previous = float(held)
    for table in tables:
        scheduler.step(table)
        now = optimizer.param_groups[0]["lr"]
        assert float(now) <= previous
        assert 1e-4 * (1 - 1e-6) <= float(now) <= 0.1 * (1 + 1e-6)
        assert isinstance(held, float) or now is held
        previous = float(now)


@pytest.mark.parametrize("interpolate", ["linear", "log"])
def test_accuracy_that_rises_to_1_and_stays_brings_the_rate_to_its_minimum(interpolate):
    scheduler = scheduled(interpolate=interpolate)
    for right in (40, 70, 90, 98, 100, 100):
        scheduler.step(channel(right, n=100))
    assert scheduler.get_last_lr() == [1e-3]


def test_predictions_that_tell_nothing_leave_the_highest_rate():
    scheduler = scheduled()
    for _ in range(3):
        scheduler.step(torch.full((C, C), 7))
    assert scheduler.get_last_lr() == [0.1]
    assert scheduler.last_information == scheduler.last_q == 0


def test_a_transposed_table_gives_another_rate():
    table = torch.tensor([[40, 40], [0, 20]])
    first, second = scheduled(), scheduled()
    for _ in range(2):
        first.step(table)
        second.step(table.T)
    assert first.last_information == pytest.approx(second.last_information)
    assert first.last_q > second.last_q + 0.05
    assert first.get_last_lr() < second.get_last_lr()


def test_bounds_for_each_group_and_a_start_within_them():
    optimizer = optimizer_of(5.0, 7.0)
    scheduler = MutualInformationLR(optimizer, [1e-3, 1e-2], [0.1, 1.0], start_lr=[0.05, 0.5])
    assert [group["lr"] for group in optimizer.param_groups] == scheduler.get_last_lr() == [0.05, 0.5]
    for _ in range(2):
        scheduler.step(channel(100))
    assert scheduler.get_last_lr() == [1e-3, 1e-2]


def test_groups_that_are_added_later_move_within_the_same_bounds():
    optimizer = optimizer_of()
    scheduler = MutualInformationLR(optimizer, 1e-3, 0.1)
    scheduler.step(channel(90))
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.02})
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 5.0})
    scheduler.step(channel(90))
    first, second, third = scheduler.get_last_lr()
    assert first == third < 0.1
    assert second == 0.02
    scheduler.step(channel(100))
    scheduler.step(channel(100))
    assert scheduler.get_last_lr() == [1e-3] * 3


def test_lists_of_bounds_are_lengthened_with_the_groups():
    optimizer = optimizer_of()
    scheduler = MutualInformationLR(optimizer, [1e-3], 0.1)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 0.1})
    with pytest.raises(ValueError, match="lr_min has 1 values and the optimizer 2 groups"):
        scheduler.step(channel(100))
    assert scheduler.last_q is None
    scheduler.bounds.lr_min.append(1e-2)
    for _ in range(2):
        scheduler.step(channel(100))
    assert scheduler.get_last_lr() == [1e-3, 1e-2]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr_min": 0.1}, "lr_min must be below lr_max, got lr_min 0.1 and lr_max 0.1"),
        ({"lr_min": 0.0}, "lr_min must be a finite number above 0, got 0.0"),
        ({"lr_max": math.inf}, "lr_max must be a finite number above 0, got inf"),
        ({"lr_max": -1}, "lr_max must be a finite number above 0, got -1"),
        ({"lr_max": [0.1, 0.1]}, "lr_max has 2 values and the optimizer 1 groups"),
        ({"lr_max": "0.1"}, "lr_max must be a finite number above 0, got '0.1'"),
        ({"start_lr": 0.2}, "start_lr must lie between lr_min and lr_max, 0.001 and 0.1, got 0.2"),
        ({"threshold": -0.1}, "threshold must be a number of at least 0, got -0.1"),
        ({"threshold": math.nan}, "threshold must be a number of at least 0, got nan"),
        ({"interpolate": "cosine"}, "interpolate must be 'linear' or 'log', got 'cosine'"),
        ({"warmup_epochs": -1}, "warmup_epochs must be an integer of at least 0, got -1"),
        ({"warmup_epochs": 1.5}, "warmup_epochs must be an integer of at least 0, got 1.5"),
        ({"layer_wise": 1}, "layer_wise must be True or False, got 1"),
        ({"correction": "yes"}, "correction must be 'miller-madow' or None, got 'yes'"),
        ({"layer_wise": True}, "must name its 'layer', and group 0 has None; make the optimizer of layer_groups"),
    ],
)
def test_arguments_out_of_range_are_refused_and_the_optimizer_is_left_alone(options, sentence):
    optimizer = optimizer_of()
    with pytest.raises(ValueError, match=sentence):
        MutualInformationLR(optimizer, **{"lr_min": 1e-3, "lr_max": 0.1} | options)
    assert optimizer.param_groups[0]["lr"] == 1.0
    with pytest.raises(TypeError, match=r"must be a torch\.optim.Optimizer, got str"):
        MutualInformationLR("sgd", 1e-3, 0.1)


@pytest.mark.parametrize(
    ("given_counts", "error", "sentence"),
    [
        (torch.tensor([[3, 2], [0, 0]]), OneClassError, "all 5 samples are of class 0"),
        (torch.zeros(2, 2).long(), ValueError, "must hold a sample"),
        (torch.tensor([[3, -2], [1, 1]]), ValueError, "no negative number, got -2"),
        (torch.ones(2, 3).long(), ValueError, r"counts must be square, .*got shape \(2, 3\)"),
        (torch.eye(2), TypeError, "must hold integers, got torch.float32"),
        (0.7, TypeError, "must be ConfusionCounts or a tensor of integers"),
        (ConfusionCounts(2), ValueError, "must hold a sample"),
        (None, TypeError, "got NoneType"),
    ],
)
def test_counts_that_cannot_be_used_are_refused_and_change_nothing(given_counts, error, sentence):
    scheduler = scheduled()
    scheduler.step(channel(60))
    before = scheduler.state_dict()
    with pytest.raises(error, match=sentence):
        scheduler.step(given_counts)
    assert scheduler.state_dict() == before


def saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("lr", [1.0, torch.tensor(1.0)])
def test_a_run_resumes_bit_for_bit(lr):
    def made():
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=copy.deepcopy(lr))
        return optimizer, MutualInformationLR(optimizer, 1e-3, 0.1, threshold=0.4, interpolate="log")

    optimizer, scheduler = made()
    for right in RIGHT[:4]:
        scheduler.step(channel(right))
    states = saved({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()})
    optimizer_again, again = made()
    optimizer_again.load_state_dict(states["optimizer"])
    again.load_state_dict(states["scheduler"])
    for right in RIGHT[4:]:
        for one in (scheduler, again):
            one.step(channel(right))
        assert again.state_dict() == scheduler.state_dict()
        assert optimizer_again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    with pytest.raises(ValueError, match="must be that of a MutualInformationLR, got one that differs in"):
        again.load_state_dict({"last_epoch": 3})


def test_a_state_shares_nothing_with_the_scheduler():
    scheduler = scheduled()
    state = scheduler.state_dict()
    scheduler.get_last_lr().append(3.0)
    scheduler.step(channel(90))
    assert state["_last_lr"] == [0.1]
    assert state["last_epoch"] == 0


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(4, 5), nn.LayerNorm(5)
        self.second, self.scale = nn.Linear(5, C, bias=False), nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale * self.second(torch.relu(self.norm(self.first(x))))


def test_groups_of_layers_hold_every_parameter_once():
    groups = layer_groups(Net())
    assert [(g["layer"], [name for name, _ in g["params"]]) for g in groups] == [
        ("first", ["scale", "first.weight", "first.bias", "norm.weight", "norm.bias"]),
        ("second", ["second.weight"]),
    ]
    tied = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7))
    tied[1].weight = tied[0].weight
    assert [(g["layer"], [name for name, _ in g["params"]]) for g in layer_groups(tied)] == [
        ("0", ["0.weight", "1.bias"])
    ]
    for optimizer in (torch.optim.SGD, steepest.SNGM, steepest.LARS, steepest.BlockNormalizedSGD):
        assert [group["layer"] for group in optimizer(layer_groups(Net()), lr=0.1).param_groups] == ["first", "second"]


@pytest.mark.parametrize(
    ("model", "error", "sentence"),
    [
        (nn.ReLU(), ValueError, "the model has no layer"),
        (nn.LazyLinear(3), ValueError, "parameter 'weight' has no shape yet"),
        (list(nn.Linear(1, 1).parameters()), TypeError, "model must be a torch.nn.Module, got list"),
    ],
)
def test_a_model_without_layers_is_refused(model, error, sentence):
    with pytest.raises(error, match=sentence):
        layer_groups(model)


def layered(seed=0):
    torch.manual_seed(seed)
    model = Net()
    optimizer = torch.optim.SGD(layer_groups(model), lr=1.0)
    return model, optimizer, MutualInformationLR(optimizer, 1e-3, 0.1, threshold=math.inf, layer_wise=True)


def batch(seed, n=60):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=generator), torch.randint(C, (n,), generator=generator)


def test_every_group_moves_by_its_own_layer():
    model, optimizer, scheduler = layered()
    lrs = [0.1, 0.1]
    for epoch in range(3):
        x, y = batch(epoch)
        with ConfusionCounts(C, model=model) as seen:
            seen.update(model(x), y)
        scheduler.step(seen)
        shares = {name: normalized_information(table) for name, table in seen.tables().items()}
        assert scheduler.last_layer_q == shares
        assert scheduler.last_q == shares["second"]
        if epoch:
            lrs = [
                min(lr, 1e-3 + 0.099 * (1 - shares[name])) for lr, name in zip(lrs, ("first", "second"), strict=True)
            ]
        assert scheduler.get_last_lr() == pytest.approx(lrs, rel=1e-12)
        assert [group["lr"] for group in optimizer.param_groups] == scheduler.get_last_lr()
    assert lrs[0] != lrs[1]
    assert saved(scheduler.state_dict()) == scheduler.state_dict()


def test_layers_that_do_not_match_are_refused():
    model, optimizer, scheduler = layered()
    x, y = batch(0)
    for seen, sentence in (
        (channel(90), r"must be ConfusionCounts\(classes, model=model\), got a tensor"),
        (ConfusionCounts(C), "only with a model"),
        (ConfusionCounts(C, model=model, layers=["second"]), r"has layer 'first', and the counts are of \['second'\]"),
    ):
        if isinstance(seen, ConfusionCounts):
            seen.update(model(x), y)
            seen.remove()
        with pytest.raises(ValueError, match=sentence):
            scheduler.step(seen)
    with ConfusionCounts(C, model=model) as seen:
        seen.update(model(x), y)
    optimizer.add_param_group({"params": [("new", nn.Parameter(torch.zeros(1)))], "lr": 0.1})
    with pytest.raises(ValueError, match="must name its 'layer', and group 2 has None"):
        scheduler.step(seen)
    assert scheduler.last_epoch == 0


def test_a_layer_that_is_not_run_keeps_its_rate():
    model = nn.ModuleDict({"a": nn.Linear(4, C), "b": nn.Linear(4, C)})
    optimizer = torch.optim.SGD(layer_groups(model), lr=1.0)
    scheduler = MutualInformationLR(optimizer, 1e-3, 0.1, threshold=math.inf, layer_wise=True)
    for epoch in range(2):
        x, y = batch(epoch)
        with ConfusionCounts(C, model=model) as seen:
            seen.update(model["a"](x), y)
        scheduler.step(seen)
    moved, kept = scheduler.get_last_lr()
    assert moved < kept == 0.1


def step_on_a_rank(rank):
    model, _, scheduler = layered()
    plain = scheduled(threshold=math.inf)
    for epoch in range(3):
        with ConfusionCounts(C, model=model) as seen:
            for part in range(2 * epoch, 2 * epoch + 2):
                if part % 2 == rank:
                    x, y = batch(part)
                    seen.update(model(x), y)
        scheduler.step(seen)
        plain.step(seen)
    return scheduler.state_dict(), plain.state_dict()


def test_two_ranks_move_as_one():
    first, second = on_ranks(step_on_a_rank)
    model, _, scheduler = layered()
    plain = scheduled(threshold=math.inf)
    for epoch in range(3):
        with ConfusionCounts(C, model=model) as seen:
            for part in range(2 * epoch, 2 * epoch + 2):
                x, y = batch(part)
                seen.update(model(x), y)
        scheduler.step(seen)
        plain.step(seen)
    assert first == second == (scheduler.state_dict(), plain.state_dict())


def test_it_is_a_scheduler_of_torchs():
    assert isinstance(scheduled(), torch.optim.lr_scheduler.LRScheduler)
    scheduler = scheduled()
    assert scheduler.optimizer.step.__func__ is torch.optim.SGD([nn.Parameter()], lr=0.1).step.__func__
