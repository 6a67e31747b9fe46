"""Many runs of SGD at once from one start, and of the diffusion that stands for it: the cloud that they make."""

import math
import time as clock
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from steepest.diagnostics.diffusion.metric import DiffusionMetric, Point
from steepest.diagnostics.diffusion.paths import check_time
from steepest.diagnostics.subject import generator_of, whole

# From positions (R, d) to where they are a step later, and the random numbers' generator.
_Step = Callable[[Tensor, torch.Generator], Tensor]


class Cloud(NamedTuple):
    """Where many runs are.

    ``times`` (T,): lr times the steps taken; ``positions`` (T, R, d) of R runs; ``evaluations``: of one sample's
    gradient; ``seconds``.
    """

    times: Tensor
    positions: Tensor
    evaluations: int
    seconds: float


def sgd_paths(
    metric: DiffusionMetric,
    *,
    lr: float,
    batch_size: int,
    steps: int,
    replicas: int,
    seed: int = 0,
    replacement: bool = True,
    every: int = 1,
    start: Point = None,
) -> Cloud:
    """Plain SGD from one start, many runs at once, each with batches of its own.

    .. code-block:: text

        x <- x - lr * mean over a batch of g_n(x)        the covariance of that mean is
        D / B                           with replacement
        (D / B) (N - B) / (N - 1)       without, within a batch; every step draws from all N samples anew

    Without momentum and weight decay, and not the epochs of a ``DataLoader``, whose batches share no sample and so
    are not independent.

    Args:
        lr: learning rate, above 0.
        batch_size: samples in a batch, B; at most N without replacement.
        steps: how many, at least 1.
        replicas: how many runs, R.
        seed: of the batches; the same on every device.
        replacement: whether a batch may hold a sample more than once.
        every: positions of every so many steps are returned, and the start.
        start: weights; the model's own by default.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.
        RuntimeError: a run diverged to weights that are not finite.

    Example:
        >>> from torch import nn
        >>> line = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(line.weight, 1.0)
        >>> metric = DiffusionMetric(line, nn.MSELoss(), [(torch.ones(2, 1), torch.zeros(2, 1))], eps=0.0)
        >>> sgd_paths(metric, lr=0.25, batch_size=1, steps=3, replicas=2).positions[:, :, 0]
        tensor([[1.0000, 1.0000],
                [0.5000, 0.5000],
                [0.2500, 0.2500],
                [0.1250, 0.1250]], dtype=torch.float64)
    """
    check_time(lr, "lr")
    whole("batch_size", batch_size, 1)
    if not replacement and batch_size > metric.samples:
        raise ValueError(
            f"batch_size must be at most the {metric.samples} samples when drawn without replacement, got {batch_size}"
        )

    def step(x: Tensor, generator: torch.Generator) -> Tensor:
        rows = draw_rows(metric.samples, batch_size, len(x), replacement, generator).to(x.device)
        return x - lr * metric.sample_losses.of_replicas(x, rows).mean(dim=1)

    return _run(metric, step, lr, steps, replicas, seed, every, start, replicas * batch_size)


def diffusion_paths(
    metric: DiffusionMetric,
    *,
    lr: float,
    batch_size: int,
    steps: int,
    replicas: int,
    seed: int = 0,
    substeps: int = 1,
    every: int = 1,
    start: Point = None,
) -> Cloud:
    """Paths of the stochastic differential equation that stands for SGD, by the Euler-Maruyama method.

    .. code-block:: text

        dx = -grad f dt + sqrt(2 D / beta) dW        1/beta = lr / (2 B);  one step of SGD is a time of lr

    The noise is Gaussian, where SGD's is that of a few samples. The root of D is never formed: the samples' gradients
    less their mean, times independent normal numbers, over ``sqrt(N)``, have covariance D.

    Args:
        lr, batch_size, steps, replicas, seed, every, start: as of :func:`sgd_paths`, with the times of that; here
            ``batch_size`` says how strong the noise is, and every step takes the gradients of all N samples.
        substeps: steps of the method for one of SGD.

    Raises:
        TypeError, ValueError, RuntimeError: as :func:`sgd_paths`.

    Source: the equation is the usual one (Fioresi, Chaudhari, Soatto, Entropy 22, 101 (2020), arXiv 1910.12194).

    Example:
        >>> from torch import nn
        >>> line = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(line.weight, 1.0)
        >>> metric = DiffusionMetric(line, nn.MSELoss(), [(torch.ones(2, 1), torch.zeros(2, 1))], eps=0.0)
        >>> found = diffusion_paths(metric, lr=0.25, batch_size=1, steps=1, replicas=1, substeps=1000)
        >>> round(float(found.positions[-1]), 3)  # no noise: exp(-2 * 0.25)
        0.606
    """
    check_time(lr, "lr")
    whole("batch_size", batch_size, 1)
    whole("substeps", substeps, 1)
    dt = lr / substeps
    n = metric.samples

    def step(x: Tensor, generator: torch.Generator) -> Tensor:
        rows = torch.arange(n, device=x.device).expand(len(x), n)
        for _ in range(substeps):
            gradients = metric.sample_losses.of_replicas(x, rows)
            gradient = gradients.mean(dim=1)
            normal = torch.randn(len(x), n, generator=generator, dtype=x.dtype, device="cpu").to(x.device)
            noise = torch.einsum("rn,rnd->rd", normal, gradients - gradient[:, None]) / n**0.5
            x = x - dt * gradient + math.sqrt(lr * dt / batch_size) * noise
        return x

    return _run(metric, step, lr, steps, replicas, seed, every, start, replicas * n * substeps)


def draw_rows(samples: int, batch_size: int, replicas: int, replacement: bool, generator: torch.Generator) -> Tensor:
    """Numbers of samples for a batch of every replica, of shape (replicas, batch_size)."""
    if replacement:
        return torch.randint(samples, (replicas, batch_size), generator=generator, device="cpu")
    keys = torch.rand(replicas, samples, generator=generator, dtype=torch.float64, device="cpu")
    return keys.topk(batch_size, dim=1).indices


def _run(
    metric: DiffusionMetric,
    step: _Step,
    lr: float,
    steps: int,
    replicas: int,
    seed: int,
    every: int,
    start: Point,
    evaluations: int,
) -> Cloud:
    whole("steps", steps, 1)
    whole("replicas", replicas, 1)
    whole("every", every, 1)
    generator, began = generator_of(seed), clock.perf_counter()
    x = metric.point(start).expand(replicas, -1)
    times, positions = [0.0], [x]
    for i in range(1, steps + 1):
        x = step(x, generator)
        if not torch.isfinite(x).all():
            raise RuntimeError(
                f"a run diverged: after {i} steps its weights are not finite; take a smaller lr than {lr:g}"
            )
        if i % every == 0:
            times.append(i * lr)
            positions.append(x)
    at = torch.tensor(times, dtype=x.dtype, device=x.device)
    return Cloud(at, torch.stack(positions), steps * evaluations, clock.perf_counter() - began)
