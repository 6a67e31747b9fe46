"""The gradient noise scale: the batch size at which noise and signal of a gradient are equally strong."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sized
from typing import NamedTuple

import torch
from torch import Tensor, nn

from steepest.diagnostics.intervals import student_quantile
from steepest.diagnostics.per_sample import check_samples
from steepest.diagnostics.samples import LossFunction, Samples
from steepest.diagnostics.subject import Filter, Subject, whole

PIECES = 64  # the data are cut into at least so many, if they have as many samples
FEW = 8  # batches that are reckoned with, if data cannot tell
NUMBERS = 2**28  # of summed gradients that are held


class NoiseScale(NamedTuple):
    """What :func:`gradient_noise_scale` found; ``value`` and its 95 % interval, ``low`` to ``high``, in samples.

    ``value`` is not a number where the signal cannot be told from 0: then the data are too few, and ``low`` is what
    they say. ``high`` is infinite where they do not bound it. ``signal``: ``|G|^2``, 0 where its estimate is below;
    ``trace``: ``tr Sigma``; with their standard errors. ``note`` says what is missing. ``samples`` in the data,
    ``passes`` over them, ``seconds``.
    """

    value: float
    low: float
    high: float
    signal: float
    signal_error: float
    trace: float
    trace_error: float
    note: str
    samples: int
    passes: int
    seconds: float


def gradient_noise_scale(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    *,
    params: Filter | None = None,
    groups: int = 32,
) -> NoiseScale:
    r"""The noise scale ``B = tr Sigma / |G|^2`` with an interval, from one pass over independent samples.

    .. code-block:: text

        G      the expected gradient,  Sigma  the covariance of one sample's gradient
        g_i    the mean gradient of a piece of b_i samples;  n = sum b_i,  g = sum b_i g_i / n

        tr Sigma ~ (sum_i b_i |g_i|^2 - n |g|^2) / (pieces - 1)
        |G|^2    ~ mean over pairs of groups of  g_j' g_l

    A batch much smaller than ``B`` is mostly noise: twice the batch makes nearly twice the progress a step. In one much
    larger most samples are wasted. It grows as training goes on; measure it where you want to know it.

    Numerator and denominator are estimated without bias and apart, then divided. The interval is Fieller's, which knows
    that a denominator near 0 bounds nothing; the variance of the signal is that of a U-statistic over the groups, the
    others are jackknifed. The samples must be independent draws: shuffled data, one pass.

    The model runs in evaluation mode: BatchNorm with its running statistics, since in training mode a sample has no
    gradient of its own. It is left as it was, as for :func:`largest_hessian_eigenvalue`.

    **Cost**: one gradient of every sample; ``groups`` copies of the chosen parameters.

    Args:
        model: as for :func:`largest_hessian_eigenvalue`, and so are ``loss_fn``, ``data`` and ``params``. Batches are
            cut into smaller pieces where there are few.
        groups: of pieces, at least 4; fewer where there are fewer pieces, or where they would not fit into memory.

    Raises:
        TypeError: an argument is of the wrong kind; ``loss_fn`` does not take what the model returns.
        ValueError: an argument is out of range, nothing is trainable or chosen, there are fewer than 4 samples.
        RuntimeError: the loss or a gradient is not finite.
        MissingExtraError: SciPy is not installed.

    Source: McCandlish, Kaplan, Amodei et al., "An empirical model of large-batch training", arXiv 1812.06162, equation
    2.9 and appendix A.1; Fieller, J. R. Stat. Soc. B 16 (1954).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> line, targets = nn.Linear(20, 1, bias=False), 0.1 + torch.randn(512, 1)
        >>> with torch.no_grad():
        ...     _ = line.weight.zero_()
        >>> found = gradient_noise_scale(line, nn.MSELoss(), [(torch.ones(512, 20), targets)])
        >>> found.low < 100 < found.high  # Var / mean^2 of 0.1 + noise
        True
    """
    subject = Subject(model, loss_fn, data, params)
    groups = max(4, min(whole("groups", groups, 4), NUMBERS // subject.size))
    per_batch = math.ceil(PIECES / max(_count_batches(data) * subject.ranks, 1))
    with subject.looked_at():
        sums = _Sums(subject, groups)
        losses, counts = [], []
        for samples in subject.batches():
            check_samples(subject, samples)
            for piece in _cut(samples, per_batch):
                losses.append(sums.add(piece))
                counts.append(piece.count)
        subject.note_losses(losses, counts)
        gram, table = sums.gather()
    if len(table) < 4:
        raise ValueError(f"data must give at least 4 samples, got {subject.samples}")
    found = _estimate(gram, table)
    if not all(map(math.isfinite, (found.signal, found.trace))):
        raise RuntimeError("the loss is finite but its gradient is not")
    low, high = _divide(found, student_quantile(len(gram) - 1))
    bounded = math.isfinite(high)
    return NoiseScale(
        found.trace / found.signal if bounded else math.nan,
        low,
        high,
        max(found.signal, 0.0),
        math.sqrt(found.signal_variance),
        found.trace,
        math.sqrt(found.trace_variance),
        "" if bounded else "the signal is too weak for so few samples: there is no upper bound",
        subject.samples,
        subject.passes,
        subject.seconds,
    )


def _count_batches(data: Iterable[object]) -> int:
    """Count the batches of this rank; a few, where that is not known before a pass."""
    try:
        return len(data) if isinstance(data, Sized) else FEW
    except TypeError:  # a DataLoader of an IterableDataset
        return FEW


def _cut(samples: Samples, pieces: int) -> Iterator[Samples]:
    """Cut a batch into pieces of nearly equal size."""
    pieces = min(pieces, samples.count)
    edges = [samples.count * i // pieces for i in range(pieces + 1)]
    for start, stop in itertools.pairwise(edges):
        yield samples.rows(start, stop)


class _Sums:
    """Sum the gradients of pieces in groups, dealt out in turn."""

    def __init__(self, subject: Subject, groups: int) -> None:
        self._subject = subject
        self._of_samples = torch.zeros(groups, subject.size, dtype=subject.dtype, device=subject.device)
        # Of each group: samples, pieces, and the sum of b |g|^2.
        self._table = torch.zeros(groups, 3, dtype=torch.float64, device=subject.device)
        self._pieces = 0

    def add(self, piece: Samples) -> Tensor:
        """Add a piece; returns its loss."""
        # Ranks deal in turn too, as one process would deal what they hold.
        subject = self._subject
        group = (self._pieces * subject.ranks + subject.rank) % len(self._table)
        loss, flat = subject.differentiate(piece)
        self._of_samples[group].add_(flat, alpha=piece.count)
        self._table[group] += torch.stack(
            [flat.new_tensor(piece.count), flat.new_tensor(1), piece.count * flat.dot(flat)]
        ).to(self._table)
        self._pieces += 1
        return loss

    def gather(self) -> tuple[Tensor, Tensor]:
        """Gather the Gram matrix of the groups' sums and their table, on the host, of the groups that hold anything."""
        sums, table = self._subject.total(self._of_samples), self._subject.total(self._table).cpu()
        used = (table[:, 0] > 0).to(sums.device)
        sums = sums[used]
        return (sums @ sums.T).double().cpu(), table[table[:, 0] > 0]


class _Estimates(NamedTuple):
    """Hold what the groups say, with variances and the covariance of the two; the signal may be below 0."""

    signal: float
    signal_variance: float
    trace: float
    trace_variance: float
    covariance: float


def _estimate(gram: Tensor, table: Tensor) -> _Estimates:
    """Estimate signal and trace from the products of the groups' sums and the groups' table."""
    groups, sizes = len(gram), table[:, 0]
    means = gram / torch.outer(sizes, sizes)
    apart = means - means.diagonal().diag()
    trace = _find_trace(gram.sum(), table.sum(dim=0))
    signal = apart.sum() / (groups * (groups - 1))
    # Without one group each.
    traces = _find_trace(gram.sum() - 2 * gram.sum(dim=1) + gram.diagonal(), table.sum(dim=0) - table)
    signals = (apart.sum() - 2 * apart.sum(dim=1)) / ((groups - 1) * (groups - 2))
    traces, signals = traces - traces.mean(), signals - signals.mean()
    share = (groups - 1) / groups
    jackknifed = float(share * (signals**2).sum())
    variance = _find_pair_variance(apart)
    return _Estimates(
        float(signal),
        variance if variance > 0 else jackknifed,
        max(float(trace), 0.0) if trace.isfinite() else math.nan,  # below 0 by rounding only
        float(share * (traces**2).sum()),
        float(share * (traces * signals).sum()),
    )


def _find_trace(total: Tensor, sums: Tensor) -> Tensor:
    """Find tr Sigma from the square of the sum of all gradients, and the table's sums."""
    samples, pieces, squares = sums.unbind(dim=-1)
    trace: Tensor = (squares - total / samples) / (pieces - 1)
    return trace


def _find_pair_variance(apart: Tensor) -> float:
    """Find the variance of the mean product of two groups, as a U-statistic and without bias; it may fall below 0.

    Args:
        apart: the products, with zeros for those of a group with itself.
    """
    n = len(apart)
    squares, rows, whole_sum = (apart**2).sum(), (apart.sum(dim=1) ** 2).sum(), apart.sum()
    both = squares / (n * (n - 1))  # E (g_1'g_2)^2
    one = (rows - squares) / (n * (n - 1) * (n - 2))  # E (g_1'g_2)(g_1'g_3)
    none = (whole_sum**2 - 4 * rows + 2 * squares) / (n * (n - 1) * (n - 2) * (n - 3))  # E (g_1'g_2)(g_3'g_4)
    return float(2 / (n * (n - 1)) * (2 * (n - 2) * (one - none) + both - none))


def _divide(found: _Estimates, quantile: float) -> tuple[float, float]:
    """Divide trace by signal: Fieller's interval of the positive ratios that they do not rule out."""
    limit = math.sqrt(found.trace_variance * found.signal_variance)  # the three have been estimated apart
    covariance = max(-limit, min(limit, found.covariance))
    square = found.signal**2 - quantile**2 * found.signal_variance
    middle = found.trace * found.signal - quantile**2 * covariance
    constant = found.trace**2 - quantile**2 * found.trace_variance
    root = math.sqrt(max(middle**2 - square * constant, 0.0))
    if square > 0 and found.signal > 0 and middle + root >= 0:
        return max((middle - root) / square, 0.0), (middle + root) / square
    return constant / (middle + root) if constant > 0 and middle + root > 0 else 0.0, math.inf
