"""Quadratics: all that is exact agrees with the simulation, and laws of leaving with their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import solve_discrete_lyapunov
from scipy.stats import norm

from steepest.theory.momentum import Annealing, Quadratic, covariance_path, stationary_covariance
from tests.theory.momentum.problems import ERRORS, companion, slow_moments, spread

CURVATURES = [0.3, 1.0, 4.0]
NOISE = [1.0, 2.0, 0.5]


def close(found, expected, error, least=0.0):
    """Within standard errors, and these small enough that it says something."""
    np.testing.assert_array_less(np.abs(found - expected), ERRORS * error + least + 1e-15)
    np.testing.assert_array_less(ERRORS * error, 0.25 * np.abs(expected).max() + 1e-15)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("lr", [0.02, 0.3])
def test_the_simulation_has_the_exact_moments(lr, momentum):
    theory = Quadratic(CURVATURES, NOISE, lr, momentum)
    steps = [1, 2, 5, 20, 100, 400]
    found = theory.simulate(3000, 400, seed=1, at=steps)
    close(found.mean, theory.mean_path(steps, exact=True), found.mean_error)
    close(found.variance, theory.variance(steps, exact=True), found.variance_error)
    end = theory.stationary_covariance(exact=True).diagonal()[1:]
    close(found.variance[-1, 1:], end, found.variance_error[-1, 1:], 1e-3 * end.max())
    if lr == 0.3 and momentum == 0.9:  # where the SDE is not good enough
        off = np.abs(found.variance[-1] - theory.stationary_covariance().diagonal())
        assert (off > ERRORS * found.variance_error[-1]).any()


def test_noise_that_is_correlated_makes_weights_that_are():
    noise = spread(3, 1)
    theory = Quadratic(CURVATURES, noise, 0.2, 0.8)
    where = theory.simulate(5000, 300, seed=2, snapshots=[300]).positions[0]
    apart = where - where.mean(axis=0)
    products = np.einsum("ri,rj->rij", apart, apart)
    expected = theory.stationary_covariance(exact=True)
    close(products.mean(axis=0), expected, products.std(axis=0) / len(where) ** 0.5)
    assert np.abs(expected - np.diag(expected.diagonal())).max() > 0.05 * expected.max()
    lyapunov = solve_discrete_lyapunov(*companion(np.diag(CURVATURES), noise, 0.2, 0.8))[:3, :3]
    np.testing.assert_allclose(expected, lyapunov, rtol=1e-10)
    np.testing.assert_array_equal(expected, stationary_covariance(np.diag(CURVATURES), noise, 0.2, 0.8, exact=True))
    general = covariance_path(np.diag(CURVATURES), noise, 0.2, 0.8, [7, 300])
    np.testing.assert_allclose(theory.variance([7, 300]), np.diagonal(general, axis1=1, axis2=2))


def test_means_are_the_recursion_and_the_exponential():
    annealing = Annealing(lr={5: 0.5}, momentum={12: 0.0, 20: 0.5})
    start, steps = np.array([1.0, -2.0, 0.5]), np.array([[0, 30], [12, 5]])
    theory = Quadratic(CURVATURES, NOISE, 0.2, 0.8)
    rates = [0.2 if k < 5 else 0.1 for k in range(30)]
    momenta = [0.8 if k < 12 else 0.0 if k < 20 else 0.4 for k in range(30)]
    expected, _ = slow_moments(np.diag(CURVATURES), np.eye(3), start, zip(rates, momenta, strict=True))
    found = theory.mean_path(steps, start=start, annealing=annealing, exact=True)
    np.testing.assert_allclose(found, expected[steps], rtol=1e-10)
    times = np.cumsum([0, *(lr / (1 - momentum) for lr, momentum in zip(rates, momenta, strict=True))])
    sde = theory.mean_path(steps, start=start, annealing=annealing)
    np.testing.assert_allclose(sde, start * np.exp(-np.multiply.outer(times[steps], CURVATURES)))
    assert theory.mean_path(3).shape == (3,)
    np.testing.assert_allclose(theory.mean_path(0), [1, 1, 1])


def test_equal_effective_rates_have_one_sde_and_nearly_one_simulation():
    theory = Quadratic(CURVATURES, NOISE, 0.002, 0.9)
    plain = theory.plain()
    assert (plain.lr, plain.momentum) == (pytest.approx(0.02), 0.0)
    assert theory.effective_lr == pytest.approx(plain.effective_lr)
    steps = [50, 300]
    np.testing.assert_allclose(theory.mean_path(steps), plain.mean_path(steps))
    np.testing.assert_allclose(theory.variance(steps), plain.variance(steps))
    runs = [each.simulate(4000, 300, seed=3, at=[300]) for each in (theory, plain)]
    error = np.hypot(*(run.variance_error for run in runs))
    np.testing.assert_array_less(np.abs(np.subtract(*(run.variance for run in runs))), ERRORS * error)


@pytest.mark.parametrize(
    ("annealing", "factor"),
    [
        (Annealing(lr={150: 0.5}), 0.5),
        (Annealing(momentum={150: 0.0}), 0.1),
        (Annealing(lr=lambda step: max(0.2, 1 - step / 200)), 0.2),
    ],
    ids=["lr halved", "momentum stopped", "lr every step"],
)
def test_annealing_lowers_the_variance_as_it_is_predicted_to(annealing, factor):
    theory = Quadratic([1.0, 4.0], [1.0, 2.0], 0.02, 0.9)
    steps = [150, 170, 600]
    found = theory.simulate(3000, 600, seed=4, at=steps, annealing=annealing)
    close(found.variance, theory.variance(steps, annealing=annealing, exact=True), found.variance_error)
    off = np.abs(found.mean - theory.mean_path(steps, annealing=annealing, exact=True))
    np.testing.assert_array_less(off, ERRORS * found.mean_error)
    before = theory.stationary_covariance().diagonal()
    np.testing.assert_allclose(theory.variance(600, annealing=annealing), factor * before, rtol=0.01)
    np.testing.assert_allclose(found.variance[-1], factor * before, rtol=0.15)


def test_leaving_a_saddle_has_the_exact_law():
    theory = Quadratic([1.0, -0.5, -2.0], NOISE, 0.02, 0.8)
    steps = range(1, 61, 3)
    for direction in (2, 3):
        found = theory.simulate(4000, 60, seed=5, start=0.0, at=steps, exits=(direction, 0.2))
        law = theory.exit_probability(0.2, steps, direction=direction, exact=True)
        close(found.outside, law, np.sqrt(law * (1 - law) / 4000))
        variance = theory.escape_variance(steps, direction=direction, exact=True)
        close(found.variance[:, direction - 1], variance, found.variance_error[:, direction - 1])
        assert found.exit_time() == pytest.approx(theory.exit_time(0.2, direction=direction, exact=True), abs=1)
    np.testing.assert_array_equal(theory.escape_variance(steps), theory.escape_variance(steps, direction=3))


@given(
    delta=st.floats(0.01, 10), probability=st.floats(0.01, 0.99), momentum=st.floats(0, 0.95), gap=st.floats(0.01, 5)
)
def test_the_time_of_exit_is_when_the_probability_is_reached(delta, probability, momentum, gap):
    theory = Quadratic([-gap, 1.0], [2.0, 1.0], 0.01, momentum)
    time = theory.exit_time(delta, probability)
    before, after = (theory.exit_probability(delta, step(time)) for step in (math.floor, math.ceil))
    assert before - 1e-9 <= probability <= after + 1e-9
    exact = theory.exit_time(delta, probability, exact=True)
    law = theory.exit_probability(delta, [int(exact) - 1, int(exact)], exact=True)
    assert law[0] < probability + 1e-9
    assert law[1] > probability - 1e-9


def test_the_law_of_exit_is_the_normal_distributions():
    theory = Quadratic([-1.0], 1.0, 0.01, 0.5)
    deviation = math.sqrt(0.02 / 2 * math.expm1(2 * 0.02 * 50))
    assert float(theory.exit_probability(0.3, 50)) == pytest.approx(2 * norm.sf(0.3 / deviation))
    assert float(theory.exit_probability(0.3, 0)) == 0
    z = norm.isf(0.25 / 2)
    expected = math.log(1 + 2 * 0.3**2 / (0.02 * z**2)) / (2 * 0.02)
    assert theory.exit_time(0.3, 0.25) == pytest.approx(expected)
    still = Quadratic([-1.0, 1.0], [0.0, 1.0], 0.01, 0.5)
    assert still.exit_time(0.3) == still.exit_time(0.3, exact=True) == math.inf


REFUSED = [
    ({"curvatures": []}, ValueError, r"curvatures must have shape \(d,\), got \(0,\)"),
    ({"curvatures": 1.0}, ValueError, r"curvatures must have shape \(d,\), got \(\)"),
    ({"curvatures": [True]}, TypeError, "curvatures must be numbers, got"),
    (
        {"noise": [[1.0, 2.0], [2.0, 1.0]]},
        ValueError,
        "noise must be a covariance, without eigenvalues below 0, got -1",
    ),
    ({"lr": "0.1"}, ValueError, "lr must be a finite number above 0, got '0.1'"),
    ({"momentum": -0.1}, ValueError, r"momentum must be a number in \[0, 1\), got -0.1"),
    (
        {"lr": 1.5},
        ValueError,
        r"lr must be below 2 \(1 \+ momentum\) / curvature = 1.5, where momentum is 0.5 and the ",
    ),
]


@pytest.mark.parametrize(("options", "error", "sentence"), REFUSED)
def test_bad_settings_are_refused(options, error, sentence):
    with pytest.raises(error, match=sentence):
        Quadratic(**{"curvatures": [1.0, 2.0], "noise": 1.0, "lr": 0.1, "momentum": 0.5, **options})


def test_what_a_point_does_not_have_is_refused():
    minimum, saddle = Quadratic([1.0, 2.0], 1.0, 0.1, 0.5), Quadratic([1.0, -2.0], 1.0, 0.1, 0.5)
    with pytest.raises(ValueError, match="curvatures must be above 0, as at a strict minimum, got -2"):
        saddle.stationary_covariance()
    with pytest.raises(ValueError, match="curvatures must be above 0, as at a strict minimum, got 0"):
        Quadratic([1.0, 0.0], 1.0, 0.1, 0.5).stationary_covariance()
    with pytest.raises(ValueError, match=r"direction must be one of negative curvature, .* direction 1 of curvature 1"):
        minimum.escape_variance(5)
    with pytest.raises(ValueError, match=r"direction must be one of negative curvature, .* direction 1 of curvature 1"):
        saddle.exit_time(0.1, direction=1)
    with pytest.raises(ValueError, match="direction must be at most 2, got 3"):
        saddle.exit_time(0.1, direction=3)
    with pytest.raises(ValueError, match="delta must be a finite number above 0, got -1"):
        saddle.exit_probability(-1, 5)
    with pytest.raises(ValueError, match=r"probability must be a number in \(0, 1\), got 1.0"):
        saddle.exit_time(0.1, 1.0)
    for call in (minimum.stationary_covariance, lambda exact: minimum.mean_path(1, exact=exact)):
        with pytest.raises(ValueError, match="exact must be True or False, got 1"):
            call(exact=1)
    with pytest.raises(ValueError, match=r"lr must be below .* = 1, where momentum is 0 and .* curvature 2, got 1.4"):
        Quadratic([2.0], 1.0, 0.7, 0.5).plain()
