"""The density of eigenvalues: exact on small matrices, its moments, and the area of its curve."""

import math

import pytest
import torch
from torch import nn

from steepest.diagnostics import hessian_density
from tests.diagnostics.problems import DENSE, ONE_BATCH, Counted, Quadratic, mean, mlp, samples, symmetric

LOSS = nn.CrossEntropyLoss()


@pytest.mark.parametrize("matrix", DENSE)
@pytest.mark.slow
def test_moments_are_those_of_the_dense_matrix(matrix):
    dense = DENSE[matrix](mlp(), LOSS, *samples()).detach()
    found = hessian_density(mlp(), LOSS, [samples()], matrix=matrix, probes=30, iterations=12)
    torch.testing.assert_close(found.weights.sum(dim=1), torch.ones(30).double())
    assert (found.weights >= 0).all()
    for power in (1, 2):
        moments = (found.weights * found.nodes**power).sum(dim=1)
        truth = float(torch.linalg.matrix_power(dense, power).trace()) / 57
        assert abs(moments.mean() - truth) < 4 * moments.std() / math.sqrt(30)
        assert moments.std() > 0


def test_all_steps_give_every_eigenvalue_of_a_small_matrix():
    spectrum = [-3.0, 0.0, 1.0, 1.5, 8.0]
    found = hessian_density(Quadratic(symmetric(spectrum)), mean, ONE_BATCH, probes=40)
    assert found.nodes.shape == (40, 5)
    torch.testing.assert_close(found.nodes, torch.tensor(spectrum).double().expand(40, 5), rtol=0, atol=1e-8)
    assert (found.weights.mean(dim=0) - 0.2).abs().max() < 4 * 0.25 / math.sqrt(40)


def test_copies_share_a_node_and_the_rest_has_no_weight():
    found = hessian_density(Quadratic(symmetric([2.0, 2.0, 2.0, 5.0])), mean, ONE_BATCH, probes=3)
    torch.testing.assert_close(found.nodes[:, :2], torch.tensor([2.0, 5.0]).double().expand(3, 2))
    torch.testing.assert_close(found.weights.sum(dim=1), torch.ones(3).double())
    curve = found.curve()
    assert curve.density[(curve.at < 1) | ((curve.at > 3) & (curve.at < 4))].max() < 1e-6  # none at the padding's 0


@pytest.mark.parametrize("points", [200, 1000])
@pytest.mark.parametrize("spectrum", [[-3.0, 0.0, 1.0, 8.0], [0.0] * 6, [2.5] * 3, [1e-9, 2e-9], [-1e7, 3.0]])
def test_the_area_of_the_curve_is_one(points, spectrum):
    curve = hessian_density(Quadratic(symmetric(spectrum)), mean, ONE_BATCH).curve(points)
    assert curve.at.shape == curve.density.shape == curve.standard_error.shape == (points,)
    assert abs(float(torch.trapezoid(curve.density, curve.at)) - 1) < 1e-3
    assert (curve.standard_error >= 0).all()


def test_the_width_of_the_curve():
    found = hessian_density(Quadratic(symmetric([0.0, 10.0])), mean, ONE_BATCH)
    wide = found.curve(2001, width=2.0)
    assert math.isclose(float(wide.at[-1] - wide.at[0]), 30)
    first = found.weights[:, 0].mean()
    at_zero = (first + (1 - first) * math.exp(-12.5)) / (2 * math.sqrt(2 * math.pi))
    assert math.isclose(float(wide.density[(wide.at.abs()).argmin()]), float(at_zero), rel_tol=1e-5)
    for wrong, error, sentence in (
        ({"points": 1}, ValueError, "points must be at least 2, got 1"),
        ({"width": 0}, ValueError, r"width must be in \(0, inf\), got 0"),
        ({"width": -1.0}, ValueError, r"width must be in \(0, inf\), got -1.0"),
        ({"width": "wide"}, TypeError, "width must be a float, got 'wide'"),
    ):
        with pytest.raises(error, match=sentence):
            found.curve(**wrong)


def test_probes_and_iterations_bound_the_passes():
    data = Counted([samples()])
    found = hessian_density(mlp(), LOSS, data, probes=2, iterations=5)
    assert (found.passes, data.passes, found.samples) == (10, 10, 20)
    assert found.nodes.shape == found.weights.shape == (2, 5)
