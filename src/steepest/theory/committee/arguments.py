"""Checks of what a committee is asked."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from steepest.diagnostics.subject import one_of, whole
from steepest.optim.arguments import check_number
from steepest.theory.committee.integrals import Array
from steepest.theory.committee.order_parameters import OrderParameters, covariance_fault
from steepest.theory.committee.rule import ACTIVATIONS, STARTS, Activation, Rule, Start
from steepest.theory.committee.starts import Beginning, mixture


def positive(name: str, value: object) -> float:
    """A finite number above 0."""
    check_number(name, value, "a finite number above 0", lambda x: 0 < x < math.inf)
    return float(value)  # type: ignore[arg-type]


def not_negative(name: str, value: object) -> float:
    """A finite number of at least 0."""
    check_number(name, value, "a finite number of at least 0", lambda x: 0 <= x < math.inf)
    return float(value)  # type: ignore[arg-type]


def finite_array(name: str, value: object, dims: int) -> Array:
    """An array of finite numbers, in float64, of so many dimensions, none of which is empty."""
    try:
        found = np.array(value.detach().cpu().numpy() if isinstance(value, Tensor) else value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, got {type(value).__name__}") from error
    if found.ndim != dims or not found.size:
        raise ValueError(f"{name} must have {dims} dimension{'s' * (dims > 1)}, none empty, got shape {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got {found[~np.isfinite(found)][0]}")
    return found


def rule_of(
    activation: Activation, lr: float, lr_output: float | None, noise: float, weight_decay: float, train: str
) -> Rule:
    """The rule of arguments of :class:`~steepest.theory.committee.Committee`."""
    one_of("activation", activation, ACTIVATIONS)
    first = one_of("train", train, ("first", "both")) == "first"
    if first and lr_output is not None:
        raise ValueError(f"lr_output must be None unless train='both', got {lr_output!r}")
    lr = positive("lr", lr)
    second = lr if lr_output is None else positive("lr_output", lr_output)
    found = not_negative("noise", noise), not_negative("weight_decay", weight_decay)
    return Rule(activation, lr, None if first else second, *found)


def units_of(name: str, value: int | ArrayLike | Tensor) -> tuple[int, Array | None]:
    """How many units, and their weights (units, N) if these were given."""
    if isinstance(value, int):
        return whole(name, value, 1), None
    weights = finite_array(name, value, 2)
    return len(weights), weights


def outputs_of(name: str, value: ArrayLike | Tensor | None, units: int) -> Array | None:
    """Output weights, one for each unit."""
    if value is None:
        return None
    found = finite_array(name, value, 1)
    if len(found) != units:
        raise ValueError(f"{name} must hold a weight for each of {units} units, got {len(found)}")
    return found


def beginning_of(
    teacher: int | ArrayLike | Tensor,
    student: int | ArrayLike | Tensor,
    start: Start | None,
    teacher_output: ArrayLike | Tensor | None,
    student_output: ArrayLike | Tensor | None,
    both: bool,
) -> Beginning:
    """The teacher and the student of arguments of :class:`~steepest.theory.committee.Committee`."""
    m, b = units_of("teacher", teacher)
    k, w = units_of("student", student)
    if b is not None and w is not None:
        dimension_of(None, teacher=b, student=w)
    a = outputs_of("teacher_output", teacher_output, m)
    v = outputs_of("student_output", student_output, k)
    a = np.ones(m) if a is None else a
    if w is not None and start is not None:
        raise ValueError(f"start must be None where student is given as weights, got {start!r}")
    name = one_of("start", "random" if start is None else start, STARTS)
    if name in ("informed", "denoiser") and k < m:
        raise ValueError(f"start={name!r} takes at least as many units as the teacher's {m}, got {k}")
    if w is not None and v is None:
        v = np.ones(k)
    return Beginning(b, w, a, name, mixture(name, k, a, both, v))


def ascending(times: ArrayLike | Tensor) -> Array:
    """Times (P,), at least one, from 0 on, in their order."""
    found = finite_array("times", times, 1)
    if found[0] < 0 or (np.diff(found) < 0).any():
        raise ValueError(f"times must ascend from at least 0, got {found.tolist()}")
    return found


def seeds_of(seeds: object) -> tuple[int, ...]:
    """Seeds of runs: given, or the first so many."""
    if not isinstance(seeds, list | tuple | range):
        return tuple(range(whole("seeds", seeds, 1)))
    if not seeds:
        raise ValueError("seeds must hold at least one, got none")
    return tuple(whole("seeds", seed) for seed in seeds)


def rows_of(inputs: Tensor | ArrayLike | None) -> Tensor | None:
    """Inputs (rows, ...) as a matrix (rows, N), in their own precision."""
    if inputs is None:
        return None
    found = inputs.detach().cpu() if isinstance(inputs, Tensor) else torch.from_numpy(np.asarray(inputs))
    if found.dim() < 2 or not found.numel() or not found.dtype.is_floating_point:
        raise ValueError(
            "inputs must be floating-point numbers of shape (rows, ...), got "
            f"{str(found.dtype).removeprefix('torch.')} of shape {tuple(found.shape)}"
        )
    if not torch.isfinite(found).all():
        raise ValueError("inputs must be finite")
    return found.flatten(1)


def dimension_of(n: int | None, **matrices: Array | Tensor | None) -> int:
    """The one N of all that are given.

    Raises:
        ValueError: there is none, or there are two.
    """
    found = {name: int(m.shape[1]) for name, m in matrices.items() if m is not None}
    if n is not None:
        found = {"N": whole("N", n, 1), **found}
    if not found:
        raise ValueError("N must be given where neither teacher, student nor inputs are arrays, got None")
    if len({*found.values()}) > 1:
        raise ValueError(
            f"N must be one number, got {', '.join(f'{count} of {name}' for name, count in found.items())}"
        )
    return next(iter(found.values()))


def checked_start(start: OrderParameters, k: int, m: int) -> OrderParameters:
    """Order parameters from which a prediction can start, in float64.

    Raises:
        TypeError, ValueError: they are none, of other shapes, or no covariance.
    """
    if not isinstance(start, OrderParameters):
        raise TypeError(f"start must be OrderParameters, got {type(start).__name__}")
    shapes = {"Q": (k, k), "R": (k, m), "T": (m, m), "v": (k,), "A": (m,)}
    found = OrderParameters(*(finite_array(f"start.{n}", p, len(shapes[n])) for n, p in start._asdict().items()))
    for name, array in found._asdict().items():
        if array.shape != shapes[name]:
            raise ValueError(f"start.{name} must have shape {shapes[name]}, got {array.shape}")
    if not (np.allclose(found.Q, found.Q.T) and np.allclose(found.T, found.T.T)):
        raise ValueError("start.Q and start.T must be symmetric")
    if (lowest := covariance_fault(found)) is not None:
        raise ValueError(f"start must be a covariance of local fields, got one with an eigenvalue of {lowest:.2g}")
    return found
