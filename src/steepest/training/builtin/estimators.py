"""The built-in gradient estimators, at the values that their authors or sheets begin with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest.gradients import SymmetricNoise, calibrate
from steepest.optim.norms import full_norms, local, root_sum_square
from steepest.training.builtin.order_estimators import ORDER_ESTIMATORS
from steepest.training.definitions.estimator import Batch, Estimator, Resumable


@contextmanager
def _split(model: nn.Module, optimizer: Optimizer, seed: int, **options: Any) -> Iterator[Resumable]:
    """Take S-SGD with one half of the batch at each point, weighted by their sizes: without noise, the mean
    gradient."""
    noise = SymmetricNoise(model.named_parameters(), seed=seed, **options)

    def take(batch: Batch) -> Tensor:
        half = (len(batch) + 1) // 2
        with noise.plus():
            first = batch.backward(slice(None, half), half / len(batch))
        with noise.minus():
            return first + batch.backward(slice(half, None), 1 - half / len(batch))

    yield Resumable(take, (noise,))


@contextmanager
def _whole(model: nn.Module, optimizer: Optimizer, seed: int, **options: Any) -> Iterator[Resumable]:
    """Take S-SGD with the whole batch at both points."""
    noise = SymmetricNoise(model.named_parameters(), seed=seed, **options)

    def take(batch: Batch) -> Tensor:
        with noise.plus():
            first = batch.backward(weight=0.5)
        with noise.minus():
            return first + batch.backward(weight=0.5)

    yield Resumable(take, (noise,))


@contextmanager
def _one_sided(model: nn.Module, optimizer: Optimizer, seed: int, **options: Any) -> Iterator[Resumable]:
    noise = SymmetricNoise(model.named_parameters(), sides=1, seed=seed, **options)

    def take(batch: Batch) -> Tensor:
        with noise.plus():
            return batch.backward()

    yield Resumable(take, (noise,))


@contextmanager
def _sharpness_aware(model: nn.Module, optimizer: Optimizer, seed: int, *, rho: float) -> Iterator[Resumable]:
    """Take the gradient at ``w + rho * g / ||g||``, where ``g`` is the gradient at ``w``; the loss at ``w``.

    BatchNorm's running statistics are those of the passes at ``w``.

    Source: Foret, Kleiner, Mobahi, Neyshabur, "Sharpness-Aware Minimization", ICLR 2021, arXiv 2010.01412, algorithm 1.
    """

    def take(batch: Batch) -> Tensor:
        loss = batch.backward()
        climbed = [p for p in model.parameters() if p.grad is not None]
        saved = [p.detach().clone() for p in climbed]
        try:
            _climb(climbed, rho)
            with _statistics_kept(model):
                batch.backward()
        finally:
            with torch.no_grad():
                for p, weights in zip(climbed, saved, strict=True):
                    p.copy_(weights)
        return loss

    yield Resumable(take)


@torch.no_grad()
def _climb(params: list[nn.Parameter], rho: float) -> None:
    """Move by ``rho`` along the gradient, which is used up; nowhere if it is zero."""
    norm = root_sum_square(full_norms([p.grad for p in params if p.grad is not None]))
    scale = torch.where(norm > 0, rho / norm, torch.zeros_like(norm))
    for p in params:
        if p.grad is not None:
            local(p).add_(local(p.grad) * scale)
            p.grad = None


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Keep the running statistics of normalisation layers in training mode as they are."""
    tracking = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._NormBase) and m.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True


@contextmanager
def _calibrated(model: nn.Module, optimizer: Optimizer, seed: int, **options: Any) -> Iterator[Resumable]:
    handle = calibrate(model, seed=seed, optimizer=optimizer, **options)
    try:
        yield Resumable(parts=(handle,))
    finally:
        handle.remove()


_NOISE = {"alpha": 0.05, "noise": "sign", "per": "tensor"}
_ALL = (
    Estimator(
        "ssgd",
        _split,
        "points",
        options=_NOISE,
        smallest_batch=2,
        description="symmetric weight noise, half of the batch on either side",
    ),
    Estimator(
        "ssgd-full",
        _whole,
        "points",
        options=_NOISE,
        evaluations_per_step=2,
        description="symmetric weight noise, the whole batch on both sides",
    ),
    Estimator(
        "noise-sgd",
        _one_sided,
        "points",
        options=_NOISE,
        description="weight noise on one side",
    ),
    Estimator(
        "sam",
        _sharpness_aware,
        "points",
        options={"rho": 0.05},
        evaluations_per_step=2,
        description="sharpness-aware minimisation: the gradient a step uphill",
    ),
    Estimator(
        "csgd",
        _calibrated,
        "calibration",
        options={"calibrator": "bernoulli", "keep": 0.9, "per": "element"},
        description="calibrated gradient: a tenth dropped at random, the rest scaled up",
    ),
    Estimator(
        "csgd-lipschitz",
        _calibrated,
        "calibration",
        options={"calibrator": "lipschitz", "clip": None},
        description="calibrated gradient: each element at random 0 or as large as the largest",
    ),
    Estimator(
        "csgd-learned",
        _calibrated,
        "calibration",
        options={"calibrator": "learned", "rate": 0.01, "limits": (0.1, 10.0)},
        description="calibrated gradient: each filter scaled as it learns to be",
    ),
)
ESTIMATORS = {estimator.name: estimator for estimator in _ALL} | ORDER_ESTIMATORS
