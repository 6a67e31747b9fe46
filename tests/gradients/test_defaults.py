"""Default device and dtype of the process are nobody's business: tensors are made where the gradients are."""

import copy

import pytest
import torch
from torch import nn

from steepest import INSGD, SSGD, GradientCalibration, SymmetricNoise, calibrate, normalize_gradients, track_input_power


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, groups=1), nn.Flatten(), nn.Linear(16, 3))


def normalized(over, ratio):
    def build(model):
        optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
        normalize_gradients(optimizer, over, ratio)
        return optimizer

    return build


def calibrated(*calibrator, **options):
    def build(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        calibrate(model, *calibrator, **options, optimizer=optimizer)
        return optimizer

    return build


def tracked(rule="log", **options):
    def build(model):
        track_input_power(model, standardize=rule == "released", **options)
        return INSGD(model.parameters(), lr=0.1, rule=rule)

    return build


def insgd_without_momentum(model):
    track_input_power(model)
    return INSGD(model.parameters(), lr=0.1, momentum=0.0)


BUILD = {
    "unit": normalized("layer", None),
    "ratio": normalized("tensor", 0.1),
    "all": normalized("all", 0.1),
    "bernoulli": calibrated(keep=0.5),
    "filter": calibrated(keep=0.5, per="filter"),
    "lipschitz": calibrated("lipschitz"),
    "clipped": calibrated("lipschitz", clip=2.5),
    "learned": calibrated("learned"),
    "insgd": tracked(),
    "patches": tracked(patch=True, norm="l1"),
    "released": tracked("released"),
    "no momentum": insgd_without_momentum,
    "ssgd": lambda model: SSGD(model.parameters(), lr=0.1),
    "ssgd regenerated": lambda model: SSGD(model.parameters(), lr=0.1, memory="regenerate", noise="gaussian"),
}
LAYERS = {
    "bernoulli": {"keep": 0.5},
    "filter": {"keep": 0.5, "per": "filter"},
    "lipschitz": {"calibrator": "lipschitz", "clip": 2.5},
    "learned": {"calibrator": "learned", "persistent": True},
}


@pytest.fixture(params=["device", "dtype"])
def elsewhere(request):
    """Sets a default that no tensor here should have."""

    def set_it():
        if request.param == "device":
            torch.set_default_device("meta")
        else:
            torch.set_default_dtype(torch.bfloat16)

    yield set_it
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)


def weights_after(model, optimizer, x):
    def closure():
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    saved = optimizer.state_dict()
    optimizer.load_state_dict(copy.deepcopy(saved))
    optimizer.step(closure)
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
def test_a_step_is_the_same_whatever_the_defaults(build, dtype, elsewhere):
    first, second = network().to(dtype), network().to(dtype)
    x = torch.randn(2, 1, 4, 4, dtype=torch.float32, device="cpu").to(dtype)
    expected = weights_after(first, build(first), x)
    elsewhere()
    found = weights_after(second, build(second), x)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_a_calibrating_layer_is_the_same_whatever_the_defaults(options, elsewhere):
    def gradient():
        model = nn.Sequential(base[0], GradientCalibration(**options), *base[1:])
        model.zero_grad()
        for _ in range(2):
            model(x).square().sum().backward()
        state = copy.deepcopy(model.state_dict())
        model.load_state_dict(state)
        model(x).square().sum().backward()
        return base[0].weight.grad.clone()

    base, x = network(), torch.randn(2, 1, 4, 4)
    expected = gradient()
    elsewhere()
    assert torch.equal(gradient(), expected)


@pytest.mark.parametrize("memory", ["copy", "regenerate"])
@pytest.mark.parametrize("noise", ["sign", "gaussian"])
@pytest.mark.parametrize("per", ["tensor", "filter"])
def test_noise_is_the_same_whatever_the_defaults(memory, noise, per, elsewhere):
    def moved():
        source = SymmetricNoise(model.parameters(), memory=memory, noise=noise, per=per)
        with source.plus():
            found = [p.detach().clone() for p in model.parameters()]
            model(x).sum().backward()
        assert all(map(torch.equal, model.parameters(), before))
        return found

    model, x = network(), torch.randn(2, 1, 4, 4)
    before = [p.detach().clone() for p in model.parameters()]
    expected = moved()
    elsewhere()
    assert all(map(torch.equal, moved(), expected))
