"""Covariance of gradients, its derivative, the metric made of them: against closed forms and finite differences."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from steepest.diagnostics.diffusion import DiffusionMetric
from tests.diagnostics.diffusion.problems import LeastSquares, Line, half_square, labelled, network, numbers, of_network
from tests.diagnostics.problems import same, state_of

CROSS_ENTROPY = nn.CrossEntropyLoss()


def close(found, expected, atol=1e-12, rtol=1e-10):
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=rtol, atol=atol)


def sample_gradients(model, loss_fn, inputs, targets):
    """By one backward pass for each sample, in float64 and evaluation mode."""
    model = copy.deepcopy(model).double().eval()
    params = [p for p in model.parameters() if p.requires_grad]
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    found = []
    for i in range(len(inputs)):
        loss = loss_fn(model(inputs[i : i + 1]), targets[i : i + 1])
        parts = torch.autograd.grad(loss, params, allow_unused=True, materialize_grads=True)
        found.append(torch.cat([g.reshape(-1) for g in parts]))
    return torch.stack(found)


@settings(max_examples=12)
@given(n=st.integers(1, 9), d=st.integers(1, 5), seed=st.integers(0, 99))
def test_least_squares_has_its_closed_form(n, d, seed):
    problem = LeastSquares(n, d, seed)
    metric = problem.metric(0.3)
    x = problem.x + numbers(d, seed=seed + 3)
    close(metric.covariance(x), problem.covariance(x))
    close(metric.covariance_derivative(x), problem.covariance_derivative(x))
    close(metric.metric(x), np.eye(d) + 0.3 * problem.covariance(x))
    close(metric.gradient(x), problem.a.T @ (problem.a @ x - problem.y) / n)
    assert metric.loss(x) == pytest.approx(float((problem.a @ x - problem.y).square().mean() / 2))
    assert metric.samples == n


def test_it_is_the_mean_over_pairs_of_samples():
    metric = of_network()
    g = metric.sample_gradients()
    n = len(g)
    pairs = sum(torch.outer(g[k] - g[m], g[k] - g[m]) for k in range(n) for m in range(k + 1, n))
    close(metric.covariance(), pairs / n**2, atol=1e-12, rtol=0)


def test_the_gradients_are_those_of_single_samples_in_their_order():
    model, (inputs, targets) = network(), labelled()
    parts = [(inputs[:7], targets[:7]), (inputs[7:], targets[7:])]
    for data in (parts, DataLoader(TensorDataset(inputs, targets), 6)):
        metric = DiffusionMetric(model, CROSS_ENTROPY, data, 0.1)
        close(metric.sample_gradients(), sample_gradients(model, CROSS_ENTROPY, inputs, targets), rtol=1e-9)


def test_finite_differences_of_the_covariance():
    metric, step = of_network(), 1e-6
    x, found = metric.point(), metric.covariance_derivative()
    for k in range(len(x)):
        up, down = x.clone(), x.clone()
        up[k] += step
        down[k] -= step
        close(found[k], (metric.covariance(up) - metric.covariance(down)) / (2 * step), atol=1e-9, rtol=1e-7)


def test_the_christoffel_symbols_are_those_of_finite_differences_of_the_metric():
    metric, step = of_network().with_eps(2.0), 1e-5
    x, d = metric.point() + 0.1, metric.weights.numel()
    slopes = np.zeros((d, d, d))  # [k, i, j]: of metric[i, j] by weight k
    for k in range(d):
        e = torch.zeros(d, dtype=torch.float64)
        e[k] = step
        slopes[k] = (metric.metric(x + e) - metric.metric(x - e)) / (2 * step)
    first = np.zeros((d, d, d))
    for z in range(d):
        for u in range(d):
            for v in range(d):
                first[z, u, v] = (slopes[u][z, v] + slopes[v][z, u] - slopes[z][u, v]) / 2
    close(metric.christoffel(x, kind=1), first, atol=1e-8, rtol=1e-6)
    inverse = np.linalg.inv(metric.metric(x).numpy())
    close(metric.christoffel(x), np.einsum("wz,zuv->wuv", inverse, first), atol=1e-8, rtol=1e-6)


def test_the_kinds_differ_by_the_square_of_eps():
    def off(eps):
        metric = LeastSquares(8, 3).metric(eps)
        return (metric.christoffel(kind=2) - metric.christoffel(kind=1)) / eps**2

    small, smaller = off(1e-4), off(1e-5)
    assert small.abs().max() > 0.1
    close(small, smaller, atol=1e-3 * float(small.abs().max()), rtol=0)


def test_one_sample_has_no_noise_and_two_have_rank_one():
    one, two = LeastSquares(1, 4).metric(1.0), LeastSquares(2, 4).metric(1.0)
    assert not one.covariance().any()
    assert not one.covariance_derivative().any()
    assert not one.christoffel().any()
    spectrum = torch.linalg.eigvalsh(two.covariance())
    assert spectrum[-1] > 1e-3
    assert spectrum[:-1].abs().max() < 1e-14 * float(spectrum[-1]) * 10


def test_the_rank_is_at_most_the_samples_less_one():
    assert int(torch.linalg.matrix_rank(LeastSquares(4, 6).metric(1.0).covariance())) == 3


def test_a_frozen_layer_has_no_weights_here():
    model = network()
    model[0].requires_grad_(False)
    metric = DiffusionMetric(model, CROSS_ENTROPY, [labelled()], 0.1)
    close(metric.sample_gradients(), sample_gradients(model, CROSS_ENTROPY, *labelled()), rtol=1e-9)
    assert list(metric.named()) == ["2.weight", "2.bias"]
    assert metric.weights.numel() == 10


def test_tied_weights_count_once():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    metric = DiffusionMetric(model, CROSS_ENTROPY, [labelled()], 0.1)
    assert metric.weights.numel() == 9 + 3 + 3
    close(metric.sample_gradients(), sample_gradients(model, CROSS_ENTROPY, *labelled()), rtol=1e-9)
    assert list(metric.named()) == ["0.weight", "0.bias", "2.bias"]


def test_weights_by_name_and_flat_are_the_same():
    metric = of_network()
    x = metric.point() + numbers(len(metric.weights))
    by_name = metric.named(x)
    assert {name: t.shape for name, t in by_name.items()} == {n: p.shape for n, p in network().named_parameters()}
    assert torch.equal(metric.point(by_name), x)
    assert torch.equal(metric.covariance(by_name), metric.covariance(x))
    assert metric.loss(x.tolist()) == metric.loss(x)
    assert metric.loss() == metric.loss(metric.weights)
    assert metric.loss(x) != metric.loss()


def test_it_is_of_the_weights_that_the_model_had():
    model = network()
    metric = DiffusionMetric(model, CROSS_ENTROPY, [labelled()], 0.1)
    before = metric.covariance()
    with torch.no_grad():
        model[0].weight.add_(1)
    assert torch.equal(metric.covariance(), before)


def test_batch_norm_and_dropout_are_in_evaluation_mode_and_nothing_is_touched():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 2))
    inputs, targets = labelled()
    for _ in range(3):
        CROSS_ENTROPY(model(inputs), targets).backward()
    model[1].eval()
    before = state_of(model)
    metric = DiffusionMetric(model, CROSS_ENTROPY, [(inputs, targets)], 0.1)
    metric.covariance_derivative()
    assert same(state_of(model), before)
    close(metric.sample_gradients(), sample_gradients(model, CROSS_ENTROPY, inputs, targets), rtol=1e-9)
    assert same(state_of(model), before)


def test_it_is_left_as_it_was_after_an_error():
    model, calls, fails = network(), [], [0]
    loader = DataLoader(TensorDataset(*labelled()), 8, shuffle=True, generator=torch.Generator().manual_seed(3))
    before, order = state_of(model), loader.generator.get_state()

    def failing(outputs, targets):
        calls.append(1)
        if len(calls) >= fails[0] > 0:
            raise KeyError("from the loss")
        return CROSS_ENTROPY(outputs, targets)

    DiffusionMetric(model, failing, loader, 0.1)
    for fails[0] in (1, len(calls) // 2, len(calls)):
        calls.clear()
        with pytest.raises(KeyError, match="from the loss"):
            DiffusionMetric(model, failing, loader, 0.1)
        assert same(state_of(model), before)
        assert torch.equal(loader.generator.get_state(), order)


class Branch(nn.Module):
    """Takes another way where its weights are large, which a tracer must not freeze."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x @ self.w if self.w.sum() > 1 else (x @ self.w) ** 2


class LooksAtSamples(Branch):
    """And here where a sample is, which vmap cannot do."""

    def forward(self, x):
        return x @ self.w if x.sum() > 0 else torch.tanh(x @ self.w)


class Checkpointed(Branch):
    """Computes anew in the backward pass, and must then meet the same weights."""

    def forward(self, x):
        return checkpoint(lambda x: torch.tanh(x @ self.w), x, use_reentrant=False)


def apart(outputs, targets):
    return half_square(outputs.reshape(-1), targets.reshape(-1))


@pytest.mark.parametrize("make", [Branch, LooksAtSamples, Checkpointed])
def test_what_cannot_be_traced_or_mapped_is_computed_all_the_same(make):
    model, data = make().double(), [(row[None], row[:1]) for row in numbers(5, 3)]
    metric = DiffusionMetric(model, apart, data, 0.1)
    for x in (metric.point(), metric.point() - 2 + 0.1 * numbers(3)):
        moved = make().double()
        moved.w.data.copy_(x)
        expected = torch.cat([sample_gradients(moved, apart, *batch) for batch in data])
        close(metric.sample_gradients(x), expected)
        up, down = (metric.covariance(x + s * torch.eye(3, dtype=torch.float64)[0]) for s in (1e-6, -1e-6))
        close(metric.covariance_derivative(x)[0], (up - down) / 2e-6, atol=1e-8, rtol=1e-6)
        rows = torch.tensor([[0, 3], [4, 1]])
        close(metric.sample_losses.of_replicas(torch.stack([x, x]), rows), expected[rows])
        v = numbers(3, seed=5)
        _, seconds = metric.sample_losses.along(x, v)
        curvature = torch.cat([h for _, h in metric.sample_losses.hessians(x)])
        close(seconds, curvature @ v @ v)


@pytest.mark.slow
def test_samples_are_taken_some_at_a_time(monkeypatch):
    metric = of_network(2, 7)
    whole = metric.covariance_derivative(), metric.covariance(), metric.christoffel()
    monkeypatch.setattr("steepest.diagnostics.diffusion.losses.NUMBERS", 3 * len(metric.weights))
    for found, expected in zip(
        (metric.covariance_derivative(), metric.covariance(), metric.christoffel()), whole, strict=True
    ):
        close(found, expected)
    xs, rows = numbers(5, len(metric.weights)), torch.arange(10).view(5, 2) % 7
    parts = [metric.sample_gradients(x)[some] for x, some in zip(xs, rows, strict=True)]
    close(metric.sample_losses.of_replicas(xs, rows), torch.stack(parts))


def test_a_loss_that_reads_the_models_weights_sees_those_of_the_point():
    problem = LeastSquares(6, 3)
    line = Line(problem.x)

    def decayed(outputs, targets):
        return half_square(outputs, targets) + line.x.square().sum()

    metric = DiffusionMetric(line, decayed, [(problem.a, problem.y)], 0.1)
    x = problem.x + 1
    close(metric.gradient(x), problem.metric(0.1).gradient(x) + 2 * x)


def test_dicts_of_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(3, 1)

        def forward(self, first, second):
            return self.line(first + second)

    torch.manual_seed(0)
    model, (a, y) = Sum(), (numbers(4, 3).float(), numbers(4, 1).float())
    metric = DiffusionMetric(model, nn.MSELoss(), [({"first": a, "second": a}, y)], 0.1)
    close(metric.sample_gradients(), sample_gradients(model.line, nn.MSELoss(), 2 * a, y), rtol=1e-9)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(mode):
    model, data = network(), [labelled()]
    expected = DiffusionMetric(model, CROSS_ENTROPY, data, 0.5).covariance_derivative()
    with mode():
        assert torch.equal(DiffusionMetric(model, CROSS_ENTROPY, data, 0.5).covariance_derivative(), expected)


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


class Noisy(nn.Linear):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


class Cube(nn.Linear):
    def forward(self, x):
        return Once.apply(super().forward(x))


def total(outputs, targets):
    return nn.functional.mse_loss(outputs, targets, reduction="sum")


A, Y = numbers(4, 3).float(), numbers(4, 2).float()
REFUSED = [
    (nn.Linear(100, 6), nn.MSELoss(), [(A, Y)], 1.0, ValueError, "at most 500 trainable weights.*got 606"),
    (nn.Linear(3, 2).requires_grad_(False), nn.MSELoss(), [(A, Y)], 1.0, ValueError, "requires_grad=True"),
    (nn.Linear(3, 2), nn.MSELoss(), [(A, Y / 0)], 1.0, RuntimeError, "loss over data must be finite, got inf"),
    (Cube(3, 2), nn.MSELoss(), [(A, Y)], 1.0, RuntimeError, "the second derivative is not there"),
    (Pair(3, 2), nn.MSELoss(), [(A, Y)], 1.0, TypeError, r"must take what the model returns, a tuple"),
    (Noisy(3, 2), nn.MSELoss(), [(A, Y)], 1.0, RuntimeError, "draws random numbers in evaluation mode"),
    (nn.Linear(3, 2), total, [(A, Y)], 1.0, ValueError, "must give the mean over a batch"),
    (nn.Linear(3, 2), nn.MSELoss(reduction="none"), [(A, Y)], 1.0, ValueError, r"one number.*got shape \(4, 2\)"),
    (nn.Linear(3, 2), nn.MSELoss(), [], 1.0, ValueError, "at least one sample"),
    (nn.Linear(3, 2), nn.MSELoss(), (A, Y), 1.0, TypeError, r"one batch alone is \[\(inputs, targets\)\]"),
    (nn.Linear(3, 2), nn.MSELoss(), iter([(A, Y)]), 1.0, TypeError, "iterable several times"),
    (nn.Linear(3, 2), nn.MSELoss(), [(A, Y)], -1.0, ValueError, "eps must be finite and at least 0, got -1.0"),
    (nn.Linear(3, 2), nn.MSELoss(), [(A, Y)], float("nan"), ValueError, "eps must be finite and at least 0, got nan"),
    (nn.Linear(3, 2), nn.MSELoss(), [(A, Y)], "1", TypeError, "eps must be a float, got '1'"),
    (nn.Linear(3, 2), "mse", [(A, Y)], 1.0, TypeError, "loss_fn must be a function"),
    (
        nn.Sequential(nn.Tanh(), nn.Linear(2, 2)),
        lambda outputs, targets: outputs.square().mean(),
        [(torch.ones(2, 2), torch.ones(2)), (torch.ones(2, 4, 2), torch.ones(2))],
        1.0,
        ValueError,
        "samples of one shape",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model", "loss_fn", "data", "eps", "error", "sentence"), REFUSED)
def test_what_cannot_be_measured_is_refused(model, loss_fn, data, eps, error, sentence):
    before = state_of(model)
    with pytest.raises(error, match=sentence) as caught:
        DiffusionMetric(model, loss_fn, data, eps)
    assert "\n" not in str(caught.value)
    assert same(state_of(model), before)


def test_another_eps_needs_no_other_look_at_the_model():
    metric = of_network()
    other = metric.with_eps(3.0)
    assert (metric.eps, other.eps) == (0.5, 3.0)
    assert torch.equal(other.covariance(), metric.covariance())
    close(other.metric(), metric.metric() + 2.5 * metric.covariance())
    with pytest.raises(ValueError, match="eps must be finite and at least 0, got -1"):
        metric.with_eps(-1)


def test_bad_points_and_kinds_are_refused():
    metric = of_network()
    with pytest.raises(ValueError, match=r"flat weights must have shape \(26,\), got \(3,\)"):
        metric.covariance(torch.zeros(3))
    with pytest.raises(ValueError, match="weights by name must have the names and shapes"):
        metric.covariance({"0.weight": torch.zeros(3)})
    with pytest.raises(ValueError, match="kind must be 1 or 2, got 3"):
        metric.christoffel(kind=3)


def test_a_model_for_several_processes_is_refused(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(nn.Linear(3, 2))
        with pytest.raises(TypeError, match=r"got DistributedDataParallel: pass model.module"):
            DiffusionMetric(wrapped, nn.MSELoss(), [(A, Y)], 1.0)
    finally:
        torch.distributed.destroy_process_group()
