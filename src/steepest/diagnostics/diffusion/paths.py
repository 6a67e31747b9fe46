"""Paths in weight space that need no random numbers: the geodesics of the diffusion metric, and the gradient flow."""

import math
import time as clock
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from steepest._errors import require
from steepest.diagnostics.diffusion.metric import DiffusionMetric, Point
from steepest.diagnostics.subject import one_of, whole

METHODS = ("DOP853", "RK45", "RK23", "Radau", "BDF", "LSODA")

# The derivative of a state, positions and where there are velocities these after them.
_Slope = Callable[[Tensor], Tensor]


class Path(NamedTuple):
    """A path in weight space.

    ``times`` (T,); ``positions`` and ``velocities`` (T, d) at them; ``energy`` (T,): ``1/2 v' metric v + f``, without
    ``f`` where the path is not forced; a geodesic keeps it, so that its drift is the error of the path.
    ``evaluations``: of all samples' derivatives, by the integration; ``seconds`` with those of the energy.
    """

    times: Tensor
    positions: Tensor
    velocities: Tensor
    energy: Tensor
    evaluations: int
    seconds: float


def geodesic(
    metric: DiffusionMetric,
    velocity: Point,
    time: float,
    *,
    forced: bool = True,
    start: Point = None,
    points: int = 101,
    method: str = "DOP853",
    rtol: float = 1e-9,
    atol: float = 1e-12,
) -> Path:
    r"""Geodesic of the diffusion metric from ``start``, pulled by the loss, by SciPy's ``solve_ivp``.

    .. code-block:: text

        x'' + Gamma(x', x') = -inverse(metric) grad f        Gamma: Christoffel symbols of the second kind
        E = 1/2 x' metric x' + f  stays the same

    A reconstruction of the paper's deterministic model. Nothing slows it down: it runs through a minimum and up again.
    Gamma is never formed: ``metric Gamma(v, v)`` is eps times the covariance, over samples, of their gradients and
    their second derivatives along v (derived), so that a step costs two gradients or so for each sample.

    Args:
        velocity: at the start, flat (d,) or by the parameters' names; ``None`` is ``-grad f``, the gradient flow's.
        time: how long, above 0. Its unit is such that lr times steps of SGD is a time.
        forced: whether the loss pulls; without, the path is one of shortest length, and keeps its speed.
        start: weights; the model's own by default.
        points: how many times are returned, at equal distances, both ends among them; at least 2.
        method: ``"DOP853"``, or another of ``solve_ivp``'s: RK45, RK23, Radau, BDF, LSODA.
        rtol, atol: relative and absolute error that one step of the solver may make.

    Raises:
        MissingExtraError: SciPy is not installed.
        TypeError, ValueError: an argument is of the wrong kind or out of range.
        RuntimeError: the path could not be followed to the end, as where the loss is not finite.

    Source: a reconstruction of Fioresi, Chaudhari, Soatto, Entropy 22, 101 (2020), arXiv 1910.12194.

    Example:
        >>> from torch import nn
        >>> line = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(line.weight, 1.0)
        >>> data = [(torch.ones(1, 1), torch.zeros(1, 1))]  # the loss is w^2: with one sample there is no noise
        >>> swing = geodesic(DiffusionMetric(line, nn.MSELoss(), data, eps=1.0), [0.0], math.pi / 2**0.5)
        >>> round(float(swing.positions[-1]), 6)  # w = cos(sqrt(2) t)
        -1.0
    """
    check_time(time)
    return _solve(metric, _second_order(metric, forced), (start, velocity), time, points, method, rtol, atol, forced)


def reduced_geodesic(
    metric: DiffusionMetric,
    velocity: Point,
    time: float,
    *,
    start: Point = None,
    points: int = 101,
    method: str = "DOP853",
    rtol: float = 1e-9,
    atol: float = 1e-12,
) -> Path:
    """Forced geodesic as it is reduced near an equilibrium, where the velocity is taken to be the gradient's.

    .. code-block:: text

        x'' = -inverse(metric) grad f - Gamma(grad f, grad f)

    It keeps no energy. Arguments and errors are those of :func:`geodesic`.

    Source: a reconstruction of Fioresi, Chaudhari, Soatto, Entropy 22, 101 (2020), arXiv 1910.12194.

    Example:
        >>> from torch import nn
        >>> line = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(line.weight, 0.001)
        >>> data = [(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))]
        >>> metric = DiffusionMetric(line, nn.MSELoss(), data, eps=1.0)
        >>> full, reduced = geodesic(metric, [0.0], 1.0), reduced_geodesic(metric, [0.0], 1.0)
        >>> bool((full.positions - reduced.positions).abs().max() < 1e-5)
        True
    """
    check_time(time)

    def slope(state: Tensor) -> Tensor:
        x, v = state.chunk(2)
        gradient = metric.gradient(x)
        return torch.cat([v, acceleration(metric, x, gradient)])

    return _solve(metric, slope, (start, velocity), time, points, method, rtol, atol, True, 2)


def gradient_flow(
    metric: DiffusionMetric,
    time: float,
    *,
    start: Point = None,
    points: int = 101,
    method: str = "DOP853",
    rtol: float = 1e-9,
    atol: float = 1e-12,
) -> Path:
    """Gradient flow ``x' = -grad f``: gradient descent with an lr of almost nothing, whatever the metric is.

    Arguments and errors are those of :func:`geodesic`; ``"Radau"`` or ``"BDF"`` is the faster where it is stiff.

    Example:
        >>> from torch import nn
        >>> line = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(line.weight, 1.0)
        >>> metric = DiffusionMetric(line, nn.MSELoss(), [(torch.ones(1, 1), torch.zeros(1, 1))], eps=0.0)
        >>> round(float(gradient_flow(metric, math.log(2)).positions[-1]), 6)  # w = exp(-2 t)
        0.25
    """
    check_time(time)
    return _solve(metric, lambda x: -metric.gradient(x), (start,), time, points, method, rtol, atol, True)


def geodesic_rk4(
    metric: DiffusionMetric,
    velocity: Point,
    time: float,
    *,
    step: float,
    forced: bool = True,
    start: Point = None,
) -> Path:
    """Geodesic of :func:`geodesic` by the classical Runge-Kutta method in equal steps; it needs no SciPy.

    The error falls as ``step**4``. It is here to check the other, and for where an adaptive solver is too clever.

    Args:
        step: the greatest length of a step; it is made shorter so that the steps fill ``time``. Every one is returned.

    Raises:
        TypeError, ValueError, RuntimeError: as :func:`geodesic`.

    Example:
        >>> from torch import nn
        >>> line = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(line.weight, 1.0)
        >>> metric = DiffusionMetric(line, nn.MSELoss(), [(torch.ones(1, 1), torch.zeros(1, 1))], eps=1.0)
        >>> swing = geodesic_rk4(metric, [0.0], math.pi / 2**0.5, step=0.01)
        >>> round(float(swing.positions[-1]), 6), len(swing.times)
        (-1.0, 224)
    """
    check_time(time)
    check_time(step, "step")
    began, slope = clock.perf_counter(), _second_order(metric, forced)
    count = max(1, math.ceil(time / step - 1e-9))
    h = time / count
    state = _state(metric, start, velocity)
    states = [state]
    for i in range(count):
        a = slope(state)
        b = slope(state + h / 2 * a)
        c = slope(state + h / 2 * b)
        d = slope(state + h * c)
        state = state + h / 6 * (a + 2 * b + 2 * c + d)
        if not torch.isfinite(state).all():
            raise RuntimeError(f"the path left the finite numbers at time {(i + 1) * h:g}: take a shorter step")
        states.append(state)
    times = h * torch.arange(count + 1, device=state.device).to(state.dtype)
    return _path(metric, times, torch.stack(states), 4 * count, began, forced)


def acceleration(metric: DiffusionMetric, x: Tensor, v: Tensor, *, forced: bool = True) -> Tensor:
    """``-inverse(metric) grad f - Gamma(v, v)`` at x, of shape (d,); without the loss's part where not ``forced``."""
    gradients, seconds = metric.sample_losses.along(x, v)
    gradient = gradients.mean(dim=0)
    apart = gradients - gradient
    pull = metric.eps / len(apart) * (apart.T @ seconds)
    if forced:
        pull = pull + gradient
    return -metric.solve(apart, pull)


def check_time(value: object, name: str = "time") -> None:
    """Refuse what is no length of time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a float, got {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be finite and above 0, got {value}")


def _second_order(metric: DiffusionMetric, forced: bool) -> _Slope:
    def slope(state: Tensor) -> Tensor:
        x, v = state.chunk(2)
        return torch.cat([v, acceleration(metric, x, v, forced=forced)])

    return slope


def _state(metric: DiffusionMetric, start: Point, *velocity: Point) -> Tensor:
    x = metric.point(start)
    if not velocity:
        return x
    return torch.cat([x, -metric.gradient(x) if velocity[0] is None else metric.point(velocity[0])])


def _solve(
    metric: DiffusionMetric,
    slope: _Slope,
    state: tuple[Point, ...],
    time: float,
    points: int,
    method: str,
    rtol: float,
    atol: float,
    forced: bool,
    dear: int = 1,
) -> Path:
    """Integrate by SciPy; a slope counts as ``dear`` evaluations."""
    one_of("method", method, METHODS)
    whole("points", points, 2)
    check_time(rtol, "rtol")
    check_time(atol, "atol")
    integrate: Any = require("scipy.integrate", "diagnostics")
    began, begin = clock.perf_counter(), _state(metric, *state)

    def numbers(t: float, y: Any) -> Any:
        found = slope(torch.as_tensor(y, dtype=begin.dtype, device=begin.device))
        if not torch.isfinite(found).all():
            raise RuntimeError(f"the loss or a derivative of it is not finite on the path at time {t:.6g}")
        return found.cpu().numpy()

    times = torch.linspace(0, time, points, dtype=begin.dtype, device="cpu")
    found = integrate.solve_ivp(
        numbers, (0.0, float(times[-1])), begin.cpu().numpy(), method, times.numpy(), rtol=rtol, atol=atol
    )
    if not found.success:
        raise RuntimeError(f"{method} could not follow the path beyond time {found.t[-1]:.6g}: {found.message}")
    states = torch.as_tensor(found.y.T, dtype=begin.dtype, device=begin.device)
    return _path(metric, times.to(begin.device), states, dear * int(found.nfev), began, forced)


def _path(metric: DiffusionMetric, times: Tensor, states: Tensor, evaluations: int, began: float, forced: bool) -> Path:
    """Make a path of states, with its velocities where these hold none, and its energy."""
    d = len(metric.weights)
    positions, velocities, energy = states[:, :d], [], []
    for state in states:
        x = state[:d]
        gradients = metric.sample_losses.gradients(x)
        gradient = gradients.mean(dim=0)
        v = state[d:] if len(state) > d else -gradient
        apart = (gradients - gradient) @ v
        kinetic = (v.square().sum() + metric.eps * apart.square().mean()) / 2
        velocities.append(v)
        energy.append(kinetic + metric.sample_losses.losses(x).mean() if forced else kinetic)
    return Path(
        times, positions, torch.stack(velocities), torch.stack(energy), evaluations, clock.perf_counter() - began
    )
