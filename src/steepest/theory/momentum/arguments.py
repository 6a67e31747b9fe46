"""Checks of what the theory is asked: arrays of numbers, the rule's settings, and when they can be stable."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from steepest.diagnostics.subject import whole
from steepest.optim.arguments import check_number

Array = npt.NDArray[np.float64]
Numbers = float | Sequence[float] | Sequence[Sequence[float]] | npt.NDArray[np.floating | np.integer] | Tensor
Steps = int | Sequence[int] | npt.NDArray[np.integer]

ROUNDING = 1e-9  # relative to a matrix' largest entry: what another's arithmetic may have left


def numbers(name: str, value: object) -> Array:
    """An argument of finite numbers, a tensor among others, as a float64 array of its own."""
    given = value.detach().double().cpu().numpy() if isinstance(value, Tensor) and not value.is_complex() else value
    try:
        kind = np.asarray(given).dtype.kind
    except ValueError:  # rows of different lengths
        kind = "O"
    if kind not in "iuf":
        raise TypeError(f"{name} must be numbers, got {value!r}")
    found = np.array(given, dtype=np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got {value!r}")
    return found


def vector(name: str, value: object, size: int | None = None) -> Array:
    """An argument of shape (d,), at least one; a single number stands for ``size`` of them."""
    found = numbers(name, value)
    if found.ndim == 0 and size is not None:
        found = np.full(size, found)
    if found.ndim != 1 or found.size == 0 or (size is not None and found.size != size):
        words = "(d,)" if size is None else f"({size},)"
        raise ValueError(f"{name} must have shape {words}, got {found.shape}")
    return found


def symmetric(name: str, value: object) -> Array:
    """An argument that must be a symmetric matrix (d, d); what rounding left of asymmetry is taken out."""
    found = numbers(name, value)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or found.size == 0:
        raise ValueError(f"{name} must be a matrix of shape (d, d), got shape {found.shape}")
    off = float(np.abs(found - found.T).max())
    if off > ROUNDING * float(np.abs(found).max()):
        raise ValueError(f"{name} must be symmetric, got entries that differ by {off:g} from their mirror images")
    return (found + found.T) / 2


def covariance(name: str, value: object, size: int) -> Array:
    """An argument that must be a covariance (d, d): a number and (d,) are variances of independent noise."""
    found = numbers(name, value)
    matrix = symmetric(name, found) if found.ndim == 2 else np.diag(vector(name, found, size))
    if len(matrix) != size:
        raise ValueError(f"{name} must have shape ({size}, {size}), got {matrix.shape}")
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least < -ROUNDING * float(np.abs(matrix).max()):
        raise ValueError(f"{name} must be a covariance, without eigenvalues below 0, got {least:g}")
    return matrix


def step_counts(steps: object, name: str = "steps") -> npt.NDArray[np.int64]:
    """An argument that is a number of steps or an array of such, of any shape."""
    found = np.asarray(steps)
    if found.size == 0:
        return found.astype(np.int64)
    if found.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an int or an array of them, got {steps!r}")
    if found.min() < 0:
        raise ValueError(f"{name} must be at least 0, got {found.min()}")
    return found.astype(np.int64)


def numbered(name: str, value: object, most: int) -> int:
    """The index of what is counted from 1."""
    if whole(name, value, 1) > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")
    return whole(name, value) - 1


def check_settings(lr: object, momentum: object) -> None:
    """Refuse what are no settings of momentum SGD."""
    check_number("lr", lr, "a finite number above 0", lambda x: 0 < x < math.inf)
    check_number("momentum", momentum, "a number in [0, 1)", lambda x: 0 <= x < 1)


def check_exit(delta: object, probability: object) -> None:
    """Refuse what is no distance, or no probability of being beyond it."""
    check_number("delta", delta, "a finite number above 0", lambda x: 0 < x < math.inf)
    check_number("probability", probability, "a number in (0, 1)", lambda x: 0 < x < 1)


def check_stable(curvature: float, lr: float, momentum: float) -> None:
    """Refuse settings that diverge in a direction of this curvature: stable is ``lr curvature < 2 (1 + momentum)``."""
    if lr * curvature >= 2 * (1 + momentum):
        raise ValueError(
            f"lr must be below 2 (1 + momentum) / curvature = {2 * (1 + momentum) / curvature:g}, where momentum is "
            f"{momentum:g} and the largest curvature {curvature:g}, got {lr:g}: from there on the rule diverges"
        )
