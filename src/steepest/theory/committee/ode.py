"""The equations of motion of the order parameters, N to infinity, and their solution."""

import time as clock
from typing import Literal, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import root

from steepest.theory.committee.integrals import INTEGRALS, Array, Clips
from steepest.theory.committee.order_parameters import OrderParameters, covariance_fault, error_of
from steepest.theory.committee.rule import CONVENTIONS, Rule

Method = Literal["LSODA", "DOP853"]
METHODS: tuple[Method, ...] = ("LSODA", "DOP853")

LOOKS = 129  # times at which a path is looked at, whatever times are asked for


class Prediction(NamedTuple):
    """What theory says of a student, at P times.

    ``times`` (P,): steps over N; ``Q`` (P, K, K), ``R`` (P, K, M), ``v`` (P, K), and ``T`` (M, M), ``A`` (M,) of
    :class:`OrderParameters`; ``generalization_error`` (P,): half the mean squared error without the label's noise;
    ``clipped``: arguments of asin that had left [-1, 1]; ``evaluations`` of the right side; ``seconds``;
    ``conventions``: in words.
    """

    times: Array
    Q: Array
    R: Array
    T: Array
    v: Array
    A: Array
    generalization_error: Array
    clipped: int
    evaluations: int
    seconds: float
    conventions: str = CONVENTIONS

    def at(self, i: int) -> OrderParameters:
        """The order parameters at ``times[i]``."""
        return OrderParameters(self.Q[i], self.R[i], self.T, self.v[i], self.A)


class FixedPoint(NamedTuple):
    """Where the order parameters stay: ``residual`` is the largest derivative that is left there."""

    parameters: OrderParameters
    generalization_error: float
    residual: float


class Flow:
    r"""The right side of the equations, of a state (n,) that holds Q's upper triangle, R and v.

    .. code-block:: text

        c = (-v, A), over the student's and the teacher's fields;  pull_ia = lr v_i sum_b c_b I3(i, a, b)
        dR_in = pull_in - wd R_in
        dQ_ik = pull_ik + pull_ki - 2 wd Q_ik + lr^2 v_i v_k (sum_ab c_a c_b I4(i, k, a, b) + noise^2 J2(i, k))
        dv_i  = lr_output sum_b c_b I2(i, b) - wd v_i                                  0 where it is not trained

    The largest array is I4's, of K(K + 1)/2 x (K + M)^2 numbers of 8 bytes.
    """

    def __init__(self, rule: Rule, start: OrderParameters) -> None:
        self.rule, self.start, self.clips, self.evaluations = rule, start, Clips(), 0
        self._i2, self._j2, self._i3, i4 = INTEGRALS[rule.activation]
        if i4 is None:
            raise ValueError(
                f"activation must be 'erf' or 'linear' for a prediction, got {rule.activation!r}, whose average I4 has "
                "no closed form: simulate it; its generalization error of given order parameters is known"
            )
        self._i4 = i4
        self._k, self._m = start.R.shape
        self._i, self._j = np.triu_indices(self._k)
        self._units = np.arange(self._k)

    def pack(self, parameters: OrderParameters) -> Array:
        """The state of order parameters."""
        return np.concatenate([parameters.Q[self._i, self._j], parameters.R.ravel(), parameters.v])

    def unpack(self, state: Array) -> OrderParameters:
        """The order parameters of a state (..., n); Q is symmetric by construction."""
        q, r, v = np.split(state, [len(self._i), len(self._i) + self._k * self._m], axis=-1)
        full = np.empty((*state.shape[:-1], self._k, self._k))
        full[..., self._i, self._j] = full[..., self._j, self._i] = q
        r = r.reshape(*state.shape[:-1], self._k, self._m)
        return OrderParameters(full, r, self.start.T, v, self.start.A)

    def __call__(self, time: float, state: Array) -> Array:
        """The derivative of a state by time."""
        self.evaluations += 1
        rule, k, i, j = self.rule, self._k, self._i, self._j
        found = self.unpack(state)
        covariance, c, v = found.covariance(), found.outputs(), found.v
        pull = rule.lr * v[:, None] * (self._i3(covariance, self._units, self.clips) @ c)
        squared = self._i4(covariance, i, j, self.clips) @ c @ c
        squared = squared + rule.noise**2 * self._j2(covariance, i, j, self.clips)
        dq = pull[i, j] + pull[j, i] + rule.lr**2 * v[i] * v[j] * squared - 2 * rule.weight_decay * found.Q[i, j]
        dr = pull[:, k:] - rule.weight_decay * found.R
        dv = np.zeros(k)
        if rule.lr_output is not None:
            dv = rule.lr_output * (self._i2(covariance, self.clips)[:k] @ c) - rule.weight_decay * v
        return np.concatenate([dq, dr.ravel(), dv])


def integrate(rule: Rule, start: OrderParameters, times: Array, rtol: float, atol: float, method: Method) -> Prediction:
    """Follow the equations from ``start`` at time 0 to ``times`` (P,), which ascend.

    Raises:
        RuntimeError: they cannot be followed to the end, as where lr is too large, or the covariance of the fields is
            none any more.
    """
    began, flow = clock.perf_counter(), Flow(rule, start)
    state = flow.pack(start)
    looked_at = np.unique(np.concatenate([times, np.linspace(0, times[-1], LOOKS)]))
    states = state[None]
    if times[-1] > 0:
        with np.errstate(all="ignore"):  # a step that is tried and taken back may lead anywhere
            found = solve_ivp(flow, (0.0, float(times[-1])), state, method, looked_at, rtol=rtol, atol=atol)
        states = found.y.T[np.isfinite(found.y).all(axis=0)]
    if (lowest := covariance_fault(flow.unpack(states))) is not None:
        raise RuntimeError(
            f"the covariance of the local fields came to have an eigenvalue of {lowest:.2g}, by errors of {method}: "
            "take a smaller rtol and atol, or a greater asymmetry"
        )
    if len(states) < len(looked_at):
        raise RuntimeError(
            f"{method} could not follow the order parameters beyond time {looked_at[len(states) - 1]:g}: take a "
            f"smaller lr than {rule.lr:g}"
        )
    path = flow.unpack(states[np.searchsorted(looked_at, times)])
    error = error_of(path, rule.activation, flow.clips)
    return Prediction(
        times, path.Q, path.R, path.T, path.v, path.A, error,
        flow.clips.count, flow.evaluations, clock.perf_counter() - began,
    )  # fmt: skip


def fixed_point(rule: Rule, near: OrderParameters) -> FixedPoint:
    """Find where the right side of the equations is 0, by SciPy's hybrid method of Powell.

    Raises:
        RuntimeError: none is found from ``near``, or what is found is no covariance.
    """
    flow = Flow(rule, near)
    state = flow.pack(near)
    moving = len(state) - (len(near.v) if rule.lr_output is None else 0)

    def slope(part: Array) -> Array:
        derivative: Array = flow(0.0, np.concatenate([part, state[moving:]]))[:moving]
        return derivative

    with np.errstate(all="ignore"):
        found = root(slope, state[:moving], tol=1e-13, options={"factor": 0.1})  # a first step not too bold
    residual = float(np.abs(slope(found.x)).max())
    parameters = flow.unpack(np.concatenate([found.x, state[moving:]]))
    lowest = covariance_fault(parameters) if np.isfinite(found.x).all() else None
    if not residual <= 1e-9 * rule.lr or lowest is not None:
        raise RuntimeError(
            "no fixed point was found but one "
            + (f"with derivatives of up to {residual:.2g}" if lowest is None else f"with an eigenvalue of {lowest:.2g}")
            + ": give order parameters nearer to it, such as the end of a prediction"
        )
    return FixedPoint(parameters, float(error_of(parameters, rule.activation)), residual)
