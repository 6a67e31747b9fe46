import dataclasses

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Method, Range
from steepest.diagnostics import HessianEigenvalue
from steepest.training.builtin import ESTIMATORS
from steepest.training.builtin.instruments import samples as samples_module
from steepest.training.builtin.instruments import sharpness as sharpness_module
from steepest.training.builtin.instruments.samples import batches_of
from steepest.training.builtin.instruments.sharpness import SHARPNESS
from steepest.training.definitions.budget import steps_per_epoch
from steepest.training.loop.evaluate import evaluate
from tests.compare import tiny
from tests.training.runs import train

SPLITS = tiny.two_clouds(None)


def run(method=tiny.good, workload=tiny.clouds, lr=0.1, seed=1, epochs=3, batch_size=20, with_test=True, **options):
    return train(
        workload,
        method,
        SPLITS,
        {"lr": lr},
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        with_test=with_test,
        **options,
    )


def test_learns_and_counts_its_budget():
    seen = []
    outcome = run(progress=seen.append)
    assert outcome.test_metric > 0.85
    assert outcome.gradient_evaluations == 18
    assert outcome.samples == 360
    assert outcome.curve["gradient_evaluations"] == [6, 12, 18]
    assert outcome.validation_metric == outcome.curve["validation_metric"][-1]
    assert [s.fraction for s in seen] == pytest.approx([1 / 3, 2 / 3, 1])
    assert [s.gradient_evaluations for s in seen] == outcome.curve["gradient_evaluations"]
    assert [s.validation_metric for s in seen] == outcome.curve["validation_metric"]
    assert not outcome.diverged


def test_the_same_seed_is_the_same_run_to_the_last_bit():
    first, second = (dataclasses.replace(run(seed=5), seconds=0) for _ in range(2))
    assert first == second
    assert first.curve != run(seed=6).curve


def test_test_data_is_seen_only_when_asked():
    outcome = run(with_test=False)
    assert outcome.test_metric is None
    assert outcome.test_loss is None


def test_methods_are_paired_by_seed():
    """Equal initial weights and equal batches, whatever the method."""
    seen = {}

    def spy(name):
        batches = seen[name] = []

        def model():
            linear = nn.Linear(4, 2)
            batches.append(linear.weight.detach().clone())
            linear.register_forward_pre_hook(lambda module, inputs: batches.append(inputs[0].clone()))
            return linear

        return dataclasses.replace(tiny.clouds, model=model)

    run(tiny.good, spy("sgd"), epochs=2)
    run(Method("adam", torch.optim.Adam, space={"lr": Range(0.1, 1)}), spy("adam"), epochs=2)
    assert len(seen["sgd"]) == len(seen["adam"]) > 12
    for a, b in zip(seen["sgd"], seen["adam"], strict=True):
        assert torch.equal(a, b)


class TwoEvaluations(torch.optim.SGD):
    """Calls its closure twice a step, as SAM does."""

    calls = 0

    def step(self, closure):
        type(self).calls += 2
        closure()
        loss = closure()
        super().step()
        return loss


def test_a_method_that_pays_two_evaluations_takes_half_the_steps():
    method = Method("two", TwoEvaluations, space={"lr": Range(0.1, 1)}, evaluations_per_step=2, closure=True)
    TwoEvaluations.calls = 0
    outcome = run(method, epochs=4)
    assert TwoEvaluations.calls == outcome.gradient_evaluations == 24
    assert outcome.curve["gradient_evaluations"] == [6, 12, 18, 24]
    assert outcome.test_metric > 0.8


def test_the_learning_rate_falls_linearly_to_zero():
    rates = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            super().step(closure)

    run(Method("spy", Spy, space={"lr": Range(0.1, 1)}), lr=0.5)
    assert rates == pytest.approx([0.5 * (1 - i / 18) for i in range(18)])


def test_divergence_ends_the_run_and_is_told():
    outcome = run(tiny.exploding)
    assert outcome.diverged
    assert outcome.validation_metric is None
    assert outcome.test_metric is None
    assert outcome.gradient_evaluations == 6


def test_a_metric_that_is_not_finite_is_no_result():
    outcome = run(workload=tiny.nan_metric)
    assert outcome.diverged
    assert outcome.validation_metric is None


def test_evaluations_to_target():
    assert run().evaluations_to_target in (6, 12, 18)
    assert run(workload=dataclasses.replace(tiny.clouds, target=1.01)).evaluations_to_target is None
    downwards = dataclasses.replace(tiny.clouds, target=2.0, higher_is_better=False)
    assert run(workload=downwards).evaluations_to_target == 6


def test_evaluation_is_the_mean_over_all_samples_and_uses_evaluation_mode():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2))
    sevens = dataclasses.replace(tiny.clouds, evaluation_batch=7)  # 60 is no multiple of it
    loss, metric, _ = evaluate(sevens, model, SPLITS.test)
    with torch.no_grad():
        outputs = model[1](SPLITS.test.inputs)
    assert loss == pytest.approx(nn.functional.cross_entropy(outputs, SPLITS.test.targets).item(), rel=1e-5)
    assert metric == pytest.approx((outputs.argmax(1) == SPLITS.test.targets).float().mean().item(), rel=1e-6)
    assert model.training


def test_sharpness_is_measured_at_the_final_weights_over_a_fixed_subset(monkeypatch):
    """Against the whole Hessian, formed by torch."""
    models = []
    workload = dataclasses.replace(
        tiny.clouds, model=lambda: models.append(nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.5))) or models[-1]
    )
    monkeypatch.setattr(samples_module, "BATCH", 7)  # 50 is no multiple of it
    monkeypatch.setattr(sharpness_module, "SAMPLES", 50)
    outcome = run(workload=workload, instruments=[SHARPNESS])
    assert models[0].training
    (first, *_), subset = (batches_of(SPLITS.train, n) for n in (120, 50))
    inputs, targets = (torch.cat(part) for part in zip(*subset, strict=True))
    assert len(inputs) == 50
    assert torch.equal(first[0], inputs[:7])
    assert not torch.equal(inputs, SPLITS.train.inputs[:50])  # data may be sorted

    linear = models[0][0]

    def loss(weight, bias):
        return nn.functional.cross_entropy(nn.functional.linear(inputs, weight, bias), targets)

    blocks = torch.autograd.functional.hessian(loss, (linear.weight.detach(), linear.bias.detach()))
    hessian = torch.cat([torch.cat([b.reshape(n, -1) for b in row], 1) for row, n in zip(blocks, (8, 2), strict=True)])
    assert outcome.measures["sharpness"] == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item(), rel=1e-3)
    assert outcome.notes == {}
    plain = run(workload=workload)
    assert (plain.measures, plain.notes) == ({}, {})
    assert plain.test_loss == outcome.test_loss
    assert run(tiny.exploding, instruments=[SHARPNESS]).measures == {}


def test_a_loss_that_is_not_smooth_costs_the_sharpness_and_not_the_run():
    calls = []

    def loss(outputs, targets):
        calls.append(1)
        value = nn.functional.cross_entropy(outputs, targets)
        # A square root at 0, once training is over: 18 steps, 3 validations, 1 test.
        return value + (outputs - outputs).square().sum().sqrt() if len(calls) > 22 else value

    outcome = run(workload=dataclasses.replace(tiny.clouds, loss=loss), instruments=[SHARPNESS])
    assert outcome.test_metric > 0.85
    assert outcome.measures == {"sharpness": None}
    assert "not smooth" in outcome.notes["sharpness"]


def test_a_sharpness_that_has_not_converged_says_so(monkeypatch):
    found = HessianEigenvalue(3.0, 0.25, 100, False)
    monkeypatch.setattr(sharpness_module, "largest_hessian_eigenvalue", lambda *_: found)
    outcome = run(instruments=[SHARPNESS])
    assert outcome.measures == {"sharpness": 3.0}
    assert outcome.notes["sharpness"] == "not converged after 100 iterations, residual 0.25"


def test_a_budget_must_pay_for_a_step():
    method = dataclasses.replace(tiny.good, estimators=(ESTIMATORS["sam"],))
    assert run(method, epochs=1, batch_size=60).gradient_evaluations == 2
    with pytest.raises(InputError, match="good pays 2 gradient evaluations a step, and a run has 1"):
        run(method, epochs=1, batch_size=120)


def test_batch_size_must_fit():
    assert steps_per_epoch(120, 50) == 2
    with pytest.raises(InputError, match="batch size must be at most the 120 training samples, got 121"):
        run(batch_size=121)
