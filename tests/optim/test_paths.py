"""The three paths: which is taken, what each refuses, and that they stay one step whatever happens between steps."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim import ScaledSGD
from steepest.optim.loop import loop_step

LOOP = {"foreach": False, "fused": False}
FAST = {"foreach": {"foreach": True}, "fused": {"fused": True}}
METHODS = {
    "sngm": (SNGM, {"lr": 0.1}),
    "bng": (BlockNormalizedSGD, {"lr": 0.1}),
    "bng-ratio": (BlockNormalizedSGD, {"lr": 0.1, "ratio": 0.5}),
    "lars": (LARS, {"lr": 0.1, "trust": 0.5, "weight_decay": 0.1}),
}
every_method = pytest.mark.parametrize("name", METHODS)
every_path = pytest.mark.parametrize("path", FAST)


def build(name, params, **options):
    optimizer_class, defaults = METHODS[name]
    return optimizer_class(params, **{**defaults, **options})


def weights(*shapes, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64).to(dtype)) for s in shapes]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "fused_step"),
        ({"fused": True}, "fused_step"),
        ({"foreach": True}, "foreach_step"),
        ({"foreach": False}, "loop_step"),
        ({"fused": False}, "loop_step"),
        ({"nesterov": True}, "foreach_step"),
        ({"kahan_sum": True}, "foreach_step"),
        ({"foreach": True, "fused": False}, "foreach_step"),
    ],
    ids=str,
)
def test_which_path_is_taken_on_the_cpu(options, expected):
    assert SNGM(weights((2, 3)), lr=0.1, **options)._choose_path().__name__ == expected


def test_which_path_is_taken_elsewhere():
    meta = [nn.Parameter(torch.empty(2, device="meta"))]
    assert SNGM(meta, lr=0.1)._choose_path() is loop_step
    assert SNGM(meta + weights((2,)), lr=0.1)._choose_path() is loop_step


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fused": True, "nesterov": True}, "fused=True does not serve nesterov=True: leave fused=None"),
        ({"fused": True, "kahan_sum": True}, "fused=True does not serve kahan_sum=True: leave fused=None"),
        ({"fused": True, "foreach": True}, "foreach=True and fused=True exclude each other"),
    ],
    ids=str,
)
def test_the_impossible_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SNGM(weights((2, 3)), lr=0.1, **options)


def test_one_path_takes_the_whole_step():
    first, second = weights((2,), (2,))
    with pytest.raises(ValueError, match="foreach must be the same for all groups, got True"):
        SNGM([{"params": [first]}, {"params": [second], "foreach": True}], lr=0.1)


def test_fused_refuses_what_is_not_on_the_cpu():
    param = nn.Parameter(torch.empty(2, device="meta"))
    param.grad = torch.empty(2, device="meta")
    with pytest.raises(
        RuntimeError, match="fused=True serves parameters on the CPU, got one on meta: leave fused=None"
    ):
        SNGM([param], lr=0.1, fused=True).step()


@every_path
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_life_of_an_optimizer_is_that_of_the_loop(path, data):
    """Gradients come and go, groups are added, states loaded, weights exchanged: the paths stay equal."""
    name = data.draw(st.sampled_from(list(METHODS)))
    shapes = data.draw(st.lists(st.lists(st.integers(0, 5), max_size=3).map(tuple), min_size=1, max_size=4))
    groups = data.draw(st.integers(1, min(2, len(shapes))))
    named = data.draw(st.booleans())
    options = data.draw(
        st.fixed_dictionaries(
            {"momentum": st.sampled_from([0.0, 0.9]), "weight_decay": st.sampled_from([0.0, 0.1]), "maximize": booleans}
        )
    )
    dtype = data.draw(st.sampled_from([torch.float64, torch.complex128]))
    twins = []
    for chosen in (LOOP, FAST[path]):
        params = weights(*shapes, dtype=dtype)
        layers = [(f"{i // 2}.{i}", p) for i, p in enumerate(params)] if named else params
        optimizer = build(name, [{"params": layers[i::groups]} for i in range(groups)], **options, **chosen)
        twins.append((params, optimizer))
    for step in range(data.draw(st.integers(1, 4))):
        event = data.draw(st.sampled_from(["nothing", "add", "load", "lr", "exchange"]))
        missing = data.draw(st.integers(-1, len(shapes)))
        for params, optimizer in twins:
            generator = torch.Generator().manual_seed(step)
            if event == "add":
                late = nn.Parameter(torch.ones(2, 2, dtype=dtype))
                params.append(late)
                optimizer.add_param_group({"params": [(f"late.{step}", late)] if named else [late]})
            elif event == "load":
                optimizer.load_state_dict(optimizer.state_dict())
            elif event == "lr":
                optimizer.param_groups[0]["lr"] *= 0.5
            elif event == "exchange":  # as some wrappers of models do
                optimizer.state.pop(params[0], None)
                params[0] = nn.Parameter(params[0].detach() + 1)
                optimizer.param_groups[0]["params"][0] = params[0]
            for i, p in enumerate(params):
                p.grad = None if i == missing else torch.randn(p.shape, generator=generator, dtype=dtype)
            optimizer.step()
    for p, q in zip(*(params for params, _ in twins), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


booleans = st.booleans()


@every_method
@every_path
@pytest.mark.parametrize("size", [1e-15, 1e-6, 1e6, 1e15])
def test_gradients_of_any_size(name, path, size):
    """The fused kernel's `1 - dampening` must not lose the digits of a small scale."""
    results = []
    for dtype, options in ((torch.float64, LOOP), (torch.float32, FAST[path])):
        params = weights((40, 30), (40,), dtype=dtype)
        optimizer = build(name, params, **options, weight_decay=0.01)
        for step in range(3):
            generator = torch.Generator().manual_seed(step)
            for p in params:
                p.grad = (size * torch.randn(p.shape, generator=generator, dtype=torch.float64)).to(dtype)
            optimizer.step()
        results.append([p.detach().double() for p in params])
    for p, q in zip(*results, strict=True):
        assert (p - q).abs().max() <= 1e-6 * q.abs().max()


@pytest.mark.parametrize("name", [n for n in METHODS if n != "sngm"])
@pytest.mark.parametrize("path", ["loop", *FAST])
def test_only_the_block_that_is_not_finite_stays(name, path):
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    optimizer = build(name, model.named_parameters(), **{"loop": LOOP, **FAST}[path])
    for _ in range(2):
        before = [p.detach().clone() for p in model.parameters()]
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        model[0].bias.grad[1] = float("nan")
        optimizer.step()
        moved = [not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)]
        assert moved == [False, False, True, True]
    assert optimizer.nonfinite_steps == 2


@pytest.mark.parametrize("path", ["loop", *FAST])
def test_lars_leaves_zero_weights_alone_when_their_gradient_is_not_finite(path):
    """Its scale is 1 for zero weights, whatever their gradient."""
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.tensor([1.0, float("nan"), 0.0])
    optimizer = LARS([weight], lr=0.1, **{"loop": LOOP, **FAST}[path])
    optimizer.step()
    assert torch.equal(weight, torch.zeros(3))
    assert optimizer.nonfinite_steps == 1


@pytest.mark.parametrize("path", ["loop", *FAST])
def test_an_overflow_that_the_grad_scaler_found_is_counted(path):
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    optimizer = SNGM([weight], lr=0.1, **{"loop": LOOP, **FAST}[path])
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert torch.equal(weight, torch.ones(3))
    assert optimizer.nonfinite_steps == 1


class NoHostRead(TorchDispatchMode):
    """Fail where a number would be read from the device: the synchronisation that a CUDA stream would wait for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default, "a value was read on the host"
        return func(*args, **(kwargs or {}))


@every_method
@pytest.mark.parametrize("options", [LOOP, {"foreach": True}], ids=["loop", "foreach"])
@pytest.mark.parametrize("more", [{}, {"nesterov": True}, {"kahan_sum": True}, {"weight_decay": 0.1}], ids=str)
def test_the_paths_of_a_device_never_read_from_it(name, options, more):
    params = weights((3, 2), (3,))
    optimizer = build(name, params, **{**options, **more})
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(4.0), torch.tensor(0.0)
    for _ in range(2):
        for p in params:
            p.grad = torch.ones_like(p)
        with NoHostRead():
            optimizer.step()
    with pytest.raises(AssertionError, match="read on the host"), NoHostRead():
        assert optimizer.nonfinite_steps == 0


@every_method
@pytest.mark.parametrize(
    "options", [{}, {"nesterov": True}, {"weight_decay": 0.1, "decoupled_weight_decay": True}], ids=str
)
@pytest.mark.slow
def test_compiled_it_is_the_same_step_and_is_not_compiled_again(name, options):
    """Not for a gradient of other values, a moved lr (a tensor), nor a non-finite norm."""
    plain, traced = weights((4, 3), (4,)), weights((4, 3), (4,))
    loop = build(name, plain, **{**options, **LOOP}, lr=torch.tensor(0.1))
    compiled = build(name, traced, **options, lr=torch.tensor(0.1))
    torch._dynamo.reset()
    step = torch.compile(compiled.step, backend="aot_eager", fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=False):
        for i in range(6):
            for optimizer, params in ((loop, plain), (compiled, traced)):
                optimizer.param_groups[0]["lr"].fill_(0.1 / (i + 1))
                generator = torch.Generator().manual_seed(i)
                for p in params:
                    p.grad = torch.randn(p.shape, generator=generator)
                if i == 4:
                    params[0].grad[0, 0] = float("nan")
            loop.step()
            with torch._dynamo.config.patch(error_on_recompile=i >= 3):  # the state and the counter were built
                step()
    for p, q in zip(plain, traced, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
    assert compiled.nonfinite_steps == loop.nonfinite_steps == 1


@pytest.mark.parametrize("path", ["loop", *FAST])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_an_lr_tensor_is_not_rounded_to_half_precision(dtype, path):
    """In bfloat16 1.0039 is 1, and 3 times that is 3; rounded once it is a neighbour of 3."""
    lr = 1 + torch.finfo(dtype).eps / 2
    weight = nn.Parameter(torch.zeros(1, dtype=dtype))
    weight.grad = torch.full_like(weight, 3.0)
    ScaledSGD([weight], lr=torch.tensor(lr), momentum=0.0, **{"loop": LOOP, **FAST}[path]).step()
    assert torch.equal(weight.detach(), torch.tensor([-3 * lr]).to(dtype))
    assert not torch.equal(weight.detach(), torch.tensor([-3.0]).to(dtype))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("path", ["loop", "foreach"])
@pytest.mark.slow
def test_kahan_moves_weights_by_steps_below_their_resolution(name, dtype, path):
    """300 steps of a hundredth of the distance between neighbours: without Kahan's sum nothing moves at all."""
    results = {}
    step_length = torch.finfo(dtype).eps / 100
    for key, kind, kahan in (("exact", torch.float64, False), ("kahan", dtype, True), ("plain", dtype, False)):
        weight = nn.Parameter(torch.ones(16, dtype=kind))
        lr = step_length * 4  # 4 = the norm of the gradient
        if name in ("bng-ratio", "lars"):
            lr = step_length * 4 / (0.5 * 4)
        options = {"loop": LOOP, "foreach": FAST["foreach"]}[path]
        optimizer = build(name, [weight], lr=lr, momentum=0.0, weight_decay=0.0, kahan_sum=kahan, **options)
        for _ in range(300):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        results[key] = weight.detach().double()
    assert torch.equal(results["plain"], torch.ones(16, dtype=torch.float64))
    assert (1 - results["exact"]).min() > 2.9 * torch.finfo(dtype).eps
    assert (results["kahan"] - results["exact"]).abs().max() <= torch.finfo(dtype).eps


@pytest.mark.parametrize("decoupled", [True, False])
def test_kahan_keeps_a_small_weight_decay(decoupled):
    """Decoupled, the shrinkage itself is below the resolution."""
    options = {"lr": 1e-3, "weight_decay": 0.1, "decoupled_weight_decay": decoupled, "momentum": 0.0}
    results = []
    for dtype, kahan in ((torch.float64, False), (torch.bfloat16, True)):
        weight = nn.Parameter(torch.ones(4, dtype=dtype))
        optimizer = SNGM([weight], kahan_sum=kahan, **options)
        for _ in range(1000):
            weight.grad = torch.zeros_like(weight)
            optimizer.step()
        results.append(weight.detach().double())
    assert results[0].max() < 0.91
    assert (results[0] - results[1]).abs().max() <= torch.finfo(torch.bfloat16).eps


MEMORY = """
import sys, torch
from steepest import LARS, SNGM, BlockNormalizedSGD
torch.set_num_threads(1)
BIG, SMALL, COUNT = 1 << 23, 1 << 21, 8  # 32 MB and 8 times 8 MB

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

for make, options in (
    (SNGM, {}), (BlockNormalizedSGD, {"ratio": 0.02}), (LARS, {}), (SNGM, {"nesterov": True}),
    (SNGM, {"kahan_sum": True}), (SNGM, {"kahan_sum": True, "nesterov": True}),
    (SNGM, {"normalize_decay": True}), (SNGM, {"decoupled_weight_decay": True}),
):
    for path in ({}, {"foreach": True}):
        params = [torch.ones(n, requires_grad=True) for n in (BIG, *[SMALL] * COUNT)]
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer = make(params, lr=0.1, weight_decay=0.1, **options, **path)
        optimizer.step()  # builds the state
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts anew
        before = status("VmRSS")
        optimizer.step()
        print((status("VmHWM") - before) / (4 * BIG), make.__name__, options, path)
        del params, optimizer, p
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.slow
def test_a_step_needs_no_more_memory_than_the_largest_tensor():
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # freed memory goes back at once
    run = subprocess.run(
        [sys.executable, "-c", MEMORY], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 16
    for line in lines:
        assert float(line.split()[0]) <= 1.05, line
