"""The Lanczos process: eigenvalues at the ends of a symmetric matrix that can only be multiplied by."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Literal, NamedTuple

import torch
from torch import Tensor

# Times the machine epsilon and the largest |eigenvalue| seen: what cannot be told from 0 in this precision.
ROUNDING = 32
Product = Callable[[Tensor], Tensor]
Which = Literal["largest", "smallest", "both"]


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


class Eigenpairs(NamedTuple):
    """Eigenvalues, descending, the norms ``||A v - value v||``, computed anew, and the unit vectors, a row each."""

    values: list[float]
    residuals: list[float]
    vectors: Tensor
    iterations: int
    converged: bool


class Tridiagonal(NamedTuple):
    """A matrix as it is seen from an orthonormal basis of Lanczos vectors: ``diagonal``, what stands ``beside`` it, and
    its eigenvalues, ascending, with their vectors.

    ``beyond`` is the norm of what the last product has outside of the basis, 0 where that is rounding.
    """

    basis: list[Tensor]
    diagonal: list[float]
    beside: list[float]
    values: Tensor
    vectors: Tensor
    beyond: float

    @property
    def rounding(self) -> float:
        """What of a residual cannot be told from 0."""
        return ROUNDING * torch.finfo(self.basis[0].dtype).eps * float(self.values.abs().max())


def lanczos_steps(
    product: Product, start: Tensor, redraw: Callable[[], Tensor] | None = None, negligible: float = 0.0
) -> Iterator[Tridiagonal]:
    """The process with full reorthogonalisation, one product a step, until the vectors are used up.

    Args:
        redraw: where the basis holds all that the start vector can reach, go on from a vector of its own; without it
            that is the end. Only so are all copies of a multiple eigenvalue found.
        negligible: what of a product outside of the basis counts as nothing, times the largest |eigenvalue| seen, if it
            is more than rounding: after steps that left little, rounding has grown.
    """
    basis, diagonal, beside = [start / compute_norm(start)], list[float](), list[float]()
    while True:
        image = product(basis[-1])
        diagonal.append(float(basis[-1].dot(image)))
        _orthogonalize(image, basis)
        beyond = float(compute_norm(image))
        seen = Tridiagonal(basis, diagonal, beside, *_decompose(diagonal, beside), beyond)
        ended = beyond <= max(seen.rounding, negligible * float(seen.values.abs().max()))
        yield seen._replace(beyond=0.0) if ended else seen
        if len(basis) == start.numel() or (ended and redraw is None):
            return
        if ended and redraw is not None:
            image = redraw()
            _orthogonalize(image, basis)
            beyond = float(compute_norm(image))
        beside.append(0.0 if ended else beyond)
        basis.append(image / beyond)


def _decompose(diagonal: list[float], beside: list[float]) -> tuple[Tensor, Tensor]:
    """Find eigenvalues, ascending, and eigenvectors of a tridiagonal symmetric matrix; small, and so on the host."""
    middle = torch.tensor(diagonal, dtype=torch.float64, device="cpu").diag()
    below = torch.tensor(beside, dtype=torch.float64, device="cpu").diag(-1)
    values, vectors = torch.linalg.eigh(middle + below)  # it reads the lower half alone
    return values, vectors


def lanczos(product: Product, start: Tensor, iterations: int, tolerance: float) -> HessianEigenvalue:
    """Greatest eigenvalue of the symmetric matrix that ``product`` multiplies by.

    Example:
        >>> spectrum = torch.tensor([-5.0, 0.0, 2.0], dtype=torch.float64)
        >>> found = lanczos(lambda v: spectrum * v, torch.ones(3, dtype=torch.float64), 100, 1e-3)
        >>> round(found.value, 6), found.iterations
        (2.0, 3)
    """
    found = eigenpairs(product, start, 1, "largest", iterations, tolerance)
    return HessianEigenvalue(found.values[0], found.residuals[0], found.iterations, found.converged)


def eigenpairs(
    product: Product,
    start: Tensor,
    k: int,
    which: Which,
    iterations: int,
    tolerance: float,
    redraw: Callable[[], Tensor] | None = None,
) -> Eigenpairs:
    """``k`` eigenvalues at one end, or at either, of the symmetric matrix that ``product`` multiplies by.

    Ends when the residuals of all are at most ``tolerance`` times the largest of their absolute values, or rounding
    error, and the values have come to rest.

    Args:
        redraw: a random vector, for the copies of a multiple eigenvalue.

    Example:
        >>> spectrum = torch.tensor([-5.0, 0.0, 2.0, 2.0], dtype=torch.float64)
        >>> numbers = torch.Generator().manual_seed(0)
        >>> draw = lambda: torch.randn(4, dtype=torch.float64, generator=numbers)
        >>> found = eigenpairs(lambda v: spectrum * v, draw(), 2, "largest", 100, 1e-3, draw)
        >>> [round(value, 6) for value in found.values]
        [2.0, 2.0]
    """
    before: list[float] = []
    at_the_end: list[float] | None = None  # when the last start vector had been used up
    negligible = 0.0 if redraw is None else min(tolerance / 10, torch.finfo(start.dtype).eps ** (2 / 3))
    for step, seen in zip(count(1), lanczos_steps(product, start, redraw, negligible), strict=False):
        places = _choose(len(seen.values), k, which)
        wanted = seen.values[places].tolist()
        allowed = max(tolerance * max(map(abs, wanted)), seen.rounding)
        left = seen.beyond * float(seen.vectors[-1, places].abs().max())
        used_up = seen.beyond == 0.0
        if redraw is not None and (
            used_up or at_the_end is not None
        ):  # on from new ones, in case that there are copies
            settled = used_up and _are_near(wanted, at_the_end, allowed)
            at_the_end = wanted if used_up else at_the_end
        else:
            # A start vector with little of the greatest eigenvalue's can have a small residual at a lower one: the
            # values must have come to rest too.
            settled = used_up or (left <= allowed and _are_near(wanted, before, allowed))
        settled = settled and len(wanted) == min(start.numel(), 2 * k if which == "both" else k)
        settled = settled or (used_up and redraw is None) or step == start.numel()
        if settled or step == iterations:
            break
        before = wanted
    found = [_measure(product, _combine(seen.basis, seen.vectors[:, place])) for place in places]
    found.sort(key=lambda pair: -pair[0])
    values, residuals, vectors = zip(*found, strict=True)
    allowed = max(tolerance * max(map(abs, values)), seen.rounding)
    return Eigenpairs([*values], [*residuals], torch.stack(vectors), step, settled and max(residuals) <= allowed)


def _combine(basis: list[Tensor], weights: Tensor) -> Tensor:
    """Combine basis vectors into a unit vector."""
    vector = torch.zeros_like(basis[0])
    for weight, v in zip(weights.tolist(), basis, strict=False):
        vector.add_(v, alpha=weight)
    return vector.div_(compute_norm(vector))


def _measure(product: Product, vector: Tensor) -> tuple[float, float, Tensor]:
    """Measure the eigenvalue that belongs to a unit vector, and its residual."""
    image = product(vector)
    value = float(vector.dot(image))
    return value, float(compute_norm(image - value * vector)), vector


def _choose(there: int, k: int, which: Which) -> list[int]:
    """Choose places among eigenvalues in ascending order, the greatest first."""
    largest = range(there - 1, max(there - 1 - k, -1), -1)
    smallest = range(min(k, there) - 1, -1, -1)
    if which == "both":
        return sorted({*largest, *smallest}, reverse=True)
    return list(largest if which == "largest" else smallest)


def _are_near(now: list[float], before: list[float] | None, allowed: float) -> bool:
    if before is None or len(now) != len(before):
        return False
    return max(abs(a - b) for a, b in zip(now, before, strict=True)) <= allowed


def _orthogonalize(vector: Tensor, basis: list[Tensor]) -> None:
    """Take off all earlier vectors, and twice: rounding brings them back, and with them copies of eigenvalues."""
    for v in basis * 2:
        vector.addcmul_(v, v.dot(vector), value=-1)


def compute_norm(vector: Tensor) -> Tensor:
    """The L2 norm from scaled numbers: the squares of small float32 numbers would vanish."""
    peak = vector.abs().max()
    scaled: Tensor = torch.linalg.vector_norm(vector / peak.clamp(min=torch.finfo(vector.dtype).tiny))
    return peak * scaled
