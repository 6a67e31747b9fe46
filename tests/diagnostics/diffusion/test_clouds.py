"""Clouds of SGD: the covariance of a batch's gradient, exact recursions, and the diffusion's moments."""

import math

import pytest
import torch
from scipy.linalg import solve_continuous_lyapunov

from steepest.diagnostics.diffusion import diffusion_paths, sgd_paths
from tests.diagnostics.diffusion.problems import LeastSquares, numbers, of_network

ERRORS = 4  # standard errors


def moments(values):
    """Mean and covariance of rows, and the covariance's standard errors."""
    apart = values - values.mean(dim=0)
    products = apart[:, :, None] * apart[:, None, :]
    return values.mean(dim=0), products.mean(dim=0), products.std(dim=0) / len(values) ** 0.5


@pytest.mark.parametrize(("replacement", "batch_size"), [(True, 5), (False, 5), (False, 11)])
def test_the_covariance_of_a_batch_gradient(replacement, batch_size):
    metric, lr = of_network(2, 12), 0.25
    found = sgd_paths(
        metric, lr=lr, batch_size=batch_size, steps=1, replicas=2000, seed=1, replacement=replacement
    ).positions[1]
    mean, covariance, error = moments((metric.weights - found) / lr)
    expected = metric.covariance() / batch_size
    if not replacement:
        expected = expected * (12 - batch_size) / (12 - 1)
    assert ((covariance - expected).abs() <= ERRORS * error + 1e-15).all()
    off = (mean - metric.gradient()).abs()
    assert (off <= ERRORS * (expected.diagonal() / len(found)).sqrt() + 1e-12).all()


def test_the_whole_data_without_replacement_are_gradient_descent():
    metric = of_network(2, 12)
    found = sgd_paths(metric, lr=0.5, batch_size=12, steps=3, replicas=2, replacement=False).positions
    x = metric.point()
    for i in range(3):
        x = x - 0.5 * metric.gradient(x)
        torch.testing.assert_close(found[i + 1], x.expand(2, -1), rtol=1e-12, atol=1e-12)


def test_the_replicas_are_independent_and_the_seed_fixes_them():
    metric, options = of_network(2, 12), {"lr": 0.1, "batch_size": 2, "steps": 2, "replicas": 3}
    runs = [sgd_paths(metric, seed=seed, **options).positions for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert len(runs[0][1].unique(dim=0)) > 1
    state = torch.get_rng_state()
    diffusion_paths(metric, **options)
    assert torch.equal(torch.get_rng_state(), state)


def test_times_and_what_is_returned():
    metric = of_network(2, 12)
    x = metric.point() + 1
    found = sgd_paths(metric, lr=0.1, batch_size=2, steps=7, replicas=3, every=3, start=x)
    assert found.times.tolist() == pytest.approx([0.0, 0.3, 0.6])
    assert found.positions.shape == (3, 3, len(x))
    assert torch.equal(found.positions[0], x.expand(3, -1))
    assert found.evaluations == 7 * 2 * 3
    every = sgd_paths(metric, lr=0.1, batch_size=2, steps=7, replicas=3, start=x).positions
    assert torch.equal(found.positions, every[::3])
    diffusion = diffusion_paths(metric, lr=0.1, batch_size=2, steps=4, replicas=3, every=2, substeps=2, start=x)
    assert diffusion.times.tolist() == pytest.approx([0.0, 0.2, 0.4])
    assert diffusion.evaluations == 4 * 2 * 3 * 12


def test_one_step_of_the_diffusion_has_the_covariance_of_one_of_sgd():
    metric, lr = of_network(2, 12), 0.25
    found = diffusion_paths(metric, lr=lr, batch_size=3, steps=1, replicas=2000, seed=2).positions[1]
    mean, covariance, error = moments((metric.weights - found) / lr)
    assert ((covariance - metric.covariance() / 3).abs() <= ERRORS * error + 1e-15).all()
    spread = (covariance.diagonal() / len(found)).sqrt()
    assert ((mean - metric.gradient()).abs() <= ERRORS * spread + 1e-12).all()


def test_the_cloud_around_a_minimum_is_that_of_lyapunovs_equation():
    """With residuals that stay away from 0, D is nearly constant: C H + H C = lr D / B."""
    problem = LeastSquares(40, 2)
    metric, lr, batch_size = problem.metric(0.0), 0.03, 4
    minimum = torch.linalg.lstsq(problem.a, problem.y[:, None]).solution[:, 0]
    curvature = problem.a.T @ problem.a / 40
    expected = torch.from_numpy(
        solve_continuous_lyapunov(curvature.numpy(), (lr / batch_size * metric.covariance(minimum)).numpy())
    )
    options = {"lr": lr, "batch_size": batch_size, "steps": 200, "replicas": 800, "every": 200, "start": minimum}
    for cloud in (sgd_paths(metric, **options), diffusion_paths(metric, **options)):
        _, covariance, error = moments(cloud.positions[-1])
        assert ((covariance - expected).abs() <= ERRORS * error + 0.05 * expected.abs().max()).all()
        assert float(covariance.diagonal().min()) > 0.5 * float(expected.diagonal().min()) > 0


def test_a_run_that_diverges_is_refused():
    metric = LeastSquares(4, 2).metric(0.0)
    with pytest.raises(RuntimeError, match=r"a run diverged: after \d+ steps .* take a smaller lr than 1e\+06"):
        sgd_paths(metric, lr=1e6, batch_size=4, steps=200, replicas=1)


REFUSED = [
    ({"lr": 0.0}, ValueError, "lr must be finite and above 0, got 0.0"),
    ({"lr": math.nan}, ValueError, "lr must be finite and above 0, got nan"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"batch_size": 1.5}, TypeError, "batch_size must be an int, got 1.5"),
    ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ({"replicas": 0}, ValueError, "replicas must be at least 1, got 0"),
    ({"every": 0}, ValueError, "every must be at least 1, got 0"),
    ({"seed": "a"}, TypeError, "seed must be an int, got 'a'"),
    ({"start": numbers(3)}, ValueError, r"flat weights must have shape"),
]


@pytest.mark.parametrize("function", [sgd_paths, diffusion_paths])
@pytest.mark.parametrize(("options", "error", "sentence"), REFUSED)
def test_bad_arguments_are_refused(function, options, error, sentence):
    metric = LeastSquares(4, 2).metric(0.0)
    with pytest.raises(error, match=sentence):
        function(metric, **{"lr": 0.1, "batch_size": 2, "steps": 1, "replicas": 1, **options})


def test_more_than_all_samples_cannot_be_drawn_without_replacement():
    metric = LeastSquares(4, 2).metric(0.0)
    with pytest.raises(
        ValueError, match="batch_size must be at most the 4 samples when drawn without replacement, got 5"
    ):
        sgd_paths(metric, lr=0.1, batch_size=5, steps=1, replicas=1, replacement=False)
    with pytest.raises(ValueError, match="substeps must be at least 1, got 0"):
        diffusion_paths(metric, lr=0.1, batch_size=5, steps=1, replicas=1, substeps=0)
