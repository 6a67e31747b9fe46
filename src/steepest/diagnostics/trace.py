"""The trace of a loss's curvature matrix, from products with random vectors."""

import statistics
from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from steepest.diagnostics.intervals import interval_of, standard_error
from steepest.diagnostics.lanczos import Product
from steepest.diagnostics.products import MATRICES, Matrix, product_of
from steepest.diagnostics.samples import LossFunction
from steepest.diagnostics.subject import Filter, Subject, generator_of, one_of, whole


class Trace(NamedTuple):
    """What :func:`hessian_trace` found.

    ``value``: the estimate, without bias. ``standard_error`` of it, and ``low`` to ``high``, its 95 % interval by
    Student. ``products`` with the matrix; ``samples`` in the data, ``passes`` over them, ``seconds``.
    """

    value: float
    standard_error: float
    low: float
    high: float
    products: int
    samples: int
    passes: int
    seconds: float


def hessian_trace(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    *,
    matrix: Matrix = "hessian",
    method: Literal["hutch++", "hutchinson"] = "hutch++",
    products: int = 30,
    params: Filter | None = None,
    seed: int = 0,
) -> Trace:
    r"""The trace of the Hessian of the mean loss, or of a matrix near to it, with its error.

    .. code-block:: text

        hutchinson   tr M ~ mean over r of  z_r' M z_r                       z_r: random signs
        hutch++      tr M ~ tr(Q' M Q) + mean over r of  z_r' P M P z_r      Q: an orthonormal basis of M S, S: signs
                                                                             P = I - Q Q'

    Hutch++ takes a third of its products each for ``M S``, for ``M Q`` and for the vectors ``z``. Where few eigenvalues
    make up most of the trace, as in networks, its error is far smaller; the error given is that of its second part, the
    first is exact.

    The model runs in evaluation mode, and is left as it was, as for :func:`largest_hessian_eigenvalue`.

    Args:
        model: as for :func:`hessian_eigenvalues`, and so are ``loss_fn``, ``data``, ``matrix`` and ``params``.
        method: ``"hutch++"`` or ``"hutchinson"``.
        products: with the matrix, each a pass over the data; at least 2, for Hutch++ at least 6.
        seed: of the random vectors.

    Raises:
        TypeError, ValueError, RuntimeError: as for :func:`hessian_eigenvalues`.
        MissingExtraError: SciPy is not installed.

    Source: Hutchinson, Communications in Statistics, Simulation and Computation 18 (1989); Meyer, Musco, Musco,
    Woodruff, "Hutch++: Optimal stochastic trace estimation", SOSA 2021, arXiv 2010.09649, algorithm 1.

    Example:
        >>> line = nn.Linear(2, 1, bias=False)
        >>> inputs, targets = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
        >>> found = hessian_trace(line, nn.MSELoss(), [(inputs, targets)])
        >>> round(found.value, 4), round(found.standard_error, 4)  # of 2/n X'X = diag(9, 1)
        (10.0, 0.0)
    """
    subject = Subject(model, loss_fn, data, params)
    one_of("matrix", matrix, MATRICES)
    one_of("method", method, ("hutch++", "hutchinson"))
    whole("products", products, 6 if method == "hutch++" else 2)
    generator = generator_of(seed)
    with subject.looked_at():
        product = product_of(subject, matrix)
        exact, basis, left = 0.0, None, products
        if method == "hutch++":
            exact, basis, used = _take_sketch(subject, product, min(products // 3, subject.size), generator)
            left -= used
        probes = [_probe(subject, product, basis, generator) for _ in range(left)]
    mean, error = exact + statistics.fmean(probes), standard_error(probes)
    low, high = interval_of(mean, error, len(probes) - 1)
    return Trace(mean, error, low, high, products, subject.samples, subject.passes, subject.seconds)


def _take_sketch(
    subject: Subject, product: Product, size: int, generator: torch.Generator
) -> tuple[float, Tensor, int]:
    """Take the trace within the space that a few products span; returns its basis and the number of products."""
    images = torch.stack([product(_draw_signs(subject, generator)) for _ in range(size)], dim=1)
    basis, _ = torch.linalg.qr(images)
    within = sum(float(column.dot(product(column))) for column in basis.T.contiguous())
    return within, basis, 2 * size


def _probe(subject: Subject, product: Product, basis: Tensor | None, generator: torch.Generator) -> float:
    """Take one estimate of the trace outside of the basis."""
    vector = _draw_signs(subject, generator)
    if basis is not None:
        vector = vector - basis @ (basis.T @ vector)
    return float(vector.dot(product(vector)))


def _draw_signs(subject: Subject, generator: torch.Generator) -> Tensor:
    signs = torch.randint(0, 2, (subject.size,), generator=generator, device="cpu") * 2 - 1
    return signs.to(subject.dtype).to(subject.device)
