"""Norm test and inner-product test: against their formulas, and with intervals that hold the truth."""

import math

import pytest
import torch
from torch import nn

from steepest.diagnostics import gradient_noise_scale, inner_product_test, norm_test
from tests.diagnostics.problems import dense_gradients, mlp, samples

LOSS = nn.CrossEntropyLoss()


class Linear(nn.Module):
    """Its output is w'x, so that a sample's gradient of the mean output is the sample itself."""

    def __init__(self, size):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size, dtype=torch.float64))

    def forward(self, x):
        return x @ self.w


def on(rows, test, **kwargs):
    return test(Linear(rows.shape[1]), lambda o, t: o.mean(), [(rows, torch.zeros(len(rows)))], **kwargs)


def test_the_inner_product_test_is_its_formula():
    rows = dense_gradients(mlp(), LOSS, *samples())
    mean = rows.mean(dim=0)
    along = rows @ mean
    variance = float(along.var() / mean.square().sum() ** 2)
    found = inner_product_test(mlp(), LOSS, [samples()], 5, theta=0.7)
    assert math.isclose(found.value, math.sqrt(variance / 5), rel_tol=1e-9)
    assert math.isclose(found.smallest_batch, variance / 0.7**2, rel_tol=1e-9)
    assert found.passed == (found.value <= 0.7)
    assert found.low < found.value < found.high
    assert (found.batch_size, found.samples, found.passes) == (5, 20, 2)


def test_the_norm_test_is_the_noise_scale_in_another_dress():
    rows = 1 + torch.randn(256, 6, generator=torch.Generator().manual_seed(0)).double()
    noise = on(rows, gradient_noise_scale)
    found = on(rows, norm_test, batch_size=7, theta=0.5)
    for name in ("value", "low", "high"):
        assert math.isclose(getattr(found, name), math.sqrt(getattr(noise, name) / 7), rel_tol=1e-12)
    assert math.isclose(found.smallest_batch, noise.value / 0.25, rel_tol=1e-12)
    assert found.passed
    assert not on(rows, norm_test, batch_size=1, theta=0.5).passed


@pytest.mark.parametrize("test", [norm_test, inner_product_test])
def test_at_the_smallest_batch_the_value_is_theta(test):
    rows = 1 + torch.randn(256, 6, generator=torch.Generator().manual_seed(0)).double()
    batch = on(rows, test, batch_size=1, theta=0.01).smallest_batch
    assert on(rows, test, batch_size=math.ceil(batch), theta=0.01).passed
    assert not on(rows, test, batch_size=math.floor(batch), theta=0.01).passed


def test_noise_at_right_angles_counts_for_the_norm_alone():
    rows = torch.randn(256, 2, generator=torch.Generator().manual_seed(0)).double()
    rows[:, 0] = 1
    rows[:, 1] -= rows[:, 1].mean()
    assert on(rows, inner_product_test, batch_size=4).value < 1e-12
    assert on(rows, norm_test, batch_size=4).value > 0.3


def test_the_interval_of_the_inner_product_test_is_honest():
    """The gradient along itself has the variance 4 and the length 1: sqrt(4 / 16)."""
    generator, inside = torch.Generator().manual_seed(0), 0
    for _ in range(100):
        noise = torch.randn(400, 2, generator=generator).double()
        found = on(torch.tensor([8.0, 0.0]) + 16 * noise * torch.tensor([1.0, 0.05]), inner_product_test, batch_size=16)
        scaled = found.value * 4  # sqrt of Var / |g|^2, of the g that was found
        mean = float((8 + 16 * noise[:, 0]).mean())
        inside += found.low <= 16 / abs(mean) / 4 <= found.high
        assert math.isclose(scaled, float((16 * noise[:, 0]).std()) / abs(mean), rel_tol=0.05)
    assert inside >= 90


@pytest.mark.parametrize("test", [norm_test, inner_product_test])
def test_without_a_signal_nothing_is_large_enough(test):
    rows = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)).double()
    rows = torch.cat([rows, -rows])
    found = on(rows - rows.mean(dim=0), test, batch_size=10**6)
    if test is norm_test:
        assert math.isnan(found.value)
        assert math.isnan(found.smallest_batch)
    assert not found.passed or found.value <= 0.9
    assert math.isinf(found.high) or test is inner_product_test
    nothing = on(torch.zeros(8, 3).double(), test, batch_size=4)
    assert not nothing.passed
    assert math.isnan(nothing.smallest_batch)
    assert nothing.high == math.inf


@pytest.mark.parametrize("test", [norm_test, inner_product_test])
def test_fewer_than_four_samples_are_refused(test):
    with pytest.raises(ValueError, match="data must give at least 4 samples, got 3"):
        test(mlp(), LOSS, [samples(3)], 2)


def test_a_loss_that_is_a_sum_is_refused():
    with pytest.raises(RuntimeError, match="loss_fn the mean over the samples it is given"):
        inner_product_test(mlp(), nn.CrossEntropyLoss(reduction="sum"), [samples()], 2)
