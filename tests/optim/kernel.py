"""The steps of the CUDA paths beside those of the loop in float64, over dtypes, decays, momenta and what goes wrong."""

import itertools

import torch

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim import ScaledSGD, base
from steepest.optim.cuda import cuda_step

METHODS = (
    (ScaledSGD, {}), (SNGM, {}), (SNGM, {"normalize_decay": True}), (BlockNormalizedSGD, {"ratio": 0.5}), (LARS, {})
)  # fmt: skip
DECAYS = {}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True}
OTHERS = {"momentum": 0.0}, {"momentum": 0.9}, {"momentum": 0.9, "maximize": True}
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 3e-2, torch.float16: 4e-3}
SHAPES = (3, 5), (5000,), (), (0, 2), (4, 7)


def count_equal_cases(step, device):
    """How many combinations there are; each is asserted to move as the loop does."""
    cases = 0
    for (make, more), decay, other, dtype in itertools.product(METHODS, DECAYS, OTHERS, TOLERANCE):
        options = {**more, **decay, **other}
        if "normalize_decay" in options and "decoupled_weight_decay" in options:
            continue
        assert_like_the_loop(make, options, dtype, step, device)
        cases += 1
    return cases


def assert_like_the_loop(make, options, dtype, step, device):
    lr = torch.tensor(0.1, dtype=dtype) if dtype == torch.float64 else 0.1
    settings = (dtype, step, device), (torch.float64, base.loop_step, "cpu")
    (params, ours), (expected, loop) = twins = [_build(make, options, *setting, lr) for setting in settings]
    for i in range(5):
        for params, optimizer in twins:
            generator = torch.Generator().manual_seed(i)
            for p in params:
                g = torch.randn(p.shape, generator=generator, dtype=torch.float64).bfloat16()
                p.grad = (g * 4).to(p)
            where = params[0].device
            optimizer.grad_scale = torch.tensor(4.0, device=where)
            optimizer.found_inf = torch.tensor(float(i == 3), device=where)
            if i == 2 and optimizer.normalizes:
                params[0].grad[0, 0] = float("nan")
            kept = [p.grad.clone() for p in params]
            optimizer.step()
            for p, k in zip(params, kept, strict=True):
                assert torch.equal(p.grad.nan_to_num(), k.nan_to_num()), "in .grad"
    params = twins[0][0]
    assert ours.nonfinite_steps == loop.nonfinite_steps == 1 + loop.normalizes
    for p, q in zip(params, expected, strict=True):
        off = (p.double().cpu() - q).abs().max().item() if p.numel() else 0.0
        assert off <= TOLERANCE[dtype] * 4, (make.__name__, options, dtype, off)


def _build(make, options, dtype, step, device, lr):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(s, generator=generator, dtype=torch.float64).to(device, dtype) for s in SHAPES]
    drawn[4] = drawn[4].t().clone().t()  # another order of memory
    params = [tensor.requires_grad_() for tensor in drawn]
    optimizer = make([{"params": params[:2]}, {"params": params[2:], "momentum": 0.5}], lr=lr, **options)
    optimizer._choose_path = lambda: step
    return params, optimizer


if __name__ == "__main__":
    print(count_equal_cases(cuda_step, "cpu"))
