"""How the eigenvalues of a loss's curvature matrix are spread, by stochastic Lanczos quadrature."""

import math
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from steepest.diagnostics.lanczos import lanczos_steps
from steepest.diagnostics.products import MATRICES, Matrix, product_of
from steepest.diagnostics.samples import LossFunction
from steepest.diagnostics.subject import Filter, Subject, between, generator_of, one_of, whole


class DensityCurve(NamedTuple):
    """A density at points: float64 tensors ``at``, ``density`` and its ``standard_error`` over the random vectors."""

    at: Tensor
    density: Tensor
    standard_error: Tensor


class Density(NamedTuple):
    """What :func:`hessian_density` found: a spectrum as weighted points, for each random vector.

    ``nodes`` and ``weights``: float64, (probes, iterations). The weights of a probe add up to 1; where it ended early,
    the last ones are 0. ``samples`` in the data, ``passes`` over them, ``seconds``.
    """

    nodes: Tensor
    weights: Tensor
    samples: int
    passes: int
    seconds: float

    def curve(self, points: int = 200, width: float | None = None) -> DensityCurve:
        """The density, every node drawn as a normal curve; its area is 1.

        Args:
            points: of the axis.
            width: the standard deviation of the normal curves; a hundredth of the spectrum's width by default.

        Raises:
            TypeError, ValueError: an argument is of the wrong kind or out of range.
        """
        whole("points", points, 2)
        if width is not None:
            between("width", width, 0, math.inf)
        seen = self.nodes[self.weights > 0]
        low, high = float(seen.min()), float(seen.max())
        width = width or max((high - low) / 100, 1e-12 + 1e-6 * max(abs(low), abs(high)))
        at = torch.linspace(low - 5 * width, high + 5 * width, points, dtype=torch.float64, device="cpu")
        bells = torch.exp(-0.5 * ((at[:, None, None] - self.nodes) / width) ** 2) / (width * math.sqrt(2 * math.pi))
        by_probe = (bells * self.weights).sum(dim=2)
        error = by_probe.std(dim=1) / math.sqrt(by_probe.shape[1])
        return DensityCurve(at, by_probe.mean(dim=1), error)


def hessian_density(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    *,
    matrix: Matrix = "hessian",
    probes: int = 4,
    iterations: int = 40,
    params: Filter | None = None,
    seed: int = 0,
) -> Density:
    r"""The density of the eigenvalues of the Hessian of the mean loss, or of a matrix near to it.

    .. code-block:: text

        for each random vector v:  Lanczos from v gives a tridiagonal T;  T = U diag(nodes) U'
        weights = squares of the FIRST components of T's eigenvectors;  v' f(M) v ~ ||v||^2 sum_i weights_i f(nodes_i)

    Most eigenvalues of a network are near 0, a few stand far out: look at the curve on a logarithmic axis.

    The model runs in evaluation mode, and is left as it was, as for :func:`largest_hessian_eigenvalue`.

    **Cost**: ``probes * iterations`` passes at most.

    Args:
        model: as for :func:`hessian_eigenvalues`, and so are ``loss_fn``, ``data``, ``matrix`` and ``params``.
        probes: random vectors, at least 2: the error bars come from their differences.
        iterations: Lanczos steps for each: so many points of the spectrum.
        seed: of the random vectors.

    Raises:
        TypeError, ValueError, RuntimeError: as for :func:`hessian_eigenvalues`.

    Source: Ubaru, Chen, Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", SIAM J. Matrix Anal.
    Appl. 38 (2017); for networks: Ghorbani, Krishnan, Xiao, arXiv 1901.10159.

    Example:
        >>> line = nn.Linear(2, 1, bias=False)
        >>> inputs, targets = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
        >>> found = hessian_density(line, nn.MSELoss(), [(inputs, targets)], probes=2)
        >>> [round(node, 4) for node in found.nodes[0].tolist()]  # of 2/n X'X = diag(9, 1)
        [1.0, 9.0]
    """
    subject = Subject(model, loss_fn, data, params)
    one_of("matrix", matrix, MATRICES)
    whole("probes", probes, 2)
    steps = min(whole("iterations", iterations, 1), subject.size)
    generator = generator_of(seed)
    with subject.looked_at():
        nodes, weights = (torch.zeros(probes, steps, dtype=torch.float64, device="cpu") for _ in range(2))
        product = product_of(subject, matrix)
        for i in range(probes):
            *_, last = islice(lanczos_steps(product, subject.draw(generator)), steps)
            nodes[i, : len(last.values)] = last.values
            weights[i, : len(last.values)] = last.vectors[0] ** 2
    return Density(nodes, weights, subject.samples, subject.passes, subject.seconds)
