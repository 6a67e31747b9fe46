"""The covariance of the samples' gradients: its largest eigenpairs, its trace, its effective rank."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from steepest.diagnostics.intervals import standard_error
from steepest.diagnostics.lanczos import Product, compute_norm, eigenpairs
from steepest.diagnostics.per_sample import per_sample_gradients
from steepest.diagnostics.products import product_of
from steepest.diagnostics.samples import LossFunction
from steepest.diagnostics.spectrum import by_name
from steepest.diagnostics.subject import Filter, Subject, between, generator_of, whole

DENSE = 2**12  # samples or weights, of which a matrix is formed
NUMBERS = 2**27  # of gradients that are kept; beyond, they are computed anew in every pass


class Estimate(NamedTuple):
    """A value with its standard error."""

    value: float
    standard_error: float


class Covariance(NamedTuple):
    """What :func:`gradient_covariance` found.

    ``trace`` of D with its ``trace_error``, as an estimate from these samples. ``eigenvalues``: the largest, float64,
    descending; ``residuals``: ``||D v - value v||`` of the unit ``vectors``, (top, weights). ``effective_rank``:
    ``(tr D)^2 / tr D^2``, with its ``effective_rank_error``, 0 where ``tr D^2`` is exact. ``alignment`` with the
    Hessian, if asked for. ``converged``: whether the eigenvalues are within the tolerance. ``samples`` in the data,
    ``passes`` over them, ``seconds``.
    """

    trace: float
    trace_error: float
    eigenvalues: Tensor
    residuals: Tensor
    vectors: Tensor
    shapes: dict[str, torch.Size]
    effective_rank: float
    effective_rank_error: float
    alignment: Estimate | None
    converged: bool
    samples: int
    passes: int
    seconds: float

    def eigenvectors(self) -> dict[str, Tensor]:
        """The unit vectors by the parameters' names: of each, (top, \\*shape of the parameter)."""
        return by_name(self.vectors, self.shapes)

    def factor(self, batch_size: int, *, replacement: bool = True) -> float:
        """What D is multiplied by in the covariance of a mini-batch's mean gradient: 1/B, and without replacement
        (N - B) / (B (N - 1)).

        Raises:
            ValueError: ``batch_size`` is below 1, or above N without replacement.
        """
        whole("batch_size", batch_size, 1)
        if replacement:
            return 1 / batch_size
        if batch_size > self.samples:
            raise ValueError(f"batch_size must be at most {self.samples} without replacement, got {batch_size}")
        return (self.samples - batch_size) / (batch_size * max(self.samples - 1, 1))


def gradient_covariance(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    top: int = 10,
    *,
    params: Filter | None = None,
    hessian_products: int = 0,
    iterations: int = 300,
    tolerance: float | None = None,
    seed: int = 0,
) -> Covariance:
    r"""The covariance ``D`` of the gradients of N samples, which drives SGD's noise, without forming it.

    .. code-block:: text

        D = mean over k of (g_k - g)(g_k - g)'      g_k: the gradient of sample k,  g: their mean
        effective rank = (tr D)^2 / tr D^2          between 1 and min(weights, N - 1)
        alignment = tr(H D) / (||H|| ||D||)         Frobenius norms; 1 if D is a multiple of the Hessian

    The eigenvalues are found as by :func:`hessian_eigenvalues`, from the samples' gradients, which are kept where they
    take half a gigabyte at most, and else computed in every pass.

    The model runs in evaluation mode: BatchNorm with its running statistics, since in training mode a sample has no
    gradient of its own. It is left as it was, as for :func:`largest_hessian_eigenvalue`.

    **Cost**: one pass of every sample's own gradient, in which memory is bounded whatever the batches are; where they
    are not kept, another for each of at most ``iterations + top + 10`` products.

    Args:
        model: as for :func:`hessian_eigenvalues`, and so are ``loss_fn``, ``data`` and ``params``.
        top: eigenpairs, at least 1; those beyond the rank are 0.
        hessian_products: Hessian-vector products to spend on ``alignment``; 0, or at least 4.
        iterations: the most Lanczos steps, at least ``top``.
        tolerance: of the residuals, times the largest eigenvalue; by default next to rounding error where the gradients
            are kept, and 0.001 otherwise.
        seed: of random vectors.

    Raises:
        TypeError, ValueError: as for :func:`hessian_eigenvalues`.
        RuntimeError: the loss is not finite, or with ``hessian_products`` has no second derivative.

    Source: Fioresi, Chaudhari, Soatto, Entropy 22, 101 (2020), arXiv 1910.12194, for the role of D; Hutchinson (1989)
    for the traces of products.

    Example:
        >>> line, inputs = nn.Linear(2, 1, bias=False), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
        >>> with torch.no_grad():
        ...     _ = line.weight.zero_()
        >>> found = gradient_covariance(line, nn.MSELoss(), [(inputs, torch.ones(2, 1))])  # of (-6, 0), (0, -2)
        >>> [round(value, 4) for value in found.eigenvalues.tolist()], round(found.trace, 4), found.effective_rank
        ([10.0, 0.0], 10.0, 1.0)
    """
    subject = Subject(model, loss_fn, data, params)
    top = min(whole("top", top, 1), subject.size)
    whole("iterations", iterations, top)
    if whole("hessian_products", hessian_products, 0) in (1, 2, 3):
        raise ValueError(f"hessian_products must be 0 or at least 4, got {hessian_products}")
    generator = generator_of(seed)
    with subject.looked_at():
        seen = _observe(subject)
        if tolerance is None:
            tolerance = 100 * torch.finfo(subject.dtype).eps if seen.rows is not None else 1e-3
        between("tolerance", tolerance, 0, 1)
        product = seen.multiply_by_covariance(subject)

        def redraw() -> Tensor:
            return subject.draw(generator)

        found = eigenpairs(product, redraw(), top, "largest", iterations, tolerance, redraw)
        square = seen.find_square(subject, product, found.values, found.vectors, generator)
        alignment = _align(subject, seen, square.value, hessian_products, generator) if hessian_products else None
    rank = seen.trace**2 / square.value if square.value > 0 else 0.0
    return Covariance(
        seen.trace,
        seen.trace_error,
        torch.tensor(found.values, dtype=torch.float64, device="cpu").clamp_(min=0),
        torch.tensor(found.residuals, dtype=torch.float64, device="cpu"),
        found.vectors,
        {name: p.shape for name, p in subject.params.items()},
        rank,
        rank * square.standard_error / square.value if square.value > 0 else 0.0,
        alignment,
        found.converged,
        subject.samples,
        subject.passes,
        subject.seconds,
    )


@dataclass
class _Seen:
    """Hold what a first pass over the samples' gradients has seen; ``rows`` are centred, this rank's, if they fit.

    ``place`` is this rank's part of all samples, in the order of the ranks.
    """

    mean: Tensor
    trace: float
    trace_error: float
    rows: Tensor | None
    place: slice

    def multiply_by_covariance(self, subject: Subject) -> Product:
        """Multiply by D."""
        if (rows := self.rows) is not None:
            return lambda vector: subject.total(rows.T @ (rows @ vector)) / subject.samples
        uncentred = product_of(subject, "fisher")
        return lambda vector: uncentred(vector) - self.mean * self.mean.dot(vector)

    def find_square(
        self, subject: Subject, product: Product, values: list[float], vectors: Tensor, generator: torch.Generator
    ) -> Estimate:
        """Find tr D^2: the eigenvalues' squares, and what lies outside of their vectors."""
        if (rows := self.rows) is not None and (subject.size <= DENSE or (subject.ranks == 1 and len(rows) <= DENSE)):
            across = subject.total(rows.T @ rows) if subject.size <= DENSE else rows @ rows.T
            return Estimate(float(((across.double() / subject.samples) ** 2).sum()), 0.0)
        within, outside = math.fsum(value**2 for value in values), []
        for _ in range(10):
            vector = subject.draw(generator)
            vector = vector - vectors.T @ (vectors @ vector)
            outside.append(float(compute_norm(product(vector))) ** 2)
        return Estimate(within + math.fsum(outside) / len(outside), standard_error(outside))

    def draw_noise(self, subject: Subject, generator: torch.Generator) -> Tensor:
        """Draw a vector whose covariance is D: the samples' gradients, centred, added with random signs."""
        # Of all ranks' samples, so that no two share theirs, and all ranks go on from the same random numbers.
        signs = _draw_signs(subject.samples, subject, generator)[self.place]
        if (rows := self.rows) is not None:
            drawn = signs @ rows
        else:
            drawn = -signs.sum() * self.mean
            for samples in subject.batches():
                for _, some in per_sample_gradients(subject, samples):
                    drawn += signs[: len(some)] @ some
                    signs = signs[len(some) :]
        return subject.total(drawn) / math.sqrt(subject.samples)


def _observe(subject: Subject) -> _Seen:
    """Look at every sample's gradient once; a second time, if they cannot be kept."""
    total = torch.zeros(subject.size, dtype=subject.dtype, device=subject.device)
    kept: list[Tensor] | None = []
    losses, counts, held = [], [], 0
    for samples in subject.batches():
        for loss, rows in per_sample_gradients(subject, samples):
            total += rows.sum(dim=0)
            losses.append(loss.mean())
            counts.append(len(rows))
            held += rows.numel()
            if kept is not None:
                kept.append(rows)
            if held > NUMBERS:
                kept = None
    subject.note_losses(losses, counts)
    mean = subject.total(total) / subject.samples
    fits = subject.total_numbers(float(kept is None))[0] == 0
    rows_kept = None
    if kept is not None and fits:
        rows_kept = torch.cat(kept) - mean if kept else total.new_zeros(0, subject.size)
        squares = (rows_kept**2).sum(dim=1)
    else:
        again = (rows for samples in subject.batches() for _, rows in per_sample_gradients(subject, samples))
        squares = torch.cat([mean.new_zeros(0), *(((rows - mean) ** 2).sum(dim=1) for rows in again)])
    squares = squares.double()
    first, second = subject.total_numbers(float(squares.sum()), float((squares**2).sum()))
    n = subject.samples
    trace = first / n
    spread = max(second / n - trace**2, 0.0)
    before = sum(subject.counts_of_ranks(sum(counts))[: subject.rank])
    place = slice(before, before + sum(counts))
    return _Seen(mean, trace, math.sqrt(spread / max(n - 1, 1)), rows_kept, place)


def _align(subject: Subject, seen: _Seen, square: float, products: int, generator: torch.Generator) -> Estimate:
    """Align D with the Hessian: half of the products with noise of covariance D, half for the Hessian's norm."""
    multiply = product_of(subject, "hessian")
    of_both, of_hessian = [], []
    for _ in range(products // 2):
        noise = seen.draw_noise(subject, generator)
        of_both.append(float(noise.dot(multiply(noise))))
        image = multiply(_draw_signs(subject.size, subject, generator))
        of_hessian.append(float(compute_norm(image)) ** 2)
    both, norm = math.fsum(of_both) / len(of_both), math.fsum(of_hessian) / len(of_hessian)
    if norm == 0 or square == 0:
        return Estimate(math.nan, math.nan)
    value = both / math.sqrt(norm * square)
    relative = math.hypot(standard_error(of_both) / both, 0.5 * standard_error(of_hessian) / norm) if both else math.nan
    return Estimate(value, abs(value) * relative)


def _draw_signs(count: int, subject: Subject, generator: torch.Generator) -> Tensor:
    signs = torch.randint(0, 2, (count,), generator=generator, device="cpu") * 2 - 1
    return signs.to(subject.dtype).to(subject.device)
