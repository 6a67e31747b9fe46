"""Whether a batch is large enough: the norm test and the inner-product test."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import nn

from steepest.diagnostics.intervals import interval_of
from steepest.diagnostics.noise_scale import gradient_noise_scale
from steepest.diagnostics.per_sample import per_sample_gradients
from steepest.diagnostics.samples import LossFunction
from steepest.diagnostics.subject import Filter, Subject, between, whole


class BatchSizeTest(NamedTuple):
    """What :func:`norm_test` and :func:`inner_product_test` found.

    ``value``: the relative error of a batch's gradient, ``low`` to ``high`` its 95 % interval; the batch is large
    enough (``passed``) where it is at most ``theta``. ``smallest_batch``: the size at which it would be equal to
    ``theta``, in samples; not a number where the signal cannot be told from 0. ``samples`` in the data,
    ``passes`` over them, ``seconds``.
    """

    value: float
    low: float
    high: float
    passed: bool
    smallest_batch: float
    batch_size: int
    samples: int
    passes: int
    seconds: float


def norm_test(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    batch_size: int,
    *,
    theta: float = 0.9,
    params: Filter | None = None,
) -> BatchSizeTest:
    r"""Whether a batch's gradient is near the expected one, in length and direction.

    .. code-block:: text

        value = sqrt(tr Sigma / (B |G|^2)) <= theta        smallest batch = tr Sigma / (theta^2 |G|^2)

    It is the noise scale in another dress, with its interval: see :func:`gradient_noise_scale`, also for how the data
    must be. Where it fails, a step goes mostly where the noise goes.

    Args:
        model: as for :func:`gradient_noise_scale`, and so are ``loss_fn``, ``data`` and ``params``.
        batch_size: B, the batch that is asked about, in samples; ``data`` may hold any number.
        theta: the relative error that is allowed.

    Raises:
        TypeError, ValueError, RuntimeError: as for :func:`gradient_noise_scale`.
        MissingExtraError: SciPy is not installed.

    Source: Byrd, Chin, Nocedal, Wu, "Sample size selection in optimization methods for machine learning", Math.
    Programming 134 (2012), equation 3.8 with the expected gradient in the place of the batch's.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> line, targets = nn.Linear(1, 1, bias=False), 1 + torch.randn(512, 1)
        >>> with torch.no_grad():
        ...     _ = line.weight.zero_()
        >>> found = norm_test(line, nn.MSELoss(), [(torch.ones(512, 1), targets)], batch_size=64)
        >>> found.passed, found.low < 1 / 8 < found.high
        (True, True)
    """
    whole("batch_size", batch_size, 1)
    between("theta", theta, 0, math.inf)
    noise = gradient_noise_scale(model, loss_fn, data, params=params)
    value, low, high = (math.sqrt(x / batch_size) for x in (noise.value, noise.low, noise.high))
    return BatchSizeTest(
        value,
        low,
        high,
        value <= theta,
        noise.value / theta**2,
        batch_size,
        noise.samples,
        noise.passes,
        noise.seconds,
    )


def inner_product_test(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    batch_size: int,
    *,
    theta: float = 0.9,
    params: Filter | None = None,
) -> BatchSizeTest:
    r"""Whether a batch's gradient points downhill with high probability: its error along the gradient alone.

    .. code-block:: text

        value = sqrt(Var(g_k' g) / (B |g|^4)) <= theta     g_k: a sample's gradient,  g: the mean over the data

    Noise at right angles to the gradient does not count, which is most of it in a large network: so it asks for far
    smaller batches than :func:`norm_test`. The interval is that of the variance over the samples; ``g`` is taken as it
    is, so give far more samples than the answer.

    **Cost**: two passes, in one of which every sample's own gradient is taken.

    Args:
        model: as for :func:`gradient_covariance`, and so are ``loss_fn``, ``data`` and ``params``.
        batch_size: B, the batch that is asked about, in samples.
        theta: the relative error that is allowed.

    Raises:
        TypeError, ValueError, RuntimeError: as for :func:`gradient_covariance`; there are fewer than 4 samples.
        MissingExtraError: SciPy is not installed.

    Source: Bollapragada, Byrd, Nocedal, "Adaptive sampling strategies for stochastic optimization", SIAM J. Optim. 28
    (2018), arXiv 1710.11258, equation 2.6.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> line, targets = nn.Linear(1, 1, bias=False), 1 + torch.randn(512, 1)
        >>> with torch.no_grad():
        ...     _ = line.weight.zero_()
        >>> found = inner_product_test(line, nn.MSELoss(), [(torch.ones(512, 1), targets)], batch_size=64)
        >>> found.passed, found.low < 1 / 8 < found.high
        (True, True)
    """
    whole("batch_size", batch_size, 1)
    between("theta", theta, 0, math.inf)
    subject = Subject(model, loss_fn, data, params)
    with subject.looked_at():
        _, mean = subject.mean_gradient()
        losses, counts, found = [], [], [mean.new_zeros(0)]
        for samples in subject.batches():
            for loss, rows in per_sample_gradients(subject, samples):
                losses.append(loss.mean())
                counts.append(len(rows))
                found.append(rows @ mean)
        subject.note_losses(losses, counts)
        along = torch.cat(found).double()
    square = float(mean.double().dot(mean.double()))
    n = subject.samples
    if n < 4:
        raise ValueError(f"data must give at least 4 samples, got {n}")
    if not math.isfinite(square):
        raise RuntimeError("the loss is finite but its gradient is not")
    centred = along / square - 1 if square else along
    second, fourth = subject.total_numbers(float((centred**2).sum()), float((centred**4).sum()))
    variance = second / (n - 1) if square else math.inf
    error = math.sqrt(max(fourth / n - variance**2, 0.0) / n) if square else math.nan
    low, high = interval_of(variance, error, n - 1)
    value = math.sqrt(variance / batch_size)
    return BatchSizeTest(
        value,
        math.sqrt(max(low, 0.0) / batch_size),
        math.sqrt(high / batch_size),
        value <= theta,
        variance / theta**2 if square else math.nan,
        batch_size,
        n,
        subject.passes,
        subject.seconds,
    )
