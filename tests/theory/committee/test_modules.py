"""Order parameters of torch modules beside their teachers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from steepest.theory.committee import Committee
from steepest.theory.committee.layers import layers_of


class Erf(nn.Module):
    def forward(self, x):
        return torch.erf(x / math.sqrt(2))


class Scaled(nn.Module):
    """sum_k v_k g(w_k.x / sqrt N), of bare parameters, one of them a vector."""

    def __init__(self, k, n, g):
        super().__init__()
        self.w, self.v, self.g = nn.Parameter(torch.randn(k, n)), nn.Parameter(torch.randn(k)), g

    def forward(self, x):
        return (self.g(x @ self.w.T / math.sqrt(x.shape[1])) * self.v).sum(dim=1)


def plain(k, n, g, bias=False, dtype=torch.float32):
    torch.manual_seed(k)
    return nn.Sequential(nn.Linear(n, k, bias=bias), g, nn.Linear(k, 1, bias=bias)).to(dtype)


GS = {"erf": Erf(), "relu": nn.ReLU(), "linear": nn.Identity()}


@pytest.mark.parametrize("activation", list(GS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_error_is_that_of_the_modules_on_normal_inputs(activation, dtype):
    student, teacher = plain(3, 20, GS[activation], dtype=dtype), plain(2, 20, GS[activation], dtype=dtype)
    theory = Committee(2, 3, activation, lr=0.1)
    found = theory.order_parameters(student, teacher)
    x = torch.randn(200_000, 20, dtype=dtype, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        squares = (student(x) - teacher(x)).double().square() / 2
    error = float(squares.std()) / len(x) ** 0.5
    assert abs(float(theory.generalization_error(found)) - float(squares.mean())) < 4 * error
    w, b = (m[0].weight.detach().double().numpy() for m in (student, teacher))
    np.testing.assert_allclose(found.Q, w @ w.T, rtol=1e-6)
    np.testing.assert_allclose(found.R, w @ b.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.A, teacher[2].weight.detach().numpy()[0], rtol=1e-6)


def test_a_module_with_the_scale_in_it_is_taken_as_it_is():
    torch.manual_seed(0)
    model = Scaled(3, 30, GS["erf"])
    teacher = torch.randn(2, 30, dtype=torch.float64)
    theory = Committee(teacher, 3, lr=0.1)
    found = theory.order_parameters(model)
    w = model.w.detach().double().numpy()
    np.testing.assert_allclose(found.Q, w @ w.T / 30)
    np.testing.assert_allclose(found.R, w @ teacher.numpy().T / 30)
    np.testing.assert_allclose(found.T, theory.start().T)
    np.testing.assert_array_equal(found.v, model.v.detach().double().numpy())
    assert theory.generalization_error(model) == theory.generalization_error(found)
    assert len(theory.predict([0.5], start=found).Q) == 1


def test_a_student_that_is_the_teacher_has_no_error():
    model = plain(4, 10, GS["erf"])
    found = Committee(4, 4, lr=0.1).order_parameters(model, model)
    assert abs(Committee(4, 4, lr=0.1).generalization_error(found)) < 1e-15


def test_a_module_is_left_as_it_was():
    model = plain(3, 10, nn.Sequential(GS["erf"], nn.Dropout(0.5))).train()
    layers_of(model, "erf")
    assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("model", "error", "sentence"),
    [
        (plain(3, 10, GS["erf"], bias=True), ValueError, "with g = erf, without biases, and Sequential does not"),
        (plain(3, 10, nn.GELU()), ValueError, "with g = erf, without biases"),
        (plain(3, 10, nn.ReLU()), ValueError, "with g = erf, without biases"),
        (nn.Linear(10, 3), ValueError, "without biases, and Linear does not"),
        (
            nn.Sequential(nn.Linear(9, 3, bias=False), nn.Linear(3, 2)),
            ValueError,
            r"must have weights of shapes \(K, N\) and \(1, K\), got \[\(3, 9\), \(2, 3\), \(2,\)\]",
        ),
        (nn.Identity(), ValueError, r"must have weights of shapes \(K, N\) and \(1, K\), got \[\]"),
        ("model", TypeError, "model must be a torch.nn.Module, got str"),
    ],
)
def test_what_is_no_two_layer_network_is_refused(model, error, sentence):
    with pytest.raises(error, match=sentence):
        Committee(np.ones((2, 10)), 3, lr=0.1).order_parameters(model)


def test_a_teacher_that_does_not_fit_is_refused():
    model = plain(3, 10, GS["erf"])
    with pytest.raises(ValueError, match="teacher must be a module or weights"):
        Committee(2, 3, lr=0.1).order_parameters(model)
    with pytest.raises(ValueError, match="N must be one number, got 10 of model, 9 of teacher"):
        Committee(2, 3, lr=0.1).order_parameters(model, np.ones((2, 9)))
    with pytest.raises(ValueError, match="teacher must have the 2 units of this committee's, got 4"):
        Committee(2, 3, lr=0.1).order_parameters(model, np.ones((4, 10)))
