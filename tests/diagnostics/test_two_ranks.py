"""Two ranks with half of the data each find what one process finds with all of them; every instrument."""

import math

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from steepest.diagnostics import (
    covariance,
    gradient_covariance,
    gradient_noise_scale,
    hessian_density,
    hessian_eigenvalues,
    hessian_trace,
    inner_product_test,
    norm_test,
)
from tests.diagnostics.problems import mlp, samples
from tests.ranks import on_ranks

LOSS = nn.CrossEntropyLoss()
SIZES = [9, 3, 3, 9, 4, 4]  # of batches; the ranks take them in turn. 32 samples, each a group of the noise scale
ALL = [tuple(part) for part in zip(*(t.split(SIZES) for t in samples(32)), strict=True)]


def net():
    return mlp(nn.BatchNorm1d(6).double(), nn.Dropout(0.5))


def instruments(model, data, ordered):
    """What each finds; ``ordered``: the data with the first rank's first, as signs are dealt to samples."""
    found = {}
    for matrix in ("hessian", "ggn", "fisher"):
        found[f"eigenvalues {matrix}"] = hessian_eigenvalues(model, LOSS, data, 4, matrix=matrix, tolerance=1e-8)
        found[f"trace {matrix}"] = hessian_trace(model, LOSS, data, matrix=matrix, products=12)
        found[f"density {matrix}"] = hessian_density(model, LOSS, data, matrix=matrix, probes=2, iterations=8)
    found["hutchinson"] = hessian_trace(model, LOSS, data, method="hutchinson", products=6, params="4.*")
    found["noise"] = gradient_noise_scale(model, LOSS, data)
    found["norm test"] = norm_test(model, LOSS, data, 8)
    found["inner product test"] = inner_product_test(model, LOSS, data, 8)
    found["covariance"] = gradient_covariance(model, LOSS, ordered, 4, hessian_products=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(covariance, "DENSE", 10)
        found["covariance estimated"] = gradient_covariance(model, LOSS, ordered, 4, hessian_products=4, seed=1)
        patch.setattr(covariance, "NUMBERS", 100)
        found["covariance streamed"] = gradient_covariance(model, LOSS, ordered, 4, hessian_products=8, tolerance=1e-9)
    return {name: [*one[:-1]] for name, one in found.items()}


def on_one_rank(rank):
    model = DistributedDataParallel(net())
    mine = ALL[rank::2]
    found = instruments(model, mine, mine)
    # A rank without data takes part too; the other holds them all.
    for one in (ALL, []) if rank == 0 else ([], ALL):
        found[f"all on {rank if one else 1 - rank}"] = [
            *gradient_covariance(model, LOSS, one, 3)[:-1],
            *hessian_eigenvalues(model, LOSS, one, 2)[:-1],
            *gradient_noise_scale(model, LOSS, one)[:-1],
        ]
    refused = []
    for call in (
        lambda: gradient_noise_scale(model, LOSS, [samples(1)]),
        lambda: hessian_eigenvalues(model, LOSS, []),
        lambda: gradient_covariance(model, LOSS, []),
        lambda: inner_product_test(model, LOSS, [samples(1)], 4),
    ):
        try:
            call()
        except ValueError as error:
            refused.append(str(error))
    return found, refused, [m.training for m in model.modules()]


def assert_same(one, other, name):
    if isinstance(one, torch.Tensor):
        if one.dim() == 2 and one.shape == other.shape and "density" not in name:  # vectors have no sign
            other = other * (one * other).sum(dim=1, keepdim=True).sign()
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7, msg=lambda m: f"{name}: {m}")
    elif isinstance(one, float):
        assert math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other)), name
    elif isinstance(one, tuple):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b, name)
    else:
        assert one == other, name


def test_two_ranks_are_one_process_with_all_data():
    (first, refused, modes), (second, also_refused, _) = on_ranks(on_one_rank)
    expected = instruments(net(), ALL, ALL[::2] + ALL[1::2])
    for name, values in expected.items():
        for field, (a, b, one) in enumerate(zip(first[name], second[name], values, strict=True)):
            assert_same(a, b, f"{name}, field {field}, between ranks")
            assert_same(a, one, f"{name}, field {field}")
    for all_on in ("all on 0", "all on 1"):
        for a, b in zip(first[all_on], second[all_on], strict=True):
            assert_same(a, b, all_on)
    torch.testing.assert_close(first["all on 0"][2], gradient_covariance(net(), LOSS, ALL, 3).eigenvalues)
    assert refused == also_refused
    assert refused == [
        "data must give at least 4 samples, got 2",
        "data must hold at least one sample, got none",
        "data must hold at least one sample, got none",
        "data must give at least 4 samples, got 2",
    ]
    assert all(modes)
