"""The steps of the CUDA paths beside those of the loop in float64, over dtypes, decays, momenta and what goes wrong."""

import itertools
from unittest import mock

import torch

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim import ScaledSGD, base, fused_lists
from steepest.optim.cuda import cuda_step

METHODS = (
    (ScaledSGD, {}), (SNGM, {}), (SNGM, {"normalize_decay": True}), (BlockNormalizedSGD, {"ratio": 0.5}), (LARS, {})
)  # fmt: skip
DECAYS = {}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True}
OTHERS = (
    {"momentum": 0.0}, {"momentum": 0.9}, {"momentum": 0.9, "maximize": True}, {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "lr": "on the device"}, {"momentum": 0.9, "kahan_sum": True},
)  # fmt: skip
TOLERANCE = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 3e-2, torch.float16: 4e-3}
SHAPES = (3, 5), (5000,), (), (0, 2), (4, 7), (3, 4, 2, 2), (5, 3, 1, 1)


def count_equal_cases(step, device, methods=METHODS, others=OTHERS, dtypes=TOLERANCE):
    """How many combinations there are; each is asserted to move as the loop does."""
    cases = 0
    for (make, more), decay, other, dtype in itertools.product(methods, DECAYS, others, dtypes):
        options = {**more, **decay, **other}
        if "normalize_decay" in options and "decoupled_weight_decay" in options:
            continue
        assert_like_the_loop(make, options, dtype, step, device)
        cases += 1
    return cases


def assert_like_the_loop(make, options, dtype, step, device):
    settings = (dtype, step, device), (torch.float64, base.loop_step, "cpu")
    (params, ours), (expected, loop) = twins = [_build(make, options, *setting) for setting in settings]
    for i in range(5):
        for params, optimizer in twins:
            generator = torch.Generator().manual_seed(i)
            for p in params:
                g = torch.randn(p.shape, generator=generator, dtype=torch.float64).bfloat16()
                p.grad = _like(p, (g * 4).to(p))
            where = params[0].device
            optimizer.grad_scale = torch.tensor(4.0, device=where)
            optimizer.found_inf = torch.tensor(float(i == 3), device=where)
            if i == 2 and optimizer.normalizes:
                params[0].grad[0, 0] = float("nan")
            kept = [p.grad.clone() for p in params]
            with mock.patch.object(
                fused_lists, "_kernel", kernel_of_cuda if where.type == "cpu" else torch._fused_sgd_
            ):
                optimizer.step()
            for p, k in zip(params, kept, strict=True):
                assert torch.equal(p.grad.nan_to_num(), k.nan_to_num()), "in .grad"
    params = twins[0][0]
    assert ours.nonfinite_steps == loop.nonfinite_steps == 1 + loop.normalizes
    for p, q in zip(params, expected, strict=True):
        off = (p.double().cpu() - q).abs().max().item() if p.numel() else 0.0
        assert off <= TOLERANCE[dtype] * 4, (make.__name__, options, dtype, off)


def _build(make, options, dtype, step, device):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(s, generator=generator, dtype=torch.float64).to(device, dtype) for s in SHAPES]
    drawn[4] = drawn[4].t().clone().t()  # another order of memory
    drawn[5:] = [tensor.contiguous(memory_format=torch.channels_last) for tensor in drawn[5:]]
    params = [tensor.requires_grad_() for tensor in drawn]
    lr = torch.tensor(0.1, dtype=dtype) if dtype == torch.float64 else 0.1
    if options.get("lr") is not None:
        lr = torch.tensor(0.1, dtype=torch.float64 if dtype == torch.float64 else torch.float32, device=device)
    groups = [{"params": params[:2]}, {"params": params[2:], "momentum": 0.5}]
    optimizer = make(groups, **{**options, "lr": lr})
    optimizer._choose_path = lambda: step
    return params, optimizer


def _like(param, grad):
    """In the parameter's order of memory, but for dimensions of one index, where autograd's strides are others."""
    if param.dim() != 4:
        return grad
    return grad.contiguous() if param.is_contiguous() else grad.contiguous(memory_format=torch.channels_last)


def kernel_of_cuda(params, grads, buffers, *, lr, grad_scale, found_inf, weight_decay, momentum, nesterov, **rest):
    """What torch's fused SGD kernel does on CUDA, where it checks more and has float16 and bfloat16 right."""
    assert rest == {"dampening": 0.0, "maximize": False, "is_first_step": False}
    assert all(
        scalar is None or (scalar.dtype == torch.float32 and scalar.dim() == 0) for scalar in (grad_scale, found_inf)
    )
    assert not isinstance(lr, torch.Tensor) or lr.dtype == torch.float32
    assert bool(buffers) == (momentum > 0)
    for lists in zip(params, grads, *([buffers] if buffers else []), strict=True):
        assert len({(tensor.dtype, tensor.stride()) for tensor in lists}) == 1
        assert torch.ops.aten.is_non_overlapping_and_dense(lists[0])
        if found_inf == 1:
            continue
        p, d, *m = (tensor.double() for tensor in lists)
        if grad_scale is not None:
            d = d / grad_scale.double()
            lists[1].copy_(d)
        d = d + weight_decay * p
        if buffers:
            m[0] = momentum * m[0] + d
            lists[2].copy_(m[0])
            d = d + momentum * m[0] if nesterov else m[0]
        lists[0].copy_(p - lr * d)


if __name__ == "__main__":
    # Neither the look-ahead nor compensated sums are the Triton kernel's, and its interpreter is slow.
    served = [other for other in OTHERS if not {"nesterov", "kahan_sum"} & other.keys()]
    print(count_equal_cases(cuda_step, "cpu", METHODS[:2], served, [torch.float64, torch.bfloat16]))
