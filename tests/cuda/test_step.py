"""Optimizers on a GPU: the loop's steps, without waiting for the device, in CUDA graphs, compiled and under AMP."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from steepest import INSGD, LARS, SNGM, BlockNormalizedSGD, normalize_gradients, track_input_power
from steepest.optim import ScaledSGD
from steepest.optim.cuda import cuda_step
from steepest.optim.fused_lists import lists_step
from tests.optim.kernel import count_equal_cases

FAMILY = {
    "ScaledSGD": (ScaledSGD, {}),
    "SNGM": (SNGM, {}),
    "SNGM, decay": (SNGM, {"weight_decay": 0.01, "normalize_decay": True}),
    "BNG": (BlockNormalizedSGD, {}),
    "BNG ratio": (BlockNormalizedSGD, {"ratio": 0.02, "nesterov": True}),
    "LARS": (LARS, {"weight_decay": 1e-4}),
    "SNGM, Kahan": (SNGM, {"kahan_sum": True}),
}
PATHS = {"chosen": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}
every = pytest.mark.parametrize("name", FAMILY)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(30, 40), nn.Tanh(), nn.Linear(40, 7)).cuda()


def batches(count):
    generator = torch.Generator("cuda").manual_seed(1)
    return [torch.randn(16, 30, device="cuda", generator=generator) for _ in range(count)]


def build(name, params, path=None, **more):
    make, options = FAMILY[name]
    return make(params, **{"lr": 0.05, "momentum": 0.9, **options, **(PATHS[path] if path else {}), **more})


def backward(model, inputs):
    model(inputs).square().mean().backward()


def is_served(name, path):
    try:
        build(name, [("weight", nn.Parameter(torch.ones(2, 2)))], path)
    except ValueError:
        return False
    return True


every_path = pytest.mark.parametrize(("name", "path"), [(n, p) for n in FAMILY for p in PATHS if is_served(n, p)])


@pytest.mark.parametrize("step", [cuda_step, lists_step])
def test_it_is_the_loop(step):
    assert count_equal_cases(step, "cuda") == 336


@every_path
def test_a_step_does_not_wait_for_the_device(name, path, never_waiting):
    model = network()
    optimizer = build(name, model.named_parameters(), path)
    for inputs in batches(3):  # the state is made, the kernel compiled
        optimizer.zero_grad()
        backward(model, inputs)
        optimizer.step()
    with never_waiting():
        optimizer.zero_grad()
        backward(model, inputs)
        optimizer.step()


@every_path
def test_under_a_grad_scaler(name, path, never_waiting):
    model, twin = network(), network()
    optimizer, plain = build(name, model.named_parameters(), path), build(name, twin.named_parameters(), path)
    scaler = torch.amp.GradScaler("cuda", init_scale=1024.0)
    for i, inputs in enumerate(batches(4)):
        optimizer.zero_grad()
        scaler.scale(model(inputs).square().mean()).backward()
        if i == 2:
            model[0].weight.grad[0, 0] = float("inf")
        else:
            plain.zero_grad()
            backward(twin, inputs)
            plain.step()
        before = copy.deepcopy(model.state_dict())
        with never_waiting() if path == "fused" and i > 0 else nullcontext():  # else the scaler itself waits
            scaler.step(optimizer)
        if i == 2:
            assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
        scaler.update()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)
    assert scaler.get_scale() == 512.0


@every_path
@pytest.mark.parametrize("lr", ["number", "tensor"])
def test_in_a_cuda_graph_it_is_the_eager_step(name, path, lr):
    steps, inputs = 6, batches(10)

    def begin():
        model = network()
        rate = torch.tensor(0.05, device="cuda") if lr == "tensor" else 0.05
        return model, build(name, model.named_parameters(), path, lr=rate)

    model, optimizer = begin()
    for batch in inputs[:3]:
        optimizer.zero_grad()
        backward(model, batch)
        optimizer.step()
    for i, batch in enumerate(inputs[3 : 3 + steps]):
        if lr == "tensor" and i == 3:
            optimizer.param_groups[0]["lr"].fill_(0.01)
        optimizer.zero_grad()
        backward(model, batch)
        if i == 4:
            model[0].weight.grad.fill_(float("nan")) if optimizer.normalizes else None
        optimizer.step()

    captured, theirs = begin()
    static, poison = inputs[0].clone(), torch.zeros((), device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for batch in inputs[:3]:
            static.copy_(batch)
            theirs.zero_grad()
            backward(captured, static)
            theirs.step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    theirs.zero_grad()
    with torch.cuda.graph(graph):
        backward(captured, static)
        captured[0].weight.grad.add_(poison)
        theirs.step()
    torch.empty(1 << 20, device="cpu", pin_memory=True).fill_(77)  # what the host's allocator has been given back
    for i, batch in enumerate(inputs[3 : 3 + steps]):
        if lr == "tensor" and i == 3:
            theirs.param_groups[0]["lr"].fill_(0.01)
        static.copy_(batch)
        poison.fill_(float("nan") if i == 4 and theirs.normalizes else 0.0)
        graph.replay()
    for p, q in zip(captured.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)
    assert theirs.nonfinite_steps == optimizer.nonfinite_steps


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13), reason="compiled steps need torch 2.13"
)
@pytest.mark.parametrize("name", ["SNGM", "LARS"])
def test_compiled_it_is_the_eager_step(name):
    torch.compiler.reset()
    model, twin = network(), network()
    optimizer, eager = build(name, model.named_parameters()), build(name, twin.named_parameters())
    compiled = torch.compile(optimizer.step)
    for inputs in batches(4):
        for one, step in ((model, compiled), (twin, eager.step)):
            one.zero_grad()
            backward(one, inputs)
            step()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


@every
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_trains(name, half):
    model = network()
    optimizer = build(name, model.named_parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        with torch.autocast("cuda", half):
            loss = model(batches(1)[0]).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < losses[0]


@every
def test_a_state_travels_between_devices(name):
    model, twin = network(), network().cpu()
    optimizer, other = build(name, model.named_parameters()), build(name, twin.named_parameters())
    first, second = batches(2)
    backward(model, first)
    optimizer.step()
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(optimizer.state_dict())
    for one, step, inputs in ((model, optimizer, second), (twin, other, second.cpu())):
        one.zero_grad()
        backward(one, inputs)
        step.step()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.cpu(), q, rtol=1e-5, atol=1e-6)


def normalized_adam(model):
    optimizer = torch.optim.AdamW(model.named_parameters(), lr=0.01)
    normalize_gradients(optimizer)
    return optimizer


def tracked_insgd(model):
    track_input_power(model)
    return INSGD(model.named_parameters(), lr=0.05)


@pytest.mark.parametrize("make", [normalized_adam, tracked_insgd])
def test_it_is_the_step_of_the_cpu(make):
    results = []
    for device in "cuda", "cpu":
        model = network().to(device)
        optimizer = make(model)
        for inputs in batches(3):
            optimizer.zero_grad()
            backward(model, inputs.to(device))
            optimizer.step()
        results.append([p.detach().cpu() for p in model.parameters()])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
