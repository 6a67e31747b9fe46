"""Where the gradient comes from: what each estimator evaluates, what it costs, and what it leaves behind."""

import dataclasses
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Batch, Estimator, Method, Range
from steepest.data import digits
from steepest.training.builtin import ESTIMATORS as ALL
from steepest.training.builtin import METHODS, WORKLOADS
from steepest.training.builtin.order_estimators import ORDER_ESTIMATORS
from steepest.training.code.lookup import find_method
from steepest.training.loop.gradients import attached
from tests.compare import tiny
from tests.training.runs import train

SPLITS = tiny.two_clouds(None)
ESTIMATORS = {name: e for name, e in ALL.items() if name not in ORDER_ESTIMATORS}  # those have a test of their own
POINTS = [name for name, e in ESTIMATORS.items() if e.kind == "points"]
CALIBRATIONS = [name for name, e in ESTIMATORS.items() if e.kind == "calibration"]


def run(method, *, workload=tiny.clouds, splits=SPLITS, seed=1, epochs=3, batch_size=20, lr=0.1, **options):
    """A run's outcome and its model at the end."""
    models = []

    def model():
        models.append(workload.model())
        return models[-1]

    spied = dataclasses.replace(workload, model=model)
    options = {"with_test": True, **options}
    outcome = train(spied, method, splits, {"lr": lr}, seed=seed, epochs=epochs, batch_size=batch_size, **options)
    return outcome, models[0]


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


class Recorder(nn.Linear):
    """A linear layer that keeps the weights and inputs of its training passes."""

    def __init__(self, *shape):
        super().__init__(*shape)
        self.passes = []

    def forward(self, inputs):
        if self.training:
            self.passes.append((self.weight.detach().clone(), inputs.clone()))
        return super().forward(inputs)


recorded = dataclasses.replace(tiny.clouds, model=lambda: Recorder(4, 2))


def one_gradient(name, batch_size=20, seed=3, **options):
    """The gradient of one batch by an estimator, the loss, the model and the batch."""
    torch.manual_seed(0)
    model = Recorder(4, 2).double()
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
    inputs, targets = SPLITS.train.inputs[:batch_size].double(), SPLITS.train.targets[:batch_size]
    batch = Batch(model, nn.functional.cross_entropy, inputs, targets)
    with attached([ESTIMATORS[name].with_options(**options)], model, optimizer, seed) as take:
        loss = take(batch)
    return loss, model, batch


def gradient_at(weight, bias, inputs, targets):
    weight, bias = (p.detach().clone().requires_grad_() for p in (weight, bias))
    loss = nn.functional.cross_entropy(nn.functional.linear(inputs, weight, bias), targets)
    return loss.detach(), torch.autograd.grad(loss, (weight, bias))


def test_a_batch_adds_the_gradient_of_a_weighted_part():
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    inputs, targets = SPLITS.train.inputs[:7], SPLITS.train.targets[:7]
    batch = Batch(model, nn.functional.cross_entropy, inputs, targets)
    assert len(batch) == 7
    loss, (expected, _) = gradient_at(model.weight, model.bias, inputs[2:5], targets[2:5])
    assert torch.allclose(batch.backward(slice(2, 5), 0.3), 0.3 * loss)
    assert torch.allclose(model.weight.grad, 0.3 * expected)
    batch.backward(slice(2, 5), 0.3)
    assert torch.allclose(model.weight.grad, 0.6 * expected)


@pytest.mark.parametrize("batch_size", [20, 7, 2])
def test_split_takes_each_half_at_its_own_point_weighted_by_its_size(batch_size):
    loss, model, batch = one_gradient("ssgd", batch_size)
    (plus, first), (minus, second) = model.passes
    assert torch.equal(torch.cat([first, second]), batch.inputs)
    assert len(first) - len(second) in (0, 1)
    assert torch.allclose((plus + minus) / 2, model.weight)
    rms = model.weight.square().mean().sqrt()
    assert torch.allclose((plus - model.weight).abs(), 0.05 * rms)
    parts = [
        (gradient_at(w, model.bias, x, y), len(x) / batch_size)
        for w, x, y in ((plus, first, batch.targets[: len(first)]), (minus, second, batch.targets[len(first) :]))
    ]
    assert torch.allclose(model.weight.grad, sum(share * grads[0] for (_, grads), share in parts))
    assert torch.allclose(model.bias.grad, sum(share * grads[1] for (_, grads), share in parts))
    assert torch.allclose(loss, sum(share * value for (value, _), share in parts))


def test_full_takes_the_whole_batch_at_both_points():
    loss, model, batch = one_gradient("ssgd-full")
    (plus, first), (minus, second) = model.passes
    assert torch.equal(first, batch.inputs)
    assert torch.equal(second, batch.inputs)
    assert torch.allclose((plus + minus) / 2, model.weight)
    found = [gradient_at(w, model.bias, batch.inputs, batch.targets) for w in (plus, minus)]
    assert torch.allclose(model.weight.grad, sum(grads[0] for _, grads in found) / 2)
    assert torch.allclose(loss, sum(value for value, _ in found) / 2)


def test_one_sided_noise_takes_the_whole_batch_once():
    _, model, batch = one_gradient("noise-sgd")
    ((plus, inputs),) = model.passes
    assert torch.equal(inputs, batch.inputs)
    assert (plus != model.weight).all()
    _, (expected, _) = gradient_at(plus, model.bias, batch.inputs, batch.targets)
    assert torch.allclose(model.weight.grad, expected)


def test_sam_is_the_algorithm_of_its_paper():
    rho = 0.3
    loss, model, batch = one_gradient("sam", rho=rho)
    expected_loss, (g_weight, g_bias) = gradient_at(model.weight, model.bias, batch.inputs, batch.targets)
    norm = (g_weight.square().sum() + g_bias.square().sum()).sqrt()
    climbed = (model.weight + rho * g_weight / norm, model.bias + rho * g_bias / norm)
    _, (weight, bias) = gradient_at(*climbed, batch.inputs, batch.targets)
    assert torch.allclose(model.weight.grad, weight, rtol=1e-12)
    assert torch.allclose(model.bias.grad, bias, rtol=1e-12)
    assert not torch.allclose(weight, g_weight, rtol=1e-2)
    assert torch.equal(loss, expected_loss)


def test_sam_stays_where_the_gradient_is_zero():
    model = nn.Linear(2, 1)
    for p in model.parameters():
        nn.init.zeros_(p)
    before = weights(model)
    batch = Batch(model, lambda outputs, targets: outputs.square().sum(), torch.ones(3, 2), torch.zeros(3))
    with attached([ESTIMATORS["sam"]], model, torch.optim.SGD(model.parameters(), lr=1.0), 0) as take:
        take(batch)
    assert torch.equal(weights(model), before)
    assert all((p.grad == 0).all() for p in model.parameters())


def test_sam_counts_a_batch_once_in_the_running_statistics():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    twin = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    twin.load_state_dict(model.state_dict())
    batch = Batch(model, nn.functional.cross_entropy, SPLITS.train.inputs[:20], SPLITS.train.targets[:20])
    with attached([ESTIMATORS["sam"]], model, torch.optim.SGD(model.parameters(), lr=1.0), 0) as take:
        take(batch)
    twin(batch.inputs)
    assert model[1].num_batches_tracked == 1
    assert torch.equal(model[1].running_mean, twin[1].running_mean)
    assert model[1].track_running_stats


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("call", [1, 2])
def test_weights_are_back_bit_for_bit_also_when_the_loss_raises(name, call):
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    before = weights(model)
    calls = []

    def loss(outputs, targets):
        calls.append(1)
        if len(calls) == call:
            raise ZeroDivisionError
        return nn.functional.cross_entropy(outputs, targets)

    batch = Batch(model, loss, SPLITS.train.inputs[:20], SPLITS.train.targets[:20])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with attached([ESTIMATORS[name]], model, optimizer, 0) as take:
        if name == "noise-sgd" and call == 2:
            take(batch)
        else:
            with pytest.raises(ZeroDivisionError):
                take(batch)
        assert torch.equal(weights(model), before)
        model.zero_grad()
        calls += [1, 1]
        take(batch)  # and the next batch works
        assert torch.equal(weights(model), before)


@pytest.mark.parametrize(
    ("name", "options", "exact"),
    [
        ("ssgd", {"alpha": 0.0}, False),  # two halves are summed in another order
        ("ssgd-full", {"alpha": 0.0}, True),
        ("noise-sgd", {"alpha": 0.0}, True),
        ("sam", {"rho": 0.0}, True),
        ("csgd", {"keep": 1.0}, True),
        ("csgd-learned", {"rate": 0.0}, True),
    ],
)
def test_switched_off_it_is_sgd(name, options, exact):
    """Final weights on digits-mlp; a method that pays double is given double."""
    estimator = ESTIMATORS[name].with_options(**options)
    given = {"workload": WORKLOADS["digits-mlp"], "splits": digits(), "batch_size": 65, "lr": 0.1}
    _, plain = run(METHODS["sgd"], epochs=2, **given)
    method = dataclasses.replace(METHODS["sgd"], estimators=(estimator,))
    _, other = run(method, epochs=2 * estimator.evaluations_per_step, **given)
    if exact:
        assert torch.equal(weights(other), weights(plain))
    else:
        assert torch.allclose(weights(other), weights(plain), rtol=0, atol=1e-5)
    _, switched_on = run(METHODS[name], epochs=2 * estimator.evaluations_per_step, **given)
    assert not torch.allclose(weights(switched_on), weights(plain), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_budget(name):
    """5 batches an epoch, 3 epochs: 15 evaluations, or 7 steps for two each."""
    outcome, model = run(METHODS[name], workload=recorded, batch_size=24)
    cost = ESTIMATORS[name].evaluations_per_step
    assert cost == (2 if name in ("ssgd-full", "sam") else 1)
    assert outcome.gradient_evaluations == (14 if cost == 2 else 15)
    assert outcome.samples == outcome.gradient_evaluations * 24
    assert outcome.samples == sum(len(inputs) for _, inputs in model.passes)
    assert outcome.curve["gradient_evaluations"] == ([6, 10, 14] if cost == 2 else [5, 10, 15])
    assert outcome.evaluations_to_target in outcome.curve["gradient_evaluations"]
    assert outcome.test_metric > 0.8


@pytest.mark.parametrize("name", [*ESTIMATORS, "csgd+ssgd+sngm"])
def test_paired_by_seed_and_reproducible(name):
    """The batches are those of plain SGD, and so are the initial weights; the same seed is the same run."""
    method = find_method(name)
    outcome, model = run(method, workload=recorded)
    _, plain = run(METHODS["sgd"], workload=recorded)
    steps = 18 // method.cost
    per_step = len(model.passes) // steps
    for i, (_, batch) in enumerate(plain.passes[:steps]):
        seen = torch.cat([inputs for _, inputs in model.passes[per_step * i : per_step * (i + 1)]])
        assert torch.equal(seen, batch.repeat(method.cost, 1))
    initial = torch.stack([weight for weight, _ in model.passes[:per_step]]).mean(0)
    if name not in ("noise-sgd", "sam"):  # whose passes are not around the weights
        assert torch.allclose(initial, plain.passes[0][0], atol=1e-7)
    again, repeated = run(method, workload=recorded)
    assert torch.equal(weights(repeated), weights(model))
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(outcome, seconds=0)


def test_noise_is_another_in_each_step_and_for_each_seed():
    def noises(seed):
        passes = run(METHODS["ssgd"], workload=recorded, seed=seed)[1].passes
        return [((passes[i][0] - passes[i + 1][0]) > 0).flatten().tolist() for i in range(0, 12, 2)]

    assert len({tuple(n) for n in noises(1)}) > 3
    assert noises(1) != noises(2)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_global_generator_is_left_alone(name):
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
    batch = Batch(model, nn.functional.cross_entropy, SPLITS.train.inputs[:20], SPLITS.train.targets[:20])
    before = torch.get_rng_state()
    with attached([ESTIMATORS[name]], model, optimizer, 0) as take:
        take(batch)
        optimizer.step()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_calibrations_act_while_attached_and_no_longer(name):
    torch.manual_seed(0)
    model = nn.Linear(40, 20)
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.0)
    batch = Batch(model, nn.functional.mse_loss, torch.randn(3, 40), torch.randn(3, 20))

    def changed():
        for _ in range(3):  # the learned scale starts at 1
            model.zero_grad()
            batch.backward()
            plain = model.weight.grad.clone()
            optimizer.step()
        return not torch.equal(model.weight.grad, plain)

    with attached([ESTIMATORS[name]], model, optimizer, 0):
        assert changed()
    assert not changed()


def test_a_calibration_goes_with_a_two_point_estimator():
    method = find_method("csgd-lipschitz+ssgd-full+sgd")
    assert method.cost == 2
    outcome, model = run(method, workload=recorded)
    assert outcome.gradient_evaluations == 18
    assert len(model.passes) == 18
    assert not torch.equal(model.passes[0][0], model.passes[1][0])  # two points
    last = model.weight.grad.abs()
    assert ((last == 0) | (last == last.max())).all()  # calibrated at the end
    assert not torch.equal(weights(run(METHODS["ssgd-full"], workload=recorded)[1]), weights(model))


class AsksTwice(torch.optim.SGD):
    def step(self, closure):
        closure()
        loss = closure()
        super().step()
        return loss


def test_an_optimizer_that_asks_for_gradients_gets_the_estimators():
    own = Method("own", AsksTwice, {"lr": Range(0.1, 1)}, evaluations_per_step=2, closure=True)
    method = dataclasses.replace(own, estimators=(ESTIMATORS["ssgd-full"],))
    assert (own.cost, method.cost) == (2, 4)
    outcome, model = run(method, workload=recorded, epochs=4)
    assert outcome.gradient_evaluations == len(model.passes) == 24
    assert outcome.test_metric > 0.8


@contextmanager
def yields_nothing(model, optimizer, seed):
    yield None


@contextmanager
def yields_take(model, optimizer, seed):
    yield Batch.backward


@pytest.mark.parametrize(("attach", "kind"), [(yields_nothing, "points"), (yields_take, "calibration")])
def test_an_estimator_of_the_users_that_is_of_the_other_kind(attach, kind):
    method = dataclasses.replace(tiny.good, estimators=(Estimator("mine", attach, kind),))
    with pytest.raises(TypeError, match="attach of estimator 'mine' must yield"):
        run(method)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "an estimator's name must not be empty"),
        ({"kind": "both"}, "the kind of estimator 'mine' must be 'points' or 'calibration', got 'both'"),
        ({"evaluations_per_step": 0}, "evaluations_per_step must be at least 1, got 0"),
        ({"smallest_batch": 0}, "smallest_batch must be at least 1, got 0"),
        ({"kind": "calibration", "evaluations_per_step": 2}, "a calibration evaluates nothing itself"),
    ],
)
def test_bad_estimators(options, message):
    with pytest.raises(ValueError, match=message):
        Estimator(**{"name": "mine", "attach": yields_take, "kind": "points", **options})


def test_options_that_there_are_not():
    with pytest.raises(ValueError, match=r"estimator 'sam' has no option 'alpha'; it has \['rho'\]"):
        ESTIMATORS["sam"].with_options(alpha=0.1)


def test_a_cost_that_contradicts_the_estimators():
    with pytest.raises(ValueError, match="'m' pays 2 evaluations a step without a closure"):
        Method("m", torch.optim.SGD, {"lr": Range(0.1, 1)}, evaluations_per_step=2, estimators=(ESTIMATORS["sam"],))


def test_a_closure_that_is_called_with_gradients_off_is_told_what_to_type():
    batch = Batch(nn.Linear(2, 1), nn.functional.mse_loss, torch.ones(3, 2), torch.ones(3, 1))
    with torch.no_grad(), pytest.raises(InputError, match=r"call the closure under torch.enable_grad\(\)"):
        batch.backward()
