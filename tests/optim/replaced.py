"""Optimizers whose tensors were replaced by others, on one path: run in a process of its own, which must live.

    python -m tests.optim.replaced [PATH] [DRAWS]

Every draw ends in a RuntimeError that names a parameter, or in what the loop makes of the same numbers.
"""

import contextlib
import sys

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim import ScaledSGD

PATHS = {"default": {}, "foreach": {"foreach": True}, "loop": {"foreach": False}}
METHODS = (ScaledSGD, SNGM, LARS, BlockNormalizedSGD)
SHAPES = ((), (1,), (3,), (2, 3), (3, 2), (4, 1), (1, 4), (4, 4), (5, 700), (0, 2), (2, 3, 2, 2))
DTYPES = (torch.float32, torch.float64, torch.bfloat16)
WAYS = (
    "as it is", "as it is", "other shape", "other dtype", "complex", "integers", "transposed", "channels last",
    "every other", "expanded", "overlapping", "negated", "of the parameter", "of the gradient", "of another", "mkldnn",
    "sparse", "elsewhere", "grown",
)  # fmt: skip
counts = {"refused": 0, "the loop's": 0}


def replaced(tensor, way, shape, dtype, others):
    """The tensor's numbers, or others where they cannot be kept, as somebody else might lay them out."""
    if way == "other shape":
        return torch.ones(shape, dtype=tensor.dtype)
    if way == "other dtype":
        return tensor.to(dtype)
    if way == "complex":
        return tensor.to(torch.complex64)
    if way == "integers":
        return torch.ones(tensor.shape, dtype=torch.int64)
    if way == "transposed" and tensor.dim() >= 2:
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)
    if way == "channels last" and tensor.dim() == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    if way == "every other" and tensor.dim():
        return torch.stack([tensor, tensor], dim=-1)[..., 0]
    if way == "expanded" and tensor.numel():
        return tensor.flatten()[:1].reshape([1] * tensor.dim()).expand(tensor.shape)
    if way == "overlapping" and tensor.dim() == 2 and min(tensor.shape) > 1:
        return torch.arange(sum(tensor.shape), dtype=tensor.dtype).as_strided(tensor.shape, (1, 1))
    if way == "negated":
        return torch._neg_view(-tensor)
    if way in ("of the parameter", "of the gradient", "of another"):
        index = ("of the parameter", "of the gradient", "of another").index(way)
        return others[index] if index < len(others) else tensor
    if way == "mkldnn" and tensor.dtype == torch.float32 and tensor.dim():
        return tensor.to_mkldnn()
    if way == "sparse" and tensor.dim():
        return tensor.to_sparse()
    if way == "elsewhere":
        return tensor.to("meta")
    if way == "grown" and tensor.dim():
        return torch.cat([tensor, tensor])
    return tensor


def plain(tensor):
    """The same numbers and dtype in memory of their own."""
    return tensor if tensor.is_meta or tensor.layout != torch.strided else tensor.resolve_neg().contiguous().clone()


def steps(method, options, path, params, grads, buffers, of_parameters):
    """The parameters after two steps, with the state and the memory of the parameters replaced in between."""
    optimizer = method(params, lr=0.1, **options, **path)
    for p, g in zip(params, grads, strict=True):
        p.grad = torch.ones_like(p) if g is None else g
    for p, b in zip(params, buffers, strict=True):
        if b is not None:
            optimizer.state[p]["momentum_buffer"] = b
    optimizer.step()
    for p, data in zip(params, of_parameters, strict=True):
        if data is not None:
            with contextlib.suppress(RuntimeError):  # of torch, which takes no memory of another kind
                p.data = data
    optimizer.step()
    return [p.detach().clone() for p in params]


def one_draw(path, draw):
    method, options = draw(st.sampled_from(METHODS)), {"momentum": draw(st.sampled_from((0.0, 0.9)))}
    options |= draw(st.sampled_from(({}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True})))
    if path != "default":
        options["kahan_sum"] = draw(st.booleans())
        options["nesterov"] = options["momentum"] > 0 and draw(st.booleans())
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    dtype, other = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(DTYPES))
    shape = draw(st.sampled_from(SHAPES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    params, grads, buffers, later, clean = [], [], [], [], []
    for s in shapes:
        ways = [draw(st.sampled_from(WAYS)) for _ in range(4)]
        w, g, m = (torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for _ in range(3))
        ways[0] = "as it is" if ways[0] in ("integers", "sparse", "mkldnn", "elsewhere") else ways[0]
        try:
            p = nn.Parameter(replaced(w, ways[0], shape, other, []))
            g = replaced(g, ways[1], shape, other, [p.detach(), g])
            p.grad = g
        except RuntimeError:  # torch itself refuses such a gradient
            p, g = nn.Parameter(w), torch.ones_like(w)
            p.grad = g
        p.grad = None
        b = replaced(m, ways[2], shape, other, [p.detach(), g, *buffers]) if draw(st.booleans()) else None
        n = replaced(p.detach().clone(), ways[3], shape, other, []) if draw(st.booleans()) else None
        if n is not None and (n.layout != torch.strided or n.is_complex() or not n.is_floating_point()):
            n = None
        params.append(p), grads.append(g), buffers.append(b), later.append(n)
        clean.append([None if t is None else plain(t.detach()) for t in (p, g, b, n)])
    expected = refused = None
    try:
        twins = [nn.Parameter(c[0]) for c in clean]
        for c, twin, p, g in zip(clean, twins, params, grads, strict=True):
            if g.layout == torch.strided and not g.is_meta and torch._C._is_alias_of(g, p):
                c[1] = twin.detach()  # a gradient that moves with its parameter does so on the loop
        expected = steps(method, options, PATHS["loop"], twins, *([c[i] for c in clean] for i in (1, 2, 3)))
    except RuntimeError as error:
        refused = error
    try:
        got = steps(method, options, PATHS[path], params, grads, buffers, later)
    except RuntimeError as error:
        counts["refused"] += 1
        if not any(words in str(error) for words in ("parameter", "not support sparse")):
            raise
        return
    counts["the loop's"] += 1
    assert expected is not None, f"the loop refuses it: {refused}"
    kinds = {dtype} | {t.dtype for t in (*got, *grads, *buffers) if t is not None and t.dtype != torch.int64}
    coarsest = max(torch.finfo(kind).eps for kind in kinds)
    for p, q in zip(got, expected, strict=True):
        if not p.is_meta:
            torch.testing.assert_close(
                p, q, rtol=8 * coarsest, atol=8 * coarsest * (1 + q.abs().max().item() if q.numel() else 1)
            )


def main(path="default", draws="2000"):
    torch.set_num_threads(1)

    @settings(
        max_examples=int(draws),
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def every(data):
        one_draw(path, data.draw)

    every()
    print(path, counts)


if __name__ == "__main__":
    main(*sys.argv[1:])
