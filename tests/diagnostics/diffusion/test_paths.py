"""Geodesics of the diffusion metric: conservation, independent integrations, closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from torch import nn

from steepest._errors import MissingExtraError
from steepest.diagnostics.diffusion import DiffusionMetric, geodesic, geodesic_rk4, gradient_flow, reduced_geodesic
from steepest.diagnostics.diffusion.paths import METHODS, acceleration
from tests.diagnostics.diffusion.problems import LeastSquares, numbers, of_network

PROBLEM = LeastSquares(12, 3)
CURVATURE = (PROBLEM.a.T @ PROBLEM.a / 12).numpy()
MINIMUM = torch.linalg.lstsq(PROBLEM.a, PROBLEM.y[:, None]).solution[:, 0].numpy()
VELOCITY = [0.5, -1.0, 0.25]


def close(found, expected, atol, rtol=0.0):
    torch.testing.assert_close(found, torch.as_tensor(np.asarray(expected)), rtol=rtol, atol=atol)


def cosine(times, start, velocity):
    """Newton's motion in a quadratic, by its modes."""
    squares, modes = np.linalg.eigh(CURVATURE)
    w, x, v = np.sqrt(squares), modes.T @ (start - MINIMUM), modes.T @ velocity
    return np.array([MINIMUM + modes @ (x * np.cos(w * t) + v * np.sin(w * t) / w) for t in times])


def textbook_slope(eps, forced=True):
    """Of (x, v) for least squares, through the metric's inverse and all symbols, in NumPy."""

    def slope(t, state):
        x, v = state[:3], state[3:]
        at = torch.from_numpy(x)
        metric = np.eye(3) + eps * PROBLEM.covariance(at)
        dd = PROBLEM.covariance_derivative(at)  # [k, i, j]
        first = eps / 2 * (dd.transpose(1, 0, 2) + dd.transpose(1, 2, 0) - dd)  # [z, u, v]
        pull = CURVATURE @ (x - MINIMUM) if forced else np.zeros(3)
        return np.concatenate([v, -np.linalg.inv(metric) @ (pull + np.einsum("zuv,u,v", first, v, v))])

    return slope


@pytest.mark.parametrize("forced", [True, False])
def test_an_independent_integration_of_least_squares(forced):
    eps = 0.7
    found = geodesic(PROBLEM.metric(eps), VELOCITY, 3.0, forced=forced, points=7)
    begin = np.concatenate([PROBLEM.x.numpy(), VELOCITY])
    expected = solve_ivp(
        textbook_slope(eps, forced), (0, 3), begin, "RK45", found.times.numpy(), rtol=1e-9, atol=1e-11
    ).y.T
    close(found.positions, expected[:, :3], atol=1e-6)
    close(found.velocities, expected[:, 3:], atol=1e-6)


def test_without_noise_it_is_newtons_motion():
    metric = PROBLEM.metric(0.0)
    found = geodesic(metric, VELOCITY, 10.0, points=21)
    close(found.positions, cosine(found.times.numpy(), PROBLEM.x.numpy(), np.array(VELOCITY)), atol=1e-7)
    free = geodesic(metric, VELOCITY, 2.0, forced=False)
    close(free.positions[-1], PROBLEM.x.numpy() + 2 * np.array(VELOCITY), atol=1e-12)


def test_the_noise_bends_the_path():
    paths = [geodesic(PROBLEM.metric(eps), VELOCITY, 3.0).positions for eps in (0.0, 0.5)]
    assert float((paths[0] - paths[1]).abs().max()) > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_the_energy(method):
    found = geodesic(PROBLEM.metric(0.5), VELOCITY, 1.0, method=method, rtol=1e-6, atol=1e-9)
    assert float((found.energy - found.energy[0]).abs().max()) < 1e-3 * float(found.energy[0])


def test_energy_and_its_parts():
    metric = of_network()
    found = geodesic(metric, numbers(len(metric.weights)), 2.0, points=5)
    x, v = found.positions[3], found.velocities[3]
    expected = float(v @ metric.metric(x) @ v) / 2 + metric.loss(x)
    assert float(found.energy[3]) == pytest.approx(expected, rel=1e-12)
    assert float((found.energy - found.energy[0]).abs().max()) < 1e-7 * float(found.energy[0])


def test_an_unforced_geodesic_keeps_its_length_in_the_metric():
    metric = PROBLEM.metric(0.5)
    found = geodesic(metric, VELOCITY, 3.0, forced=False, points=9)
    speeds = [float(v @ metric.metric(x) @ v) for x, v in zip(found.positions, found.velocities, strict=True)]
    assert speeds == pytest.approx([speeds[0]] * 9, rel=1e-8)
    usual = found.velocities.norm(dim=1)
    assert float(usual.max() / usual.min()) > 1.05  # and not the usual one
    close(found.energy, np.array(speeds) / 2, atol=1e-12)


def test_the_drift_of_runge_kutta_falls_as_the_fourth_power_of_the_step():
    metric, drifts = PROBLEM.metric(0.5), []
    for step in (0.08, 0.04, 0.02):
        found = geodesic_rk4(metric, VELOCITY, 1.6, step=step)
        drifts.append(float((found.energy - found.energy[0]).abs().max()))
    assert drifts[0] > 1e-9  # far above rounding
    assert 2**3.5 < drifts[0] / drifts[1] < 2**5.2
    assert 2**3.5 < drifts[1] / drifts[2] < 2**5.2


def test_both_integrators_agree():
    metric = of_network()
    v = numbers(len(metric.weights))
    fixed = geodesic_rk4(metric, v, 0.5, step=0.03)
    assert len(fixed.times) == 18
    assert fixed.evaluations == 4 * 17
    found = geodesic(metric, v, 0.5, points=18, rtol=1e-7)
    close(found.times, fixed.times, atol=1e-14)
    close(found.positions, fixed.positions, atol=1e-5)
    close(found.velocities, fixed.velocities, atol=1e-5)
    assert found.evaluations > 0


def test_the_way_of_the_covariance_is_that_of_the_christoffel_symbols():
    metric = of_network()
    x = metric.point() + 0.3 * numbers(len(metric.weights))
    v = numbers(len(x), seed=1)
    bent = torch.einsum("wuv,u,v->w", metric.christoffel(x), v, v)
    close(acceleration(metric, x, v, forced=False), -bent, atol=1e-12)
    pull = torch.linalg.solve(metric.metric(x), metric.gradient(x))
    close(acceleration(metric, x, v), -bent - pull, atol=1e-12)


def test_gradient_flow_in_a_quadratic():
    found = gradient_flow(PROBLEM.metric(0.5), 4.0, points=5)
    away = PROBLEM.x.numpy() - MINIMUM
    expected = np.array([MINIMUM + expm(-CURVATURE * t) @ away for t in found.times.tolist()])
    close(found.positions, expected, atol=1e-7)
    close(found.velocities, -(expected - MINIMUM) @ CURVATURE, atol=1e-7)


def test_the_reduced_form_replaces_the_velocity_by_the_gradient():
    metric = PROBLEM.metric(0.7)

    def slope(t, state):
        x, v = state[:3], state[3:]
        at_gradient = textbook_slope(0.7)(t, np.concatenate([x, CURVATURE @ (x - MINIMUM)]))
        return np.concatenate([v, at_gradient[3:]])

    found = reduced_geodesic(metric, VELOCITY, 1.5, points=4)
    begin = np.concatenate([PROBLEM.x.numpy(), VELOCITY])
    expected = solve_ivp(slope, (0, 1.5), begin, "RK45", found.times.numpy(), rtol=1e-9, atol=1e-11).y.T
    close(found.positions, expected[:, :3], atol=1e-6)


def test_near_the_equilibrium_the_reduced_form_is_the_geodesic():
    metric = PROBLEM.metric(0.7)

    def apart(distance):
        start = torch.from_numpy(MINIMUM + distance * np.array([1.0, -0.5, 0.3]))
        paths = [f(metric, None, 1.0, start=start, points=5) for f in (geodesic, reduced_geodesic)]
        return float((paths[0].positions - paths[1].positions).abs().max())

    near, nearer = apart(1e-2), apart(5e-3)
    assert 0 < nearer < near < 1e-4
    assert 3 < near / nearer < 5  # of second order in the distance


def test_the_default_velocity_is_that_of_the_gradient_flow_and_start_moves_it():
    metric = PROBLEM.metric(0.5)
    x = metric.point() + 1
    found = geodesic(metric, None, 0.5, start=x, points=3)
    assert torch.equal(found.positions[0], x)
    close(found.velocities[0], -metric.gradient(x), atol=1e-12)
    by_name = geodesic(metric, {"x": -metric.gradient(x)}, 0.5, start={"x": x}, points=3)
    assert torch.equal(by_name.positions, found.positions)


class Cliff(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0]))

    def forward(self, x):
        return -self.w.sqrt() * x


def test_a_path_to_where_the_loss_is_not_finite_is_refused():
    metric = DiffusionMetric(Cliff(), lambda o, t: o.mean() * 10, [(torch.ones(2, 1), torch.ones(2))], 0.1)
    with pytest.raises(RuntimeError, match=r"not finite on the path at time 0\.\d+"):
        geodesic(metric, [-10.0], 1.0)
    with pytest.raises(RuntimeError, match=r"left the finite numbers at time 0\.\d+"):
        geodesic_rk4(metric, [-10.0], 1.0, step=0.05)


def test_the_same_without_scipy(monkeypatch):
    monkeypatch.setattr("steepest._errors.importlib.util.find_spec", lambda name: None)
    metric = LeastSquares(4, 2).metric(0.1)
    with pytest.raises(MissingExtraError, match=r"scipy is not installed; .*'steepest\[diagnostics\]'"):
        geodesic(metric, None, 1.0)
    assert len(geodesic_rk4(metric, None, 1.0, step=0.5).times) == 3


REFUSED = [
    ({"time": 0.0}, ValueError, "time must be finite and above 0, got 0.0"),
    ({"time": math.inf}, ValueError, "time must be finite and above 0, got inf"),
    ({"time": "1"}, TypeError, "time must be a float, got '1'"),
    ({"method": "Euler"}, ValueError, "method must be one of 'DOP853', .*got 'Euler'"),
    ({"points": 1}, ValueError, "points must be at least 2, got 1"),
    ({"rtol": -1.0}, ValueError, "rtol must be finite and above 0, got -1.0"),
    ({"atol": 0}, ValueError, "atol must be finite and above 0, got 0"),
    ({"velocity": [1.0]}, ValueError, r"flat weights must have shape \(3,\), got \(1,\)"),
]


@pytest.mark.parametrize(("options", "error", "sentence"), REFUSED)
def test_bad_arguments_are_refused(options, error, sentence):
    metric = PROBLEM.metric(0.5)
    with pytest.raises(error, match=sentence):
        geodesic(metric, **{"velocity": None, "time": 1.0, **options})


@pytest.mark.parametrize("step", [0.0, -1, math.nan])
def test_a_bad_step_is_refused(step):
    with pytest.raises(ValueError, match="step must be finite and above 0"):
        geodesic_rk4(PROBLEM.metric(0.5), None, 1.0, step=step)
