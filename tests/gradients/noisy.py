"""What the tests of symmetric weight noise share."""

import itertools

import pytest
import torch
from torch import nn
from torch.optim import optimizer as torch_optimizer

NOISES, PERS, MEMORIES = ("sign", "gaussian"), ("tensor", "filter"), ("copy", "regenerate")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64)
LAWS = list(itertools.product(NOISES, PERS))
every_law = pytest.mark.parametrize(("noise", "per"), LAWS, ids=["-".join(law) for law in LAWS])
each_memory = pytest.mark.parametrize("memory", MEMORIES)
CPU = torch.device("cpu")
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class BoomError(Exception):
    """What the user's code raises."""


def weight(*shape, seed=0, dtype=torch.float64):
    return nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype))


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)


def bits(tensor):
    real = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
    return real.contiguous().view(INTEGERS[real.element_size()]).clone()


def contexts(noise):
    return [noise.plus, noise.minus][: noise.sides]


def offsets(noise, params):
    """The noise that one pair puts onto each weight, read at plus and at minus."""
    clean = [p.detach().clone() for p in params]
    seen = []
    for context in contexts(noise):
        with context():
            seen.append([p.detach() - w for p, w in zip(params, clean, strict=True)])
    return seen


def hooks():
    return len(torch_optimizer._global_optimizer_pre_hooks)


def magnitudes(w, alpha, per):
    """alpha * rms(w), in the shape of w."""
    dims = tuple(range(1, w.dim())) if per == "filter" else tuple(range(w.dim()))
    return (alpha * w.detach().square().mean(dim=dims, keepdim=True).sqrt()).expand_as(w)


def hessian(size, seed=1):
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return a @ a.T / size


def quadratic(w, h):
    return w.flatten() @ h @ w.flatten() / 2
