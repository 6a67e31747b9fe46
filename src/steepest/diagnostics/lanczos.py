"""The Lanczos process: the greatest eigenvalue of a symmetric matrix that can only be multiplied by."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Times the machine epsilon and the largest |eigenvalue| seen: what cannot be told from 0 in this precision.
ROUNDING = 32


class HessianEigenvalue(NamedTuple):
    """What :func:`largest_hessian_eigenvalue` found.

    ``value``: the eigenvalue, below 0 only if all are. ``residual``: ``||H v - value v||`` for the unit vector ``v``
    that belongs to it, computed anew at the end; some eigenvalue lies within this distance of ``value``.
    ``iterations``: Lanczos steps, each one Hessian-vector product. ``converged``: whether the search ended by itself,
    not for want of ``iterations``, and the residual is within the tolerance.
    """

    value: float
    residual: float
    iterations: int
    converged: bool


def lanczos(product: Callable[[Tensor], Tensor], start: Tensor, iterations: int, tolerance: float) -> HessianEigenvalue:
    """Greatest eigenvalue of the symmetric matrix that ``product`` multiplies by.

    Example:
        >>> spectrum = torch.tensor([-5.0, 0.0, 2.0], dtype=torch.float64)
        >>> found = lanczos(lambda v: spectrum * v, torch.ones(3, dtype=torch.float64), 100, 1e-3)
        >>> round(found.value, 6), found.iterations
        (2.0, 3)
    """
    epsilon = torch.finfo(start.dtype).eps
    basis = [start / _compute_norm(start)]
    # Seen from the basis, the matrix is tridiagonal.
    diagonal: list[float] = []
    beside: list[float] = []
    before = -math.inf
    while True:
        image = product(basis[-1])
        diagonal.append(float(basis[-1].dot(image)))
        # All earlier vectors, and twice: rounding brings them back, and with them copies of eigenvalues already found.
        for v in basis * 2:
            image.addcmul_(v, v.dot(image), value=-1)
        beyond = float(_compute_norm(image))
        values, vectors = _decompose(diagonal, beside)
        value, weights = float(values[-1]), vectors[:, -1].tolist()
        rounding = ROUNDING * epsilon * float(values.abs().max())
        allowed = max(tolerance * abs(value), rounding)
        # A start vector with little of the greatest eigenvalue's can have a small residual at a lower one: the value
        # must have come to rest too.
        settled = beyond * abs(weights[-1]) <= allowed and value - before <= allowed
        exhausted = beyond <= rounding or len(basis) == start.numel()
        if settled or exhausted or len(basis) == iterations:
            break
        before = value
        beside.append(beyond)
        basis.append(image / beyond)
    vector = torch.zeros_like(start)
    for weight, v in zip(weights, basis, strict=True):
        vector.add_(v, alpha=weight)
    vector /= _compute_norm(vector)
    image = product(vector)
    value = float(vector.dot(image))
    residual = float(_compute_norm(image - value * vector))
    converged = (settled or exhausted) and residual <= max(tolerance * abs(value), rounding)
    return HessianEigenvalue(value, residual, len(basis), converged)


def _decompose(diagonal: list[float], beside: list[float]) -> tuple[Tensor, Tensor]:
    """Find eigenvalues, ascending, and eigenvectors of a tridiagonal symmetric matrix; small, and so on the host."""
    middle = torch.tensor(diagonal, dtype=torch.float64, device="cpu").diag()
    below = torch.tensor(beside, dtype=torch.float64, device="cpu").diag(-1)
    values, vectors = torch.linalg.eigh(middle + below)  # it reads the lower half alone
    return values, vectors


def _compute_norm(vector: Tensor) -> Tensor:
    """Compute the L2 norm from scaled numbers: the squares of small float32 numbers would vanish."""
    peak = vector.abs().max()
    scaled: Tensor = torch.linalg.vector_norm(vector / peak.clamp(min=torch.finfo(vector.dtype).tiny))
    return peak * scaled
