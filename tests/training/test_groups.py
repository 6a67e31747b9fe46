"""Values of hyperparameters for some of a model's parameters."""

import dataclasses

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Choice, Method, Range
from steepest.data import Tasks
from steepest.training.builtin import ESTIMATORS, METHODS
from steepest.training.definitions.schedule import SCHEDULES
from tests.compare import tiny
from tests.training.runs import train
from tests.training.test_checkpoint import EveryFew

LR = {"lr": Range(1e-3, 1.0)}


def net():
    return nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2))


def built(method, values, model=None):
    torch.manual_seed(0)
    return method.build(model or net(), values)


def names_and(optimizer, value):
    return {name: group[value] for group in optimizer.param_groups for name in group["param_names"]}


def test_every_parameter_is_in_one_group_with_the_values_of_its_pattern_or_of_all():
    method = Method(
        "m",
        torch.optim.SGD,
        space={**LR, "lr_scale@3.*": Range(0.1, 10.0), "momentum@1.*": Range(0.1, 0.9)},
        fixed={"momentum": 0.9, "weight_decay": 0.1},
    )
    optimizer = built(method, {"lr": 0.5, "lr_scale@3.*": 0.1, "momentum@1.*": 0.3})
    found = names_and(optimizer, "lr")
    assert found.keys() == {name for name, _ in net().named_parameters()}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(found)
    assert {n: lr for n, lr in found.items() if lr != 0.5} == dict.fromkeys(["3.weight", "3.bias"], pytest.approx(0.05))
    momentum = names_and(optimizer, "momentum")
    assert {n for n, m in momentum.items() if m == 0.3} == {"1.weight", "1.bias"}
    decay = names_and(optimizer, "weight_decay")
    assert {n for n, d in decay.items() if d} == {"0.weight", "3.weight"}  # not biases, nor the norm's gain


def test_the_weight_decay_of_a_pattern_is_that_of_all_that_it_matches():
    method = Method("m", torch.optim.AdamW, space=LR, fixed={"weight_decay": 0.1, "weight_decay@*.bias": 0.2})
    decay = names_and(built(method, {"lr": 0.5}), "weight_decay")
    assert decay == {"0.weight": 0.1, "3.weight": 0.1, "1.weight": 0.0, "0.bias": 0.2, "1.bias": 0.2, "3.bias": 0.2}


def test_what_is_not_searched_at_a_point_makes_no_group():
    space = {**LR, "own": Choice(True, False), "lr_scale@3.*": Range(0.1, 10.0, when={"own": True})}
    method = Method("m", lambda params, own, **options: torch.optim.SGD(params, **options), space=space)
    assert len(built(method, {"lr": 0.5, "own": False}).param_groups) == 1
    assert len(built(method, {"lr": 0.5, "own": True, "lr_scale@3.*": 2.0}).param_groups) == 2


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lr_scale@heads.*": 2.0}, "matches no parameter of the model; it has 0.weight, 0.bias, 1.weight, 1.bias, "),
        ({"lr_scale@3.*": 2.0, "momentum@*.bias": 0.5}, "which both match '3.bias'; a parameter is in one group"),
        ({"lr_scale@3.*": 2.0, "lr@3.*": 0.5}, "has both lr@3.* and lr_scale@3.*; choose one"),
        ({"moment@3.*": 2.0}, "its optimizer no 'moment' that a group could have; those are lr, momentum, "),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused_in_a_sentence(values, sentence):
    method = Method("m", torch.optim.SGD, space={**LR, **dict.fromkeys(values, Range(0.1, 10.0))})
    with pytest.raises(InputError) as raised:
        built(method, {"lr": 0.1, **values})
    assert sentence in str(raised.value)


def outcome(method, values, **options):
    """The first and the last weights of a run, and its outcome without its seconds."""
    models, first = [], {}

    def model():
        models.append(net())
        first.update(copied(models[-1]))
        return models[-1]

    workload = dataclasses.replace(tiny.clouds, model=model)
    options = {"splits": tiny.two_clouds(None), "epochs": 2, **options}
    found = train(workload, method, hyperparameters=values, seed=1, batch_size=30, with_test=True, **options)
    return first, copied(models[-1]), dataclasses.replace(found, seconds=0.0)


def copied(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Of the others insgd is told by its model's hooks, and two find their lr in a way of their own.
REFUSING = {
    "sgd-mi-layer": "nor values for other groups",
    "sgd-mi-range": "finds one lr for all",
    "lbfgs": "lbfgs takes one step for all parameters",
    "prodigy": "prodigy finds one lr for all parameters",
}
TAKING_GROUPS = sorted(METHODS.keys() - ESTIMATORS.keys() - REFUSING.keys())


@pytest.mark.parametrize("name", TAKING_GROUPS)
def test_a_scale_of_one_changes_no_bit_and_next_to_none_moves_nothing_whatever_the_method(name):
    method = METHODS[name]
    values = {"lr": method.space["lr"].middle, **({"adamw_lr": 0.01} if name == "muon" else {})}
    _, plain, without = outcome(method, values)
    scaled = method.with_space({"lr_scale@3.*": Range(1e-30, 1.0)})
    first, same, with_it = outcome(scaled, {**values, "lr_scale@3.*": 1.0})
    assert equal(plain, same)
    assert with_it == without
    _, still, _ = outcome(scaled, {**values, "lr_scale@3.*": 1e-30})
    stays = {n for n in first if torch.equal(still[n], first[n])}
    assert stays == {"3.weight", "3.bias"}
    assert not any(torch.equal(plain[n], first[n]) for n in first)


@pytest.mark.parametrize("schedule", ["cosine", "step"])
def test_a_schedule_multiplies_the_lr_of_each_group(schedule):
    seen = []

    class Watching(torch.optim.SGD):
        def step(self, closure=None):
            seen.append([group["lr"] for group in self.param_groups])
            super().step(closure)

    method = Method("m", Watching, space={**LR, "lr_scale@3.*": Range(0.1, 10.0)})
    outcome(method, {"lr": 0.5, "lr_scale@3.*": 0.25}, schedule=SCHEDULES[schedule])
    factor = SCHEDULES[schedule].factor
    expected = [factor(step / len(seen)) for step in range(len(seen))]
    assert seen == [[0.5 * 0.25 * f, 0.5 * f] for f in expected]


def test_of_a_sequence_of_tasks_each_begins_with_the_values_of_its_groups():
    seen = []

    class Watching(torch.optim.SGD):
        def step(self, closure=None):
            seen.append([(group["lr"], group["momentum"]) for group in self.param_groups])
            for group in self.param_groups:
                group["momentum"] = 0.0
            super().step(closure)

    method = Method("m", Watching, space={**LR, "lr_scale@3.*": Range(0.1, 10.0), "momentum@3.*": Range(0.1, 0.9)})
    splits = tiny.two_clouds(None)
    outcome(method, {"lr": 0.5, "lr_scale@3.*": 0.2, "momentum@3.*": 0.7}, splits=Tasks([splits, splits]))
    assert seen[0] == seen[len(seen) // 2] == [(0.1, 0.7), (0.5, 0)]


def test_a_run_with_groups_resumes_to_the_last_bit(tmp_path):
    method = METHODS["adamw"].with_space({"lr_scale@3.*": Range(0.1, 10.0), "weight_decay@0.*": Range(1e-3, 1.0)})
    values = {"lr": 0.05, "lr_scale@3.*": 0.2, "weight_decay@0.*": 0.5}
    whole = outcome(method, values)
    steps = 0

    class Stopped(torch.optim.AdamW):
        def step(self, closure=None):
            nonlocal steps
            steps += 1
            if steps == 6:
                raise KeyboardInterrupt
            return super().step(closure)

    checkpoint = EveryFew(tmp_path / "run.pt")
    with pytest.raises(KeyboardInterrupt):
        outcome(dataclasses.replace(method, optimizer=Stopped), values, checkpoint=checkpoint)
    assert (tmp_path / "run.pt").exists()
    again = outcome(dataclasses.replace(method, optimizer=Stopped), values, checkpoint=checkpoint)
    assert steps == 6 + 3  # of 8: the checkpoint was after the fifth
    assert equal(again[1], whole[1])
    assert again[2] == whole[2]


def test_methods_with_groups_of_their_own_say_that_they_take_no_others():
    for name, sentence in REFUSING.items():
        method = METHODS[name]
        values = {key: domain.middle for key, domain in method.space.items()} | {"lr_scale@3.*": 2.0}
        scaled = method.with_space({"lr_scale@3.*": Range(0.1, 10.0)})
        with pytest.raises(InputError, match=sentence):
            outcome(scaled, values, epochs=70)
