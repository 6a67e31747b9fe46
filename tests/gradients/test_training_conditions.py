"""Every estimator of the gradient under every condition of training: the weights of the plain float32 run."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from steepest import SymmetricNoise, calibrate
from tests.ranks import RANKS, on_ranks

STEPS, BATCH = 6, 32
OVERFLOW = 2  # the step whose batch overflows, where one is planted
# A batch that is summed in parts gives other roundings, 2^-24 each: relative to the weights.
FLOAT32 = 1e-6
# bfloat16 has 8 bits: a product is off by up to 2^-8, a gradient by a few times that, of either sign: relative to the
# way the weights went. Seen is 2^-8. Where it decides whether an element is 0 or +-K, the root of it: sqrt(2^-8).
BFLOAT16, BFLOAT16_TERNARY = 2**-6, 2**-3
EXACT = 0.0  # a GradScaler's powers of two round nothing


class Estimator(NamedTuple):
    """How a gradient is estimated: in which contexts backward runs, once in each."""

    attach: Callable[[nn.Module], Sequence[Callable[[], AbstractContextManager]]]
    split: bool = False  # each context sees its own half of the batch
    bfloat16: float = BFLOAT16


def symmetric(sides: int = 2) -> Callable[[nn.Module], Sequence[Callable[[], AbstractContextManager]]]:
    def attach(model: nn.Module):
        noise = SymmetricNoise(model.named_parameters(), alpha=0.5, sides=sides, seed=3)
        return [noise.plus, noise.minus][:sides]

    return attach


def calibrated(calibrator: str, **options) -> Callable[[nn.Module], Sequence[Callable[[], AbstractContextManager]]]:
    def attach(model: nn.Module):
        calibrate(model, calibrator, seed=3, **options)
        return [nullcontext]

    return attach


ESTIMATORS = {
    "none": Estimator(lambda model: [nullcontext]),
    "ssgd split": Estimator(symmetric(), split=True),
    "ssgd full": Estimator(symmetric()),
    "one-sided": Estimator(symmetric(sides=1)),
    "csgd bernoulli": Estimator(calibrated("bernoulli", keep=0.5)),
    "csgd lipschitz": Estimator(calibrated("lipschitz"), bfloat16=BFLOAT16_TERNARY),
    "csgd learned": Estimator(calibrated("learned", rate=0.5)),
}


class Condition(NamedTuple):
    """How a model is trained; the default is the plain run."""

    tolerance: float | None = EXACT  # None: bfloat16's, which depends on the estimator
    micro_batches: int = 1
    forward: Callable[[], AbstractContextManager] = nullcontext  # around the model and the loss
    around: Callable[[], AbstractContextManager] = nullcontext  # around all contexts of the estimator
    scaler: bool = False
    overflows: bool = False  # the planted step has infinite gradients, and must not be taken
    ranks: int = 1
    no_sync: bool = False  # all but the last backward of a step


PLAIN = Condition()
autocast = functools.partial(torch.autocast, "cpu", torch.bfloat16)
CONDITIONS = {
    "bfloat16 autocast": Condition(None, forward=autocast),
    "bfloat16 autocast around the contexts": Condition(None, around=autocast),
    "accumulation": Condition(FLOAT32, micro_batches=4),
    "GradScaler": Condition(EXACT, scaler=True),
    "GradScaler, overflow": Condition(EXACT, scaler=True, overflows=True),
    "GradScaler, overflow, bfloat16 autocast, accumulation": Condition(
        None, scaler=True, overflows=True, forward=autocast, micro_batches=4
    ),
    "DDP": Condition(FLOAT32, ranks=RANKS),
    "DDP, no_sync": Condition(FLOAT32, ranks=RANKS, no_sync=True),
    "DDP, no_sync, accumulation": Condition(FLOAT32, ranks=RANKS, no_sync=True, micro_batches=4),
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 5))


def batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(BATCH, 1, 6, 6, generator=generator)
    return x, torch.randint(5, (BATCH,), generator=generator)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def train(estimator: Estimator, condition: Condition, rank: int = 0) -> Tensor:
    """The weights after some steps."""
    model = network()
    points = estimator.attach(model)
    replica = DistributedDataParallel(model) if condition.ranks > 1 else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, enabled=condition.scaler)
    for step in range(STEPS):
        optimizer.zero_grad()
        x, y = batch(step)
        parts = torch.arange(BATCH).chunk(len(points) if estimator.split else 1)
        with condition.around():
            for i, point in enumerate(points):
                own = parts[i % len(parts)][rank :: condition.ranks]
                with point():
                    for j, rows in enumerate(own.chunk(condition.micro_batches)):
                        last = (i, j) == (len(points) - 1, condition.micro_batches - 1)
                        with replica.no_sync() if condition.no_sync and not last else nullcontext():
                            with condition.forward():
                                loss = nn.functional.cross_entropy(replica(x[rows]), y[rows])
                            if condition.scaler and condition.overflows and step == OVERFLOW and last:
                                loss = loss * 3e38
                            scaler.scale(loss / len(points) / condition.micro_batches).backward()
        if condition.overflows and not condition.scaler and step == OVERFLOW:
            continue
        scaler.step(optimizer)
        scaler.update()
    if condition.scaler:
        assert scaler.get_scale() == (2.0**11 if condition.overflows else 2.0**12)
    return weights(model)


@functools.cache
def plain_run(estimator: str, without_a_step: bool) -> Tensor:
    return train(ESTIMATORS[estimator], PLAIN._replace(overflows=without_a_step))


def _named(estimator: str, condition: str) -> tuple[Estimator, Condition]:
    return ESTIMATORS[estimator], CONDITIONS[condition]


def _of_several_ranks() -> Iterator[tuple[str, str]]:
    return ((e, c) for e in ESTIMATORS for c, condition in CONDITIONS.items() if condition.ranks > 1)


def on_rank(rank: int) -> dict[tuple[str, str], Tensor]:
    return {case: train(*_named(*case), rank=rank) for case in _of_several_ranks()}


@functools.cache
def ranks() -> list[dict[tuple[str, str], Tensor]]:
    """What each rank ended with, in all cases: starting the ranks takes longer than all they do."""
    return on_ranks(on_rank)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.slow
def test_the_weights_are_those_of_the_plain_run(estimator, condition):
    chosen = CONDITIONS[condition]
    expected = plain_run(estimator, chosen.overflows)
    if chosen.ranks > 1:
        ends = [seen[estimator, condition] for seen in ranks()]
        assert torch.equal(*ends)
    else:
        ends = [train(ESTIMATORS[estimator], chosen)]
    if chosen.tolerance is None:
        allowed = ESTIMATORS[estimator].bfloat16 * (expected - weights(network())).norm()
    else:
        allowed = chosen.tolerance * expected.norm()
    assert (ends[0] - expected).norm() <= allowed
    # No other estimator, and not the run with the other steps, would pass.
    others = [plain_run(name, chosen.overflows) for name in ESTIMATORS if name != estimator]
    assert all(
        (ends[0] - other).norm() > 2 * allowed for other in [*others, plain_run(estimator, not chosen.overflows)]
    )
