"""Norms measured in the backward pass are those that the step would measure, or they are not used."""

import copy
import pickle

import pytest
import torch
from torch import nn

from steepest import LARS, SNGM, BlockNormalizedSGD, norms_in_backward
from steepest.optim import fused

METHODS = {
    "sngm": (SNGM, {"lr": 0.1}),
    "bng": (BlockNormalizedSGD, {"lr": 0.1}),
    "bng-ratio": (BlockNormalizedSGD, {"lr": 0.1, "ratio": 0.5}),
    "lars": (LARS, {"lr": 0.1, "trust": 0.5, "weight_decay": 0.1}),
}


def clip(model, optimizer):
    nn.utils.clip_grad_norm_(model.parameters(), 0.01)


def edit(model, optimizer):
    model[0].weight.grad[0] *= 100


def accumulate(model, optimizer):
    model(torch.ones(1, 6)).sum().backward()


def exchange(model, optimizer):
    model[0].weight.grad = torch.ones_like(model[0].weight)


def forget(model, optimizer):
    model[2].weight.grad = None


def nothing(model, optimizer):
    pass


def trained(name, hooked, change, steps=4):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 200), nn.Tanh(), nn.Linear(200, 100), nn.Tanh(), nn.Linear(100, 2))
    optimizer_class, options = METHODS[name]
    optimizer = optimizer_class(model.named_parameters(), **options)
    if hooked:
        norms_in_backward(optimizer)
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 6, generator=torch.Generator().manual_seed(step))).square().mean().backward()
        change(model, optimizer)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("change", [nothing, clip, edit, accumulate, exchange, forget])
def test_it_changes_nothing(name, change):
    torch.testing.assert_close(trained(name, True, change), trained(name, False, change), rtol=1e-5, atol=1e-7)


def test_the_step_does_not_measure_again(monkeypatch):
    """Neither a large nor a small gradient, and everything after the handle is removed."""
    model = nn.Sequential(nn.Linear(6, 300), nn.Linear(300, 200))
    optimizer = SNGM(model.parameters(), lr=0.1)
    handle = norms_in_backward(optimizer)
    measured = []
    monkeypatch.setattr(fused, "square_norm", lambda tensor: measured.append(tensor) or 1.0)
    monkeypatch.setattr(fused, "full_norms", lambda tensors, plus: [measured.append(t) or 1.0 for t in tensors])
    for expected in (0, 4):
        optimizer.zero_grad()
        model(torch.ones(1, 6)).sum().backward()
        optimizer.step()
        assert len(measured) == expected
        handle.remove()


def test_a_grad_scaler_that_unscaled_is_noticed():
    """It writes to the gradients without raising their version."""
    results = []
    for hooked in (True, False):
        weight = nn.Parameter(torch.tensor([3.0, 4.0]))
        optimizer = BlockNormalizedSGD([weight], lr=1.0, momentum=0.0)
        if hooked:
            norms_in_backward(optimizer)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        scaler.scale(weight.sum()).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        results.append(weight.detach().clone())
    assert torch.equal(*results)


def test_copies_measure_by_themselves():
    model = nn.Linear(2, 2)
    optimizer = SNGM(model.parameters(), lr=0.1)
    norms_in_backward(optimizer)
    model(torch.ones(1, 2)).sum().backward()
    for copied in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        copied.step()


def test_what_needs_no_norms_is_refused():
    with pytest.raises(TypeError, match="optimizer must be SNGM, BlockNormalizedSGD or LARS, got SGD"):
        norms_in_backward(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1))
