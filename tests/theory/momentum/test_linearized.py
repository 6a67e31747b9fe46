"""Covariances at a minimum and at a saddle, against SciPy's solvers, recursions written out, and training."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_lyapunov, solve_discrete_lyapunov
from scipy.stats import norm

from steepest.theory.momentum import Annealing, covariance_path, escape, stationary_covariance
from tests.diagnostics.diffusion.problems import LeastSquares
from tests.theory.momentum.problems import ERRORS, companion, slow_moments, spread

SETTINGS = {
    "d": st.integers(1, 6),
    "seed": st.integers(0, 2**16),
    "share": st.floats(0.01, 0.9),  # of the greatest stable lr
    "momentum": st.floats(0, 0.95),
}


def settings(d, seed, share, momentum):
    hessian, noise = spread(d, seed), spread(d, seed + 1, least=0.0)
    return hessian, noise, share * 2 * (1 + momentum) / np.linalg.eigvalsh(hessian)[-1], momentum


@given(**SETTINGS)
def test_the_exact_covariance_is_that_of_the_discrete_lyapunov_equation(d, seed, share, momentum):
    hessian, noise, lr, momentum = settings(d, seed, share, momentum)
    expected = solve_discrete_lyapunov(*companion(hessian, noise, lr, momentum))[:d, :d]
    found = stationary_covariance(hessian, noise, lr, momentum, exact=True)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@given(**SETTINGS)
def test_the_sdes_covariance_is_that_of_the_continuous_lyapunov_equation(d, seed, share, momentum):
    hessian, noise, lr, momentum = settings(d, seed, share, momentum)
    expected = solve_continuous_lyapunov(hessian, lr / (1 - momentum) * noise)
    found = stationary_covariance(hessian, noise, lr, momentum)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@given(share=st.floats(1e-4, 0.999), momentum=st.floats(0, 0.99), h=st.floats(0.01, 100), s2=st.floats(0.01, 100))
def test_in_one_dimension_it_is_the_known_formula(share, momentum, h, s2):
    lr = share * 2 * (1 + momentum) / h
    expected = lr * s2 * (1 + momentum) / ((1 - momentum) * h * (2 * (1 + momentum) - lr * h))
    assert stationary_covariance([[h]], s2, lr, momentum, exact=True)[0, 0] == pytest.approx(expected, rel=1e-10)
    assert stationary_covariance([[h]], s2, lr, momentum)[0, 0] == pytest.approx(lr * s2 / (1 - momentum) / 2 / h)


def test_equal_effective_rates_are_equal_to_first_order():
    hessian, noise, differences = spread(3), spread(3, 1), []
    for lr in (1e-3, 1e-4):
        momentum, plain = (lr, 0.9), (lr / (1 - 0.9), 0.0)
        sde = [stationary_covariance(hessian, noise, *each) for each in (momentum, plain)]
        np.testing.assert_allclose(*sde, rtol=1e-12)
        found, other = (stationary_covariance(hessian, noise, *each, exact=True) for each in (momentum, plain))
        differences.append(np.abs(found - other).max() / np.abs(sde[0]).max())
        assert differences[-1] < 5 * lr / (1 - 0.9)
    assert differences[0] == pytest.approx(10 * differences[1], rel=0.1)  # the difference is of first order in lr


@pytest.mark.parametrize("down", [0.0, 1.5])  # a minimum, and a saddle
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_the_exact_path_is_the_recursion_step_by_step(down, momentum):
    hessian, noise = spread(3) - down * np.eye(3), spread(3, 1)
    annealing = Annealing(lr={5: 0.5, 11: 0.1}, momentum={8: 0.0, 15: 1.1})
    rates = [0.2 if k < 5 else 0.1 if k < 11 else 0.02 for k in range(30)]
    momenta = [momentum if k < 8 else 0.0 if k < 15 else 1.1 * momentum for k in range(30)]
    _, expected = slow_moments(hessian, noise, np.zeros(3), zip(rates, momenta, strict=True))
    steps = np.array([[30, 3], [11, 0], [3, 17]])
    found = covariance_path(hessian, noise, 0.2, momentum, steps, annealing=annealing, exact=True)
    assert found.shape == (3, 2, 3, 3)
    np.testing.assert_allclose(found, expected[steps], rtol=1e-10, atol=1e-14)
    one = covariance_path(hessian, noise, 0.2, momentum, 30, annealing=annealing, exact=True)
    np.testing.assert_allclose(one, expected[30], rtol=1e-10)


@pytest.mark.parametrize("down", [0.0, 1.5])
def test_the_sdes_path_solves_the_equation_of_its_moments(down):
    hessian, noise = spread(3) - down * np.eye(3), spread(3, 1)

    def slope(k, c):
        c, e = c.reshape(3, 3), (0.01 if k < 40 else 0.001) / (1 - 0.5)
        return (e**2 * noise - e * (hessian @ c + c @ hessian)).ravel()

    first = solve_ivp(slope, (0, 40), np.zeros(9), rtol=1e-10, atol=1e-14).y[:, -1]
    second = solve_ivp(slope, (40.0001, 90), first, rtol=1e-10, atol=1e-14).y[:, -1]
    found = covariance_path(hessian, noise, 0.01, 0.5, [40, 90], annealing=Annealing(lr={40: 0.1}))
    np.testing.assert_allclose(found.reshape(2, 9), [first, second], rtol=1e-5)


@pytest.mark.parametrize("exact", [False, True])
def test_near_a_minimum_the_path_ends_in_the_stationary_covariance(exact):
    hessian, noise = spread(3), spread(3, 1)
    expected = stationary_covariance(hessian, noise, 0.05, 0.9, exact=exact)
    found = covariance_path(hessian, noise, 0.05, 0.9, [0, 10_000, 10**9], exact=exact)
    np.testing.assert_allclose(found[1:], [expected] * 2, rtol=1e-9)
    assert not found[0].any()


@pytest.mark.parametrize("exact", [False, True])
def test_at_a_flat_direction_it_grows_in_proportion_and_at_a_saddle_it_stays_a_number(exact):
    found = covariance_path(np.diag([0.0, -1.0]), 1.0, 0.1, 0.0, [1, 50, 10**7], exact=exact)
    np.testing.assert_allclose(found[:2, 0, 0], [0.1**2, 50 * 0.1**2])
    assert found[2, 1, 1] == 1e100
    assert not found[:, 0, 1].any()


def test_matrices_and_tensors_are_those_of_any_loss_and_its_samples():
    """SGD with momentum on batches: residuals stay away from 0, so that the noise is nearly that at the minimum."""
    problem, batch, lr, momentum = LeastSquares(40, 2), 4, 0.01, 0.7
    metric = problem.metric(0.0)
    minimum = torch.linalg.lstsq(problem.a, problem.y[:, None]).solution[:, 0]
    hessian = torch.autograd.functional.hessian(lambda x: (problem.a @ x - problem.y).square().mean() / 2, minimum)
    expected = stationary_covariance(hessian, metric.covariance(minimum) / batch, lr, momentum, exact=True)
    generator = torch.Generator().manual_seed(0)
    x = minimum.expand(4000, -1).clone().requires_grad_()
    optimizer = torch.optim.SGD([x], lr=lr, momentum=momentum)
    for _ in range(300):
        rows = torch.randint(40, (len(x), batch), generator=generator)
        residuals = torch.einsum("rbd,rd->rb", problem.a[rows], x) - problem.y[rows]
        optimizer.zero_grad()
        (residuals.square().mean(dim=1) / 2).sum().backward()
        optimizer.step()
    found = x.detach().numpy()
    apart = found - found.mean(axis=0)
    products = np.einsum("ri,rj->rij", apart, apart)
    error = products.std(axis=0) / len(products) ** 0.5
    assert (np.abs(products.mean(axis=0) - expected) < ERRORS * error + 0.06 * expected.max()).all()
    assert (3 * ERRORS * error < expected.diagonal().min()).all()  # so that it says something


def test_a_saddle_is_left_along_its_directions_of_negative_curvature():
    turn = np.linalg.qr(spread(4, 3))[0]
    hessian, noise = turn @ np.diag([-1.0, 2.0, -0.5, 0.0]) @ turn.T, spread(4, 4)
    lr, momentum, delta, probability = 0.01, 0.5, 0.4, 0.3
    found = escape(hessian, noise, lr, momentum, delta, probability=probability)
    np.testing.assert_allclose(found.curvatures, [-1.0, -0.5])
    np.testing.assert_allclose(np.abs(found.directions @ turn), [[1, 0, 0, 0], [0, 0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(found.noise, [turn[:, 0] @ noise @ turn[:, 0], turn[:, 2] @ noise @ turn[:, 2]])
    # The variance that is reached makes the probability what it was asked to be.
    e = lr / (1 - momentum)
    for gap, s2, k in zip([1.0, 0.5], found.noise, found.exit_steps, strict=True):
        variance = e * s2 / (2 * gap) * math.expm1(2 * gap * e * k)
        assert 2 * norm.sf(delta / math.sqrt(variance)) == pytest.approx(probability)
    path = covariance_path(hessian, noise, lr, momentum, [10, 200])
    expected = np.einsum("mi,tij,mj->tm", found.directions, path, found.directions)
    np.testing.assert_allclose(found.variance([10, 200]), expected)


def test_without_noise_a_saddle_is_never_left():
    found = escape(np.diag([1.0, -1.0]), [1.0, 0.0], 0.01, 0.9, 0.1)
    assert found.exit_steps.tolist() == [math.inf]
    assert found.variance(10**6).tolist() == [0.0]


REFUSED = [
    ({"hessian": [[1.0, 2.0], [0.0, 1.0]]}, ValueError, "hessian must be symmetric, got entries that differ by 2"),
    ({"hessian": [1.0, 2.0]}, ValueError, r"hessian must be a matrix of shape \(d, d\), got shape \(2,\)"),
    ({"hessian": [[math.nan]]}, ValueError, "hessian must be finite, got"),
    ({"hessian": [["1"]]}, TypeError, "hessian must be numbers, got"),
    ({"hessian": [[1.0], [1.0, 2.0]]}, TypeError, "hessian must be numbers, got"),
    ({"hessian": torch.eye(2, dtype=torch.complex64)}, TypeError, "hessian must be numbers, got"),
    ({"noise_covariance": [1.0]}, ValueError, r"noise_covariance must have shape \(2,\), got \(1,\)"),
    ({"noise_covariance": np.eye(3)}, ValueError, r"noise_covariance must have shape \(2, 2\), got \(3, 3\)"),
    ({"noise_covariance": -1.0}, ValueError, "noise_covariance must be a covariance, .* below 0, got -1"),
    ({"lr": 0.0}, ValueError, "lr must be a finite number above 0, got 0.0"),
    ({"momentum": 1.0}, ValueError, r"momentum must be a number in \[0, 1\), got 1.0"),
    ({"lr": 3.0}, ValueError, r"lr must be below 2 \(1 \+ momentum\) / curvature = 3, where momentum is 0.5 and the"),
]


@pytest.mark.parametrize("function", [stationary_covariance, escape, covariance_path])
@pytest.mark.parametrize(("options", "error", "sentence"), REFUSED)
def test_bad_arguments_are_refused(function, options, error, sentence):
    last = {stationary_covariance: {}, escape: {"delta": 0.1}, covariance_path: {"steps": 5}}[function]
    hessian = [[-1.0 if function is escape else 0.5, 0.0], [0.0, 1.0]]
    good = {"hessian": hessian, "noise_covariance": 1.0, "lr": 0.1, "momentum": 0.5, **last}
    function(**good)
    with pytest.raises(error, match=sentence):
        function(**{**good, **options})


def test_the_bound_of_stability_is_where_the_recursion_grows():
    for momentum in (0.0, 0.5, 0.9):
        bound = 2 * (1 + momentum) / 3.0
        radius = [
            max(abs(np.linalg.eigvals(companion(np.array([[3.0]]), 1.0, f * bound, momentum)[0]))) for f in (0.99, 1.01)
        ]
        assert radius[0] < 1 < radius[1]
        stationary_covariance([[3.0]], 1.0, 0.99 * bound, momentum)
        with pytest.raises(ValueError, match=rf"= {bound:g}, .* the largest curvature 3, got"):
            stationary_covariance([[3.0]], 1.0, bound, momentum)


def test_the_wrong_kind_of_point_is_refused():
    with pytest.raises(ValueError, match="hessian must have eigenvalues above 0, as at a strict minimum, got -1"):
        stationary_covariance(np.diag([-1.0, 1.0]), 1.0, 0.1, 0.0)
    with pytest.raises(
        ValueError, match="hessian must have eigenvalues above 0, as at a strict minimum, got 0: nothing"
    ):
        stationary_covariance(np.diag([0.0, 1.0]), 1.0, 0.1, 0.0)
    with pytest.raises(ValueError, match="hessian must have an eigenvalue below 0, as at a strict saddle, got at lea"):
        escape(np.diag([0.0, 1.0]), 1.0, 0.1, 0.0, 0.1)
    for options in ({"delta": 0.0}, {"delta": math.inf}, {"probability": 0.0}, {"probability": 1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be a"):
            escape(
                **{"hessian": [[-1.0]], "noise_covariance": 1.0, "lr": 0.1, "momentum": 0.0, "delta": 1.0, **options}
            )
    for steps, error in ((-1, ValueError), ([1.0], TypeError), ("5", TypeError)):
        with pytest.raises(error, match="steps must be"):
            covariance_path([[1.0]], 1.0, 0.1, 0.0, steps)
    assert covariance_path([[1.0]], 1.0, 0.1, 0.0, []).shape == (0, 1, 1)
