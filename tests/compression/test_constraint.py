"""Weights of three values: their gradients, how they train by any optimizer, and what is left in the end."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

from steepest.compression import SigmaConstraint
from steepest.compression.constraint import _ThreeValues, best_sigma
from steepest.optim import LARS, SNGM, BlockNormalizedSGD

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3),
    "sngm": lambda p: SNGM(p, lr=0.05),
    "lars": lambda p: LARS(p, lr=1.0),
    "bng": lambda p: BlockNormalizedSGD(p, lr=0.01),
}


def make(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)).double()


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=20), st.floats(0.01, 4))
def test_the_mean_magnitude_is_the_best_sigma(values, other):
    weight = torch.tensor(values, dtype=torch.float64)
    mask = weight != 0
    sigma = best_sigma(weight, mask)
    signs = torch.where(weight < 0, -1.0, 1.0)[mask].double()

    def off(value):
        return float((weight[mask] - value * signs).square().sum())

    if mask.any():
        assert off(sigma) <= off(other) + 1e-12
        assert sigma > 0


def test_gradients_of_sigma_are_those_of_differences_and_weights_get_them_straight_through():
    torch.manual_seed(0)
    weight = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(4, 3) < 0.6
    sigma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    x, wanted = torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 4, dtype=torch.float64)

    def loss(value):
        return (x @ _ThreeValues.apply(weight, value, mask).T - wanted).square().mean()

    loss(sigma).backward()
    step = 1e-6
    expected = (loss(sigma.detach() + step) - loss(sigma.detach() - step)) / (2 * step)
    assert float(sigma.grad) == pytest.approx(float(expected.detach()), rel=1e-6)
    plain = _ThreeValues.apply(weight.detach(), sigma.detach(), mask).requires_grad_()
    (x @ plain.T - wanted).square().mean().backward()
    torch.testing.assert_close(weight.grad, plain.grad * mask)


def test_sgd_is_the_rule_of_the_sheet():
    """Against a loop in float64, written out."""
    model = make()
    layer, lr = model[0], 0.1
    mask = torch.rand(5, 6) < 0.5
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    last, other = model[2].weight.detach().clone(), model[2].bias.detach().clone()
    constraint = SigmaConstraint(layer, mask=mask, clip=1.5)
    sigma = weight[mask].abs().mean()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p is not constraint.sigma], lr=lr)
    constraint.attach(optimizer)
    for seed in range(5):
        x = torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        signs = torch.where(weight < 0, -1.0, 1.0).double()
        what = (sigma * signs * mask).detach().requires_grad_()
        parts = [t.detach().requires_grad_() for t in (bias, last, other)]
        (torch.relu(x @ what.T + parts[0]) @ parts[1].T + parts[2]).square().mean().backward()
        weight = weight - lr * what.grad * mask
        sigma = sigma - lr * (what.grad * signs * mask).sum() / mask.sum()
        weight = weight.clamp(-1.5 * sigma, 1.5 * sigma)
        bias, last, other = (t.detach() - lr * t.grad for t in parts)
        torch.testing.assert_close(constraint.sigma.detach(), sigma)
        torch.testing.assert_close(constraint.weight.detach(), weight)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("mode", ["straight-through", "project"])
def test_any_optimizer_trains_it_and_three_values_are_left(name, mode):
    model = make()
    constraints = [
        SigmaConstraint(layer, mode=mode, mask=torch.rand_like(layer.weight) < 0.7) for layer in (model[0], model[2])
    ]
    masks = [c.mask.clone() for c in constraints]
    sigmas = {id(c.sigma) for c in constraints}
    optimizer = OPTIMIZERS[name]([p for p in model.parameters() if id(p) not in sigmas])
    for constraint in constraints:
        constraint.attach(optimizer)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 6, dtype=torch.float64, generator=generator)
    y = (x[:, 0] > 0).long()
    losses = []
    for step in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        for constraint in constraints if step % 20 == 19 else ():
            constraint.end_epoch()
    assert min(losses) < losses[0]
    outputs = model(x)
    for constraint in constraints:
        assert constraint.sigma > 0
        constraint.remove()
    for layer, mask in zip((model[0], model[2]), masks, strict=True):
        assert not parametrize.is_parametrized(layer)
        values = layer.weight.unique()
        assert len(values) <= 3
        assert not layer.weight[~mask].any()
        assert not (layer.weight.signbit() & (layer.weight == 0)).any()  # no zero below 0
    if mode == "straight-through":
        assert torch.equal(model(x), outputs)


def test_sigma_has_a_group_of_its_own_without_weight_decay():
    layer = nn.Linear(4, 4)
    constraint = SigmaConstraint(layer, sigma_lr=0.5)
    optimizer = torch.optim.SGD([constraint.weight, layer.bias], lr=0.2, weight_decay=0.1)
    constraint.attach(optimizer)
    last = optimizer.param_groups[-1]
    assert (last["lr"], last["weight_decay"], len(last["params"])) == (0.1, 0.0, 1)
    assert last["params"][0] is constraint.sigma
    everything = torch.optim.SGD(layer.parameters(), lr=0.2)
    constraint.attach(everything)
    assert len(everything.param_groups) == 1


def test_sigma_stays_positive():
    layer = nn.Linear(2, 1, bias=False).double()
    constraint = SigmaConstraint(layer)
    optimizer = torch.optim.SGD(layer.parameters(), lr=100.0)
    constraint.attach(optimizer)
    with torch.no_grad():
        signs = layer.weight.sign()
    layer(signs.clone()).sum().backward()
    optimizer.step()
    assert 0 < constraint.sigma < 1e-100


def test_recurrent_layers_convolutions_and_embeddings_can_be_held():
    lstm = nn.LSTM(3, 4, batch_first=True)
    held = [SigmaConstraint(lstm, name) for name in ("weight_ih_l0", "weight_hh_l0")]
    optimizer = torch.optim.SGD(lstm.parameters(), lr=0.1)
    for constraint in held:
        constraint.attach(optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        lstm(torch.ones(2, 5, 3))[0].sum().backward()
        optimizer.step()
    outputs = lstm(torch.ones(2, 5, 3))[0]
    for constraint in held:
        constraint.remove()
    torch.testing.assert_close(lstm(torch.ones(2, 5, 3))[0], outputs)
    assert len(lstm.weight_ih_l0.unique()) == len(lstm.weight_hh_l0.unique()) == 2
    for layer, x in (
        (nn.Conv1d(2, 4, 3, groups=2), torch.ones(1, 2, 5)),
        (nn.ConvTranspose2d(2, 3, 2), torch.ones(1, 2, 4, 4)),
        (nn.Conv3d(1, 2, 2), torch.ones(1, 1, 3, 3, 3)),
        (nn.Embedding(5, 3), torch.tensor([1, 2])),
    ):
        constraint = SigmaConstraint(layer)
        before = copy.deepcopy(constraint.values())
        layer(x).sum().backward()
        assert constraint.weight.grad is not None
        constraint.remove()
        assert torch.equal(layer.weight, before)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: SigmaConstraint(nn.Linear(2, 2), mode="ste"),
            "mode must be 'straight-through' or 'project', got 'ste'",
        ),
        (
            lambda: SigmaConstraint(nn.Linear(2, 2), "kernel"),
            "name must be a weight of the module, got 'kernel' of Linear",
        ),
        (lambda: SigmaConstraint(nn.Linear(2, 2), mask=torch.ones(2)), r"mask must be a bool tensor of shape \(2, 2\)"),
        (lambda: SigmaConstraint(nn.Linear(2, 2), clip=0.0), "clip must be a number above 0, got 0.0"),
        (lambda: SigmaConstraint(nn.Linear(2, 2), clip=1.0, mode="project"), "clip must be None in mode 'project'"),
        (
            lambda: SigmaConstraint(nn.Linear(2, 2), sigma_lr=-1.0),
            "sigma_lr must be a finite number of at least 0, got -1.0",
        ),
        (
            lambda: SigmaConstraint(nn.Linear(2, 2), sigma_lr=2.0, mode="project"),
            "sigma_lr must be 1 in mode 'project'",
        ),
        (
            lambda: SigmaConstraint(nn.Linear(2, 2)).attach(torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)),
            "optimizer must have the weights of the constraint, got SGD",
        ),
    ],
)
def test_bad_input_is_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_layer_is_held_once():
    layer = nn.Linear(2, 2)
    SigmaConstraint(layer)
    with pytest.raises(ValueError, match="module must have no SigmaConstraint on 'weight' yet, got Linear"):
        SigmaConstraint(layer)
