"""Trajectories: the shared step against torch.optim.SGD to the last bit, the methods against float64 textbook loops."""

import functools
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim import ScaledSGD
from tests.optim import textbook


def small_network(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)


def train_steps(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randn(11, 5, generator=generator, dtype=torch.float64).to(next(model.parameters()).dtype)
        optimizer.zero_grad()
        model(x).square().sin().mean().backward()
        optimizer.step()


class UnitScaled(ScaledSGD):
    """The step with an explicit device scale of 1."""

    normalizes = True

    def scale(self, group, norms):
        return norms.grad * 0 + 1


PATHS = {
    "loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "chosen": {},
}


def sgd_cases():
    """Each path against the same path of torch's, whose paths differ in their last bits."""
    dtypes = [torch.float32, torch.float64, torch.bfloat16]
    for family, path, momentum, nesterov, weight_decay, maximize, dtype in itertools.product(
        [ScaledSGD, UnitScaled],
        ["loop", "foreach", "fused"],
        [0.0, 0.9],
        [False, True],
        [0.0, 0.01],
        [False, True],
        dtypes,
    ):
        impossible = nesterov and (momentum == 0 or path == "fused")
        # torch 2.13's own fused kernel is wrong in half precision (pytorch issue 191763).
        torch_is_wrong = (path, dtype) == ("fused", torch.bfloat16)
        # With a norm to mask by, the path over lists adds `(momentum - 1) * m + d` to m: equal, but for rounding.
        rounds = family is UnitScaled and path == "foreach"
        if not (impossible or torch_is_wrong or rounds):
            options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay, "maximize": maximize}
            yield pytest.param(
                family,
                path,
                dtype,
                options,
                id=f"{family.__name__}-{path}-{dtype}-{'-'.join(map(str, options.values()))}",
            )


@functools.cache
def trained_by_torch(path, dtype, **options):
    """The network and its optimizer; every family is held against the same."""
    model = small_network(dtype=dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, **options, **PATHS[path])
    train_steps(model, optimizer, 50)
    return model, optimizer


@pytest.mark.parametrize(("family", "path", "dtype", "options"), list(sgd_cases()))
def test_scale_one_is_torch_sgd_bit_for_bit(family, path, dtype, options):
    ours = small_network(dtype=dtype)
    mine = family(ours.parameters(), lr=0.05, **options, **PATHS[path])
    train_steps(ours, mine, 50)
    theirs, reference = trained_by_torch(path, dtype, **options)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, q)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        expected = reference.state[q].get("momentum_buffer")
        assert expected is None or torch.equal(mine.state[p]["momentum_buffer"], expected)
    assert not torch.equal(next(ours.parameters()), next(small_network(dtype=dtype).parameters()))


SHAPES = {"a.weight": (4, 3), "a.bias": (4,), "b.weight": (2, 4), "b.bias": (2,)}
LAYERS = [[0, 1], [2, 3]]
TENSORS = [[0], [1], [2], [3]]
# Ill-scaled on purpose: the layers' gradients differ by three decades.
CURVATURE = [30.0, 0.5, 0.03, 1.0]


def start() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape) for shape in SHAPES.values()]


def textbook_gradient(weights: list[np.ndarray]) -> list[np.ndarray]:
    """Gradient of sum_i c_i * sum(cosh(w) + w * tanh(sum of all weights))."""
    total = np.tanh(sum(w.sum() for w in weights))
    pull = (1 - total**2) * sum(c * w.sum() for c, w in zip(CURVATURE, weights, strict=True))
    return [c * (np.sinh(w) + total) + pull for c, w in zip(CURVATURE, weights, strict=True)]


def loss(params: list[Tensor]) -> Tensor:
    total = torch.tanh(torch.stack([p.sum() for p in params]).sum())
    return torch.stack([c * (p.cosh() + p * total).sum() for c, p in zip(CURVATURE, params, strict=True)]).sum()


def ours(path, optimizer_class, steps, named, groups=1, **options) -> list[np.ndarray]:
    params = [nn.Parameter(torch.from_numpy(w)) for w in start()]
    given = list(zip(SHAPES, params, strict=True)) if named else params
    # Two groups that cut through the layers: weights in one, biases in the other.
    layout = given if groups == 1 else [{"params": given[0::2]}, {"params": given[1::2]}]
    optimizer = optimizer_class(layout, **options, **PATHS[path])
    for _ in range(steps):
        optimizer.zero_grad()
        loss(params).backward()
        optimizer.step()
    return [p.detach().numpy() for p in params]


@functools.cache
def expected_of(method, layout=None, **options) -> list[np.ndarray]:
    """Of the textbook, which knows neither paths nor groups; ``layout`` says what it takes for a block."""
    blocks = [] if layout is None else [{"layers": LAYERS, "tensors": TENSORS}[layout]]
    return method(start(), textbook_gradient, 30, *blocks, **options)


DECAYS = [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True}]
MOMENTA: list[dict[str, object]] = [
    {"momentum": 0.0},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"maximize": True, "momentum": 0},
]
STEPS = [(path, m) for path in PATHS for m in MOMENTA if not (path == "fused" and "nesterov" in m)]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("path", "momentum"), STEPS, ids=str)
@pytest.mark.parametrize("decay", [*DECAYS, {"weight_decay": 0.1, "normalize_decay": True}], ids=str)
def test_sngm_is_the_textbook(decay, momentum, groups, path):
    options = {"lr": 0.02, **decay, **momentum}
    expected = expected_of(textbook.sngm, **options)
    agree(ours(path, SNGM, 30, named=groups == 2, groups=groups, **options), expected)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("ratio", [None, 0.02])
@pytest.mark.parametrize(("path", "momentum"), STEPS, ids=str)
@pytest.mark.parametrize("decay", DECAYS, ids=str)
def test_block_normalized_is_the_textbook(decay, momentum, ratio, named, groups, path):
    options = {"lr": 0.02, "ratio": ratio, **decay, **momentum}
    expected = expected_of(textbook.block_normalized, "layers" if named else "tensors", **options)
    agree(ours(path, BlockNormalizedSGD, 30, named=named, groups=groups, **options), expected)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("path", "momentum"), STEPS, ids=str)
@pytest.mark.parametrize("decay", DECAYS, ids=str)
def test_lars_is_the_textbook(decay, momentum, named, groups, path):
    options = {"lr": 0.5, "trust": 0.01, **decay, **momentum}
    expected = expected_of(textbook.lars, "layers" if named else "tensors", **options)
    agree(ours(path, LARS, 30, named=named, groups=groups, **options), expected)


def agree(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    moved = max(np.abs(e - s).max() for e, s in zip(expected, start(), strict=True))
    assert moved > 1e-2
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-12, atol=1e-12)
