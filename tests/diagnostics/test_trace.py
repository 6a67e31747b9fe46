"""The trace: against dense matrices, without bias, and with intervals that hold it as often as they say."""

import math

import pytest
import torch
from torch import nn

from steepest.diagnostics import hessian_trace
from tests.diagnostics.problems import DENSE, ONE_BATCH, Counted, Quadratic, mean, mlp, samples, symmetric

LOSS = nn.CrossEntropyLoss()
PARTS = [tuple(part) for part in zip(*(t.split([1, 12, 7]) for t in samples()), strict=True)]
SPECTRUM = [30.0, -8.0, 5.0, *(3 / i for i in range(1, 38))]


@pytest.mark.parametrize("matrix", DENSE)
@pytest.mark.parametrize("method", ["hutch++", "hutchinson"])
def test_a_network_against_its_dense_matrix(matrix, method):
    truth = float(DENSE[matrix](mlp(), LOSS, *samples()).trace())
    found = hessian_trace(mlp(), LOSS, PARTS, matrix=matrix, method=method)
    assert abs(found.value - truth) < 4 * found.standard_error
    assert found.low < found.value < found.high
    if matrix != "hessian":  # whose eigenvalues of both signs nearly cancel
        assert found.standard_error < (0.05 if method == "hutch++" else 0.2) * truth


@pytest.mark.parametrize(("method", "products"), [("hutch++", 12), ("hutch++", 30), ("hutchinson", 8)])
@pytest.mark.slow
def test_there_is_no_bias_and_the_interval_is_honest(method, products):
    model, truth = Quadratic(symmetric(SPECTRUM)), sum(SPECTRUM)
    runs = [hessian_trace(model, mean, ONE_BATCH, method=method, products=products, seed=seed) for seed in range(100)]
    values = torch.tensor([run.value for run in runs])
    assert abs(values.mean() - truth) < 4 * values.std() / math.sqrt(100)
    assert 0.75 < torch.tensor([run.standard_error for run in runs]).square().mean().sqrt() / values.std() < 1.3
    assert sum(run.low <= truth <= run.high for run in runs) >= 88


def test_hutch_is_sharper_where_few_eigenvalues_matter():
    model = Quadratic(symmetric(SPECTRUM))
    one, other = (hessian_trace(model, mean, ONE_BATCH, method=m) for m in ("hutch++", "hutchinson"))
    assert one.standard_error < 0.3 * other.standard_error


@pytest.mark.parametrize("spectrum", [[7.0, 3.0, *[0.0] * 30], [2.0], [-4.0, 1.0, 1.0], [0.0] * 5])
def test_a_matrix_of_low_rank_is_exact(spectrum):
    found = hessian_trace(Quadratic(symmetric(spectrum)), mean, ONE_BATCH)
    assert math.isclose(found.value, sum(spectrum), rel_tol=1e-10, abs_tol=1e-12)
    assert found.standard_error < 1e-10


@pytest.mark.parametrize(("method", "products"), [("hutch++", 6), ("hutch++", 17), ("hutchinson", 2)])
def test_products_are_passes(method, products):
    data = Counted([samples()])
    found = hessian_trace(mlp(), LOSS, data, method=method, products=products)
    assert (found.products, found.passes, data.passes, found.samples) == (products, products, products, 20)


def test_a_filter_gives_the_trace_of_a_block():
    truth = float(DENSE["hessian"](mlp(), LOSS, *samples(), {"2.bias"}).trace())
    found = hessian_trace(mlp(), LOSS, PARTS, params="2.bias")
    assert math.isclose(found.value, truth, rel_tol=1e-9)
