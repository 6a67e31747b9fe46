"""Estimators of orders in front of optimizers: what they evaluate and pay, that runs resume, and what does not fit."""

import dataclasses
import math
from functools import partial

import pytest
import torch

from steepest._errors import InputError
from steepest.cli import run as command
from steepest.gradients.permutations import PlackettLuce
from steepest.training.builtin import METHODS, WORKLOADS
from steepest.training.builtin.order_estimators import ORDER_ESTIMATORS
from steepest.training.builtin.orders import OrderModel, evaluations, mean_value, permutation_toy
from steepest.training.code.lookup import find_method
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.estimator import Batch
from steepest.training.definitions.ranks import Ranks
from steepest.training.loop.beginning import begun
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.loop.gradients import attached
from tests.compare import tiny
from tests.training.runs import train

NAMES = sorted(ORDER_ESTIMATORS)
WITH_CRITIC = ["rebar", "relax", "relax-free"]
TOY = WORKLOADS["permutation-toy"]
SHORT = evaluations(20)(None)


def run(method, *, workload=TOY, splits=SHORT, lr=0.05, epochs=2, batch_size=1, **options):
    given = {"seed": 1, "epochs": epochs, "batch_size": batch_size, "with_test": True, **options}
    found = find_method(method) if isinstance(method, str) else method
    return dataclasses.replace(train(workload, found, splits, {"lr": lr}, **given), seconds=0)


def spied(f=None, relaxed=None, items=4):
    """A workload, the batches of orders that its f was given, and its models."""
    asked, models = [], []
    toy = permutation_toy(items)

    def watched(orders):
        asked.append(orders.clone())
        return (f or toy.f)(orders)

    def model():
        models.append(OrderModel(items, watched, relaxed or toy.relaxed))
        return models[-1]

    return dataclasses.replace(TOY, model=model), asked, models


def test_the_toy_is_that_of_the_paper():
    model = permutation_toy()
    assert model.logits.shape == (8,)
    assert float(model.f(torch.arange(8)[None])) == pytest.approx(6.222857, abs=1e-6)
    small = permutation_toy(5)
    values = small.f(PlackettLuce(small.logits.detach()).enumerate_support())
    assert int(values.argmin()) == 0  # the identity is listed first
    swapped = 4 * (2 / 8 - 2 / 8 + 0.05 + 0.05 / 7)  # two items out of place: 2 (T_ii - T_ij) for each
    off = float(model.f(torch.tensor([[1, 0, *range(2, 8)]]))) - 6.222857
    assert off == pytest.approx(swapped, abs=1e-6)
    assert 6.222857 < TOY.target < 6.222857 + swapped  # reached by the identity alone
    of_all = torch.stack([model.f(torch.randperm(8)[None])[0] for _ in range(4000)])
    assert float(of_all.mean()) == pytest.approx(7.022857, abs=4 * float(of_all.std()) / 4000**0.5)


@pytest.mark.parametrize("name", NAMES)
def test_f_is_evaluated_as_often_as_is_paid(name):
    workload, asked, models = spied()
    outcome = run(f"{name}+adam", workload=workload)
    cost = ORDER_ESTIMATORS[name].evaluations_per_step
    assert cost == (4 if name == "loo" else 1)
    assert outcome.gradient_evaluations == 40
    evaluated = 3  # at the mode, after each epoch and on the test data
    assert sum(map(len, asked)) == 40 + evaluated
    assert len(asked) == 40 // cost + evaluated  # one call a step
    assert outcome.test_metric == outcome.validation_metric == float(models[-1].f(asked[-1]))
    assert torch.equal(asked[-1][0], PlackettLuce(models[-1].logits.detach()).mode)


def test_a_larger_batch_takes_more_orders_at_a_time():
    workload, asked, _ = spied()
    outcome = run("loo+adam", workload=workload, batch_size=5)
    assert outcome.gradient_evaluations == 8
    assert outcome.samples == 40
    assert [len(orders) for orders in asked] == [20, 1, 20, 1, 1]


@pytest.mark.parametrize("name", ["reinforce", "loo", *WITH_CRITIC])
def test_its_mean_is_the_gradient_by_enumeration(name):
    model = permutation_toy(4)
    with torch.no_grad():
        model.logits += torch.tensor([0.5, -0.3, 0.2, 0.0])
    law = PlackettLuce(model.logits)
    orders = law.enumerate_support()
    (exact,) = torch.autograd.grad((law.log_prob(orders).exp() * model.f(orders)).sum(), model.logits)
    found = []
    with attached([ORDER_ESTIMATORS[name]], model, torch.optim.SGD(model.named_parameters()), 3) as take:
        for _ in range(50):
            model.logits.grad = None
            take(batch_for(model, 400))
            found.append(model.logits.grad)
    each = torch.stack(found)
    assert ((each.mean(dim=0) - exact).abs() < 4 * each.std(dim=0) / 50**0.5).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_optimizer_steps_logits_and_critic(name):
    model = permutation_toy(4)
    optimizer = torch.optim.SGD(model.named_parameters(), lr=1.0)
    with attached([ORDER_ESTIMATORS[name]], model, optimizer, 3) as take:
        learnt = [p for group in optimizer.param_groups[1:] for p in group["params"]]
        before = [p.detach().clone() for p in learnt]
        take(batch_for(model))
        assert float(model.logits.grad.abs().sum()) > 0
        optimizer.step()
        assert torch.equal(model.logits.detach(), -model.logits.grad)
        assert all(torch.equal(p, b - p.grad) for p, b in zip(learnt, before, strict=True))
        assert bool(learnt) == any(p.grad.abs().sum() > 0 for p in learnt) == (name in WITH_CRITIC)


def batch_for(model, size=1):
    return Batch(model, mean_value, torch.zeros(size, 1), torch.zeros(size))


@pytest.mark.parametrize("name", WITH_CRITIC)
def test_the_critic_is_in_the_optimizer_while_it_is_held(name):
    model = permutation_toy(4)
    optimizer = METHODS["adamw"].build(model, {"lr": 0.01})
    with attached([ORDER_ESTIMATORS[name]], model, optimizer, 0) as take:
        beside, critic = optimizer.param_groups
        assert "logits" in beside["param_names"]
        values = [{n: v for n, v in group.items() if not n.startswith("param")} for group in (beside, critic)]
        assert values[0] == values[1]
        assert critic["weight_decay"] == 0.01
        assert len(critic["param_names"]) == len(critic["params"]) > 0
        take(batch_for(model))
        optimizer.step()
    groups = optimizer.param_groups
    assert [name for group in groups for name in group["param_names"]] == ["logits"]
    assert set(optimizer.state) == {model.logits}


@pytest.mark.parametrize("name", WITH_CRITIC)
def test_the_schedule_moves_the_critics_lr_too(name):
    assignment = Assignment(TOY, find_method(f"{name}+adam"), SHORT, {"lr": 0.01}, 1, 1, 1)
    with begun(assignment, Ranks()) as under_way:
        for _ in range(11):
            under_way.take_step()
        first, critic = under_way.optimizer.param_groups
        assert first["lr"] == critic["lr"] < 0.01


@pytest.mark.parametrize("name", [*(f"{name}+adam" for name in NAMES), "relax+sngm", "loo"])
@pytest.mark.slow
def test_a_run_that_is_interrupted_resumes_to_the_last_bit(name, tmp_path):
    class StopError(Exception):
        pass

    def stop(seen):
        if seen.fraction > 0.5:
            raise StopError

    path = tmp_path / "run.pt"
    whole = run(name, epochs=4)
    assert run(name, epochs=4) == whole
    with pytest.raises(StopError):
        run(name, epochs=4, checkpoint=Checkpoint(path, 0), progress=stop)
    assert path.exists()
    workload, asked, _ = spied(items=8)
    assert run(name, epochs=4, checkpoint=Checkpoint(path, 1e9), workload=workload) == whole
    assert len(asked) < whole.gradient_evaluations // find_method(name).cost + 5  # it did resume


@pytest.mark.parametrize("name", NAMES)
def test_the_global_generator_is_left_alone(name):
    model = permutation_toy(4)
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
    before = torch.get_rng_state()
    with attached([ORDER_ESTIMATORS[name]], model, optimizer, 0) as take:
        take(batch_for(model))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_is_another_gradient(name):
    found = []
    for seed in (0, 0, 1):
        model = permutation_toy(4)
        with attached([ORDER_ESTIMATORS[name]], model, torch.optim.SGD(model.named_parameters()), seed) as take:
            take(batch_for(model))
        found.append(model.logits.grad)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("name", ["reinforce", *WITH_CRITIC])
def test_what_grows_beyond_all_numbers_has_diverged(name):
    outcome = run(f"{name}+sgd", lr=1e308)
    assert outcome.diverged
    assert outcome.test_metric is None


def test_a_function_of_arrays_and_one_that_is_no_function_of_orders():
    def of_arrays(orders):
        return (orders.numpy()[:, 0] == 2) * -1.0

    workload = dataclasses.replace(TOY, model=partial(OrderModel, 4, of_arrays), target=-1.0)
    found = run("loo+adam", workload=workload, splits=evaluations(400)(None), lr=0.1)
    assert found.test_metric == -1.0
    bad = dataclasses.replace(TOY, model=partial(OrderModel, 4, lambda orders: orders[:, 0] * math.nan))
    with pytest.raises(ValueError, match="f must give finite numbers, got nan"):
        run("relax-free+adam", workload=bad)


@pytest.mark.parametrize(
    ("method", "workload", "sentence"),
    [
        ("rebar+adam", tiny.clouds, "^rebar is an estimator of orders and needs a workload whose model is an OrderMo"),
        ("loo", tiny.clouds, "such as 'permutation-toy', got Linear$"),
        ("adam", TOY, r"^a model of orders has no gradient of its own: put an estimator .* as in 'loo\+adam'"),
        ("sam+adam", TOY, "^a model of orders has no gradient of its own"),
        (
            "rebar+adam",
            dataclasses.replace(TOY, model=lambda: OrderModel(3, lambda b: b[:, 0])),
            "needs the OrderModel",
        ),
    ],
)
def test_what_does_not_go_together_is_said_in_a_sentence(method, workload, sentence):
    splits = tiny.two_clouds(None) if workload is tiny.clouds else SHORT
    with pytest.raises(InputError, match=sentence):
        run(method, workload=workload, splits=splits)


def test_two_estimators_of_orders_do_not_go_together():
    with pytest.raises(InputError, match="rebar and loo both choose the points of evaluation"):
        find_method("rebar+loo+adam")


def test_several_processes_are_refused():
    class Two(Ranks):
        size = 2

    model = permutation_toy(4)
    batch = dataclasses.replace(batch_for(model), ranks=Two())
    optimizer = torch.optim.SGD(model.named_parameters())
    with (
        attached([ORDER_ESTIMATORS["loo"]], model, optimizer, 0) as take,
        pytest.raises(InputError, match="cannot be shared among processes"),
    ):
        take(batch)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((0, len), ValueError, "items must be an integer of at least 1, got 0"),
        ((2.0, len), ValueError, "items must be an integer of at least 1, got 2.0"),
        ((3, None), TypeError, "f must be a function, got NoneType"),
        ((3, len, 1), TypeError, "relaxed must be a function, got int"),
    ],
)
def test_bad_models(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        OrderModel(*arguments)


def test_a_critic_and_an_optimizer_that_takes_no_more_parameters():
    class Closed:
        def __init__(self, params):
            self.param_groups = [{"params": params, "lr": 0.1}]

    model = permutation_toy(4)
    with (
        pytest.raises(InputError, match="relax has parameters of its own, and Closed has no add_param_group"),
        attached([ORDER_ESTIMATORS["relax"]], model, Closed([model.logits]), 0),
    ):
        pass


def test_the_command_refuses_before_the_first_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments, said in (
        (["permutation-toy", "--methods", "adam"], "put an estimator of orders in front"),
        (["digits-mlp", "--methods", "rebar+adam"], "rebar is an estimator of orders"),
    ):
        assert command(["compare", *arguments, "--trials", "1", "--seeds", "1", "--jobs", "1", "--device", "cpu"]) == 2
        assert said in capsys.readouterr().err.replace("\n", " ")
    assert not list(tmp_path.glob("studies/*"))


@pytest.mark.slow
def test_a_study_of_estimators(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--trials", "1", "--seeds", "2", "--epochs", "1", "--jobs", "1", "--device", "cpu"]
    assert command(["compare", "permutation-toy", "--methods", "loo+adam,relax+sgd", *options]) == 0
    said = capsys.readouterr().out
    assert "f at the mode" in said
    assert "loo+adam" in said
    assert "relax+sgd" in said
