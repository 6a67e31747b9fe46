"""Under torch.func: gradients of a model that something of ours watches, and the optimizer steps afterwards."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, hessian, jvp, vmap

import steepest


def setup(tracked=True):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    handle = steepest.track_input_power(model) if tracked else None
    return model, handle, torch.randn(5, 1, 4, 4), torch.randn(5, 2)


def loss_of(model, x, y):
    return lambda params: (functional_call(model, params, (x,)) - y).square().mean()


def per_sample(model, x, y):
    def loss(params, x, y):
        return loss_of(model, x[None], y[None])(params)

    return vmap(grad(loss), (None, 0, 0))(dict(model.named_parameters()), x, y)


def directions(model, x, y):
    params = {name: p.detach() for name, p in model.named_parameters()}
    return {"jvp": jvp(loss_of(model, x, y), (params,), ({n: torch.ones_like(p) for n, p in params.items()},))[1]}


def ensemble(model, x, y):
    stacked = {name: torch.stack([p.detach(), 2 * p.detach()]) for name, p in model.named_parameters()}
    return {"losses": vmap(loss_of(model, x, y))(stacked)}


def second(model, x, y):
    bias = {"2.bias": model[2].bias.detach()}
    others = {name: p.detach() for name, p in model.named_parameters() if name != "2.bias"}
    return hessian(lambda b: loss_of(model, x, y)({**others, **b}))(bias)["2.bias"]


TRANSFORMS = {
    "grad": lambda model, x, y: grad(loss_of(model, x, y))(dict(model.named_parameters())),
    "per sample": per_sample,
    "jvp": directions,
    "ensemble": ensemble,
    "hessian": second,
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_tracked_model_gives_what_the_bare_one_gives(name):
    found, expected = (TRANSFORMS[name](model, x, y) for model, _, x, y in (setup(True), setup(False)))
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[key], expected[key], rtol=1e-5, atol=1e-6) for key in expected)


def test_what_passes_under_a_transform_is_not_measured_and_training_goes_on():
    def train(transform):
        model, _, x, y = setup()
        optimizer = steepest.INSGD(model.named_parameters(), lr=0.1)
        for _ in range(3):
            if transform:
                per_sample(model, x, y)
            optimizer.zero_grad()
            (model(x) - y).square().mean().backward()
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(train(True), train(False))


@pytest.mark.parametrize(
    "make",
    [
        lambda params: steepest.SNGM(params, lr=0.1),
        lambda params: steepest.BlockNormalizedSGD(params, lr=0.1),
        lambda params: steepest.LARS(params, lr=1.0),
    ],
)
def test_gradients_of_a_transform_are_stepped_with(make):
    (model, _, x, y), (other, _, _, _) = setup(False), setup(False)
    ours, plain = make(model.named_parameters()), make(other.named_parameters())
    for _ in range(3):
        found = grad(loss_of(model, x, y))({name: p.detach() for name, p in model.named_parameters()})
        for name, p in model.named_parameters():
            p.grad = found[name]
        ours.step()
        plain.zero_grad()
        (other(x) - y).square().mean().backward()
        plain.step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6)
