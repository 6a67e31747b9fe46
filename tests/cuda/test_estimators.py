"""Gradient estimators and the sharpness on a GPU: the weights come back bit for bit, the numbers are the CPU's."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from steepest import SymmetricNoise, calibrate
from steepest.diagnostics import largest_hessian_eigenvalue
from tests.diagnostics.test_sharpness import Restless, close, mlp, samples
from tests.gradients.noisy import NOISES


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)).to("cuda", dtype)


def images(count=16, dtype=torch.float32):
    return torch.randn(count, 3, 8, 8, device="cuda", generator=torch.Generator("cuda").manual_seed(1)).to(dtype)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("per", ["tensor", "filter"])
@pytest.mark.parametrize("memory", ["copy", "regenerate"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_weights_come_back_bit_for_bit(noise, per, memory, dtype):
    model = network(dtype)
    source = SymmetricNoise(model.named_parameters(), alpha=0.1, noise=noise, per=per, memory=memory)
    before = copy.deepcopy(model.state_dict())
    for _ in range(20):
        for side in (source.plus, source.minus):
            with side():
                assert not torch.equal(model[0].weight, before["0.weight"])
                model(images(dtype=dtype)).float().square().mean().backward()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("noise", NOISES)
def test_both_memories_draw_one_noise_of_the_norm_that_is_asked_for(noise):
    moved = {}
    for memory in "copy", "regenerate":
        weight = nn.Parameter(torch.randn(400, 300, device="cuda", generator=torch.Generator("cuda").manual_seed(1)))
        start = weight.detach().clone()
        source = SymmetricNoise([weight], alpha=0.1, noise=noise, memory=memory)
        with source.plus():
            moved[memory] = weight.detach() - start
            (weight**2).sum().backward()
        with source.minus():
            torch.testing.assert_close(start - weight.detach(), moved[memory], rtol=1e-3, atol=1e-6)
            (weight**2).sum().backward()
        assert moved[memory].norm().item() == pytest.approx(0.1 * start.norm().item(), rel=1e-4)
        torch.testing.assert_close(weight.grad, 4 * start, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moved["copy"], moved["regenerate"], rtol=0, atol=0)


@pytest.mark.parametrize("calibrator", ["bernoulli", "lipschitz", "learned"])
def test_calibrated_gradients_have_the_mean_of_the_plain_ones(calibrator):
    model, plain = network(torch.float64), network(torch.float64)
    plain(images(dtype=torch.float64)).square().mean().backward()
    calibrate(model, calibrator)
    rounds = 1 if calibrator == "learned" else 2000
    for _ in range(rounds):
        model(images(dtype=torch.float64)).square().mean().backward()
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        error = (p.grad / rounds - q.grad).norm() / q.grad.norm()
        assert error < (1e-12 if calibrator == "learned" else 0.15)


def test_the_sharpness_is_that_of_the_cpu():
    loss_fn, loader = nn.CrossEntropyLoss(), DataLoader(TensorDataset(*samples()), batch_size=6)
    cpu, gpu = mlp(nn.BatchNorm1d(6), nn.Dropout()), mlp(nn.BatchNorm1d(6), nn.Dropout()).cuda()
    random = torch.cuda.get_rng_state()
    expected = largest_hessian_eigenvalue(cpu, loss_fn, loader, tolerance=1e-6)
    found = largest_hessian_eigenvalue(gpu, loss_fn, loader, tolerance=1e-6)
    assert close(found.value, expected.value, 1e-9)
    assert found.iterations == expected.iterations
    assert torch.equal(torch.cuda.get_rng_state(), random)
    always = mlp(Restless()).cuda()
    assert largest_hessian_eigenvalue(always, loss_fn, loader) == largest_hessian_eigenvalue(always, loss_fn, loader)
    assert torch.equal(torch.cuda.get_rng_state(), random)
