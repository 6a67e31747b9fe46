"""The binary step and its surrogates, and the classifier."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.spiking import BinaryClassifier, binary_step
from steepest.spiking.binary import ACTIVATIONS, SURROGATES


def slope_of(surrogate, x, tau=0.5):
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    binary_step(x, surrogate, tau).sum().backward()
    return x.grad.tolist()


def test_the_box_is_the_papers():
    at = [-1e-9, 0.0, 0.0624, 0.125, 0.1251]
    assert slope_of("box", at) == [0, 1, 1, 1, 0]
    assert slope_of("box", [0.25, 0.2501], tau=1.0) == [1, 0]
    assert slope_of("two-sided", [-0.1251, -0.125, 0.0, 0.125, 0.1251]) == [0, 1, 1, 1, 0]
    assert slope_of("straight-through", [-5.0, 5.0]) == [1, 1]
    assert slope_of("relu", [-0.1, 0.0, 5.0]) == [0, 1, 1]


@pytest.mark.parametrize(
    ("surrogate", "smooth"),
    [
        ("sigmoid", lambda x, tau: torch.sigmoid(x / tau)),
        ("arctan", lambda x, tau: torch.arctan(math.pi * x / (2 * tau)) / math.pi),
    ],
)
def test_smooth_surrogates_have_the_derivative_of_what_they_are_called_after(surrogate, smooth):
    at = [-1.0, -0.2, 0.0, 0.3]
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    smooth(x, 0.7).sum().backward()
    assert slope_of(surrogate, at, tau=0.7) == pytest.approx(x.grad.tolist())


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_forward_is_the_step_whatever_the_surrogate(surrogate):
    x = torch.tensor([-1.0, -0.0, 0.0, 2.0])
    assert binary_step(x, surrogate).tolist() == [0, 1, 1, 1]


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=20)
def test_logits_are_whole_numbers_and_gradients_those_of_a_slow_form(seed):
    torch.manual_seed(seed)
    model = BinaryClassifier(6, 9, 4).double()
    with torch.no_grad():
        for layer in (model.hidden, model.output):
            layer.weight.mul_(30)
            layer.bias.normal_()
    x, targets = torch.rand(5, 6) < 0.5, torch.randint(4, (5,))
    logits = model(x)
    assert torch.equal(logits, logits.round())
    torch.nn.functional.cross_entropy(logits, targets).backward()
    inputs = x.double()
    potential = inputs @ model.hidden.weight.t() + model.hidden.bias
    active = (potential >= 0).double()
    assert torch.equal(logits, (active @ model.output.weight.t() + model.output.bias).floor())
    error = (torch.softmax(logits, dim=1) - torch.nn.functional.one_hot(targets, 4)) / 5
    torch.testing.assert_close(model.output.weight.grad, error.t() @ active)
    back = (error @ model.output.weight) * ((potential >= 0) & (potential <= 0.125))
    torch.testing.assert_close(model.hidden.weight.grad, back.t() @ inputs)
    torch.testing.assert_close(model.hidden.bias.grad, back.sum(dim=0))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_learns(activation):
    torch.manual_seed(0)
    x = torch.rand(300, 20) < 0.3
    y = (x[:, :10].sum(dim=1) > x[:, 10:].sum(dim=1)).long()
    model = BinaryClassifier(20, 64, 2, activation=activation)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(dim=1) == y).float().mean() > 0.95
    assert len(model(x).unique()) > 2


def test_weights_begin_truncated_normal():
    torch.manual_seed(0)
    model = BinaryClassifier(400, 500, 10)
    assert model.hidden.weight.abs().max() <= 0.02
    assert model.hidden.weight.std().item() == pytest.approx(0.0088, rel=0.02)  # of a normal cut at two deviations
    assert model.hidden.bias.abs().max() == 0


def test_dropout_is_of_hidden_units():
    model = BinaryClassifier(30, 200, 3, dropout=0.5)
    x = torch.ones(1, 30)
    assert not torch.equal(model(x), model(x)) or not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"features": 0}, "features must be an integer of at least 1, got 0"),
        ({"hidden": 1.5}, "hidden must be an integer of at least 1, got 1.5"),
        ({"classes": True}, "classes must be an integer of at least 1, got True"),
        ({"dropout": 1.0}, "dropout must be a number of at least 0 and below 1, got 1.0"),
        ({"tau": 0.0}, "tau must be a finite number above 0, got 0.0"),
        ({"surrogate": "step"}, "surrogate must be one of box, .*, got 'step'"),
        ({"activation": "tanh"}, "activation must be one of binary, relu, sigmoid, got 'tanh'"),
    ],
)
def test_what_cannot_be_built_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        BinaryClassifier(**{"features": 4, **options})


def test_unknown_surrogates_are_refused():
    with pytest.raises(ValueError, match="surrogate must be one of"):
        binary_step(torch.zeros(1), "box2")
