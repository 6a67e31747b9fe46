"""INSGD against a slow float64 loop, the promises of its sheet, and its state."""

import copy
import io
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributed.checkpoint import state_dict as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim.apply_optimizer_in_backward import _apply_optimizer_in_backward
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

from steepest import INSGD, track_input_power
from tests.ranks import RANKS, on_ranks

PATHS = {"loop": {"foreach": False, "fused": False}, "foreach": {"foreach": True}}
paths = pytest.mark.parametrize("path", PATHS)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# The specification in numpy: torch serves for gradients and for the inputs of the layers, and nothing else.


def layers_of(groups):
    """A convolution on 4 channels, then a linear layer: weights and biases as numpy arrays."""
    rng = np.random.default_rng(5)
    shapes = [(8, 4 // groups, 3, 3), (8,), (3, 8 * 4 * 3), (3,)]
    return [0.3 * rng.normal(size=shape) for shape in shapes]


def forward(weights, x, groups):
    """The outputs, and the input of each layer."""
    hidden = F.conv2d(x, weights[0], weights[1], padding=1, groups=groups).tanh().flatten(1)
    return F.linear(hidden, weights[2], weights[3]), [x, hidden]


def textbook_power(x, norm, standardize):
    """One value for each channel of (N, C, H, W), one in all of (N, D); the mean over N."""
    rows = []
    for row in x:
        vectors = [channel.ravel() for channel in row] if row.ndim == 3 else [row]
        if standardize:
            vectors = [(v - v.mean()) / max(v.std(ddof=1), 0.01) for v in vectors]  # the authors' floor
        rows.append([np.abs(v).sum() if norm == "l1" else (v**2).sum() for v in vectors])
    return np.mean(rows, axis=0)


def textbook_scale(power, weight, groups, rule, eps):
    """One value for each element of the weight."""
    r = [1 / (eps + p) if rule == "nlms" else 1 / max(math.log(p), eps) for p in power]
    scale = np.zeros_like(weight)
    outputs, inputs = weight.shape[:2]
    for o, j in itertools.product(range(outputs), range(inputs)):
        channel = (o // (outputs // groups)) * inputs + j
        scale[o, j] = r[channel] if weight.ndim == 4 else r[0]
    return scale


def batches(steps):
    """Inputs whose channels have powers from a thousandth to a thousand, so that the floor is met too."""
    sizes = torch.tensor([0.02, 0.3, 1.0, 9.0], dtype=torch.float64).view(4, 1, 1)
    return [sizes * randn(5, 4, 4, 3, seed=seed) for seed in range(steps)]


def textbook(steps, groups, norm, standardize, *, lr, momentum, weight_decay=0.0, rule, beta, eps, **options):
    weights = layers_of(groups)
    u = [np.zeros_like(w) for w in weights]
    power = [0.0, 0.0]
    for t, x in enumerate(batches(steps), start=1):
        given_weights = [torch.tensor(w, requires_grad=True) for w in weights]
        outputs, inputs = forward(given_weights, x, groups)
        outputs.square().mean().backward()
        for i, w in enumerate(weights):
            g = given_weights[i].grad.numpy()
            r = np.ones_like(w)
            if i in (0, 2):
                now = textbook_power(inputs[i // 2].detach().numpy(), norm, standardize)
                power[i // 2] = beta * power[i // 2] + (1 - beta) * now
                r = textbook_scale(power[i // 2] / (1 - beta**t), w, groups if i == 0 else 1, rule, eps)
            d = -g if options.get("maximize") else g
            if options.get("decoupled_weight_decay"):
                w = w - lr * weight_decay * w
            else:
                d = d + weight_decay * w
            u[i] = momentum * u[i] + d
            weights[i] = w - lr * r * (d + momentum * u[i] if options.get("nesterov") else u[i])
    return weights


class Net(nn.Module):
    def __init__(self, groups):
        super().__init__()
        self.groups = groups
        self.conv, self.head = nn.Conv2d(4, 8, 3, padding=1, groups=groups), nn.Linear(96, 3)
        self.double()
        for p, w in zip(self.parameters(), layers_of(groups), strict=True):
            p.data = torch.from_numpy(w)

    def forward(self, x):
        return self.head(self.conv(x).tanh().flatten(1))


def train(model, optimizer, inputs):
    for x in inputs:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


STEPS = [
    {"momentum": 0.0},
    {"momentum": 0.9, "weight_decay": 0.1},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    {"momentum": 0.9, "weight_decay": 0.1, "decoupled_weight_decay": True},
    {"momentum": 0.9, "maximize": True},
]


@paths
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("rule", ["log", "nlms", "released"])
@pytest.mark.parametrize("step", STEPS, ids=str)
def test_it_is_the_textbook(step, rule, norm, groups, path):
    options = {"lr": 0.005, "rule": rule, "beta": 0.8, "eps": 0.05, **step}
    model = Net(groups)
    track_input_power(model, norm=norm, standardize=rule == "released")
    train(model, INSGD(model.named_parameters(), **options, **PATHS[path]), batches(12))
    expected = textbook(12, groups, norm, rule == "released", **options)
    for p, e, start in zip(model.parameters(), expected, layers_of(groups), strict=True):
        assert np.abs(e - start).max() > 1e-4
        np.testing.assert_allclose(p.detach().numpy(), e, rtol=1e-12, atol=1e-12)


def neuron(features=4):
    model = nn.Linear(features, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(randn(1, features, seed=7))
    return model


def lms(model, optimizer, x, target):
    """One step on L = e^2 / 2; the error before it and after it."""
    optimizer.zero_grad()
    before = model(x) - target
    (0.5 * before.square().sum()).backward()
    optimizer.step()
    with torch.no_grad():
        return before.item(), (model(x) - target).item()


NLMS = {"rule": "nlms", "momentum": 0.0, "beta": 0.0, "eps": 1e-300}


class TestNLMS:
    """What normalised LMS is known for: batch 1, squared loss, a linear neuron."""

    @settings(max_examples=40, deadline=None)
    @given(
        decade=st.floats(-2, 2),
        lr=st.floats(0, 2),
        seed=st.integers(0, 99),
        target=st.floats(-9, 9),
        path=st.sampled_from(list(PATHS)),
    )
    def test_the_error_shrinks_by_one_minus_lr_whatever_the_input(self, decade, lr, seed, target, path):
        model = neuron()
        track_input_power(model)
        optimizer = INSGD(model.parameters(), lr=lr, **NLMS, **PATHS[path])
        before, after = lms(model, optimizer, 10**decade * randn(1, 4, seed=seed), target)
        assert after == pytest.approx((1 - lr) * before, abs=1e-12 * max(1, abs(before), abs(target)))

    @pytest.mark.parametrize(("lr", "bounded"), [(1.95, True), (2.05, False)])
    def test_stable_below_two_only(self, lr, bounded):
        model = neuron()
        track_input_power(model)
        optimizer = INSGD(model.parameters(), lr=lr, **NLMS)
        x = 50 * randn(1, 4, seed=3)
        first, _ = lms(model, optimizer, x, 1.0)
        for _ in range(200):
            last, _ = lms(model, optimizer, x, 1.0)
        assert (abs(last) < abs(first) / 100) == bounded

    @pytest.mark.parametrize("c", [1e-3, 0.5, 1e4])
    def test_scaling_the_input_leaves_the_predictions(self, c):
        predictions = []
        for scale in (1.0, c):
            model = neuron()
            with torch.no_grad():
                model.weight.div_(scale)  # the same prediction to begin with
            track_input_power(model)
            optimizer = INSGD(model.parameters(), lr=0.7, **{**NLMS, "beta": 0.9})
            seen = [lms(model, optimizer, scale * randn(1, 4, seed=s), math.sin(s))[0] for s in range(30)]
            predictions.append(torch.tensor(seen))
        torch.testing.assert_close(predictions[1], predictions[0], rtol=1e-9, atol=1e-12)

    @paths
    @pytest.mark.parametrize("size", [0.0, 1e-30, 1e-3])
    def test_a_tiny_input_moves_by_lr_over_eps_and_never_backwards(self, size, path):
        for rule in ("log", "nlms"):
            model = neuron()
            track_input_power(model)
            optimizer = INSGD(model.parameters(), lr=0.1, momentum=0.0, rule=rule, eps=0.01, **PATHS[path])
            start = model.weight.detach().clone()
            model(torch.full((1, 4), size, dtype=torch.float64))
            model.weight.grad = torch.ones_like(model.weight)
            optimizer.step()
            floor = 0.1 / 0.01 if rule == "log" else 0.1 / (0.01 + 4 * size**2)
            torch.testing.assert_close(start - model.weight.detach(), torch.full_like(start, floor))
            assert optimizer.nonfinite_steps == 0


def half_tracked(named, path, optimizer_class, **options):
    """A tracked layer, an untracked normalisation layer, and one that is tracked and never called."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2), nn.Linear(2, 2))
    params = model.named_parameters() if named else model.parameters()
    handle = track_input_power(model[0]) if optimizer_class is INSGD else None
    if optimizer_class is INSGD:
        assert set(handle.uncovered(model)) == {"0.bias"} | {n for n, _ in model.named_parameters() if n[0] in "123"}
    optimizer = optimizer_class(params, lr=0.05, **options, **PATHS[path])
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=generator)
        with torch.enable_grad():
            model[0](torch.ones(3, 4))
        optimizer.step()
    return model, optimizer


@paths
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("options", [{"weight_decay": 0.01}, {"momentum": 0.9, "nesterov": True}], ids=str)
def test_untracked_parameters_take_torchs_sgd_bit_for_bit(named, options, path):
    options = {"momentum": 0.9, **options}
    (ours, mine), (theirs, reference) = (half_tracked(named, path, c, **options) for c in (INSGD, torch.optim.SGD))
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, q) == (name != "0.weight")
        if name != "0.weight":
            assert torch.equal(mine.state[p]["momentum_buffer"], reference.state[q]["momentum_buffer"])
            assert set(mine.state[p]) == {"momentum_buffer"}


def test_until_a_layer_has_seen_an_input_it_takes_plain_sgd():
    model, reference = neuron(), neuron()
    track_input_power(model)
    optimizer = INSGD(model.parameters(), foreach=False)
    sgd = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        model.weight.grad = torch.ones_like(model.weight)
        reference.weight.grad = torch.ones_like(model.weight)
        optimizer.step()
        sgd.step()
    assert torch.equal(model.weight, reference.weight)
    assert optimizer.state[model.weight]["step"] == 0


def test_a_step_without_rows_keeps_the_average():
    model = neuron()
    track_input_power(model)
    optimizer = INSGD(model.parameters(), lr=0.1, momentum=0.0)
    lms(model, optimizer, randn(1, 4), 0.0)
    state = copy.deepcopy(optimizer.state[model.weight])
    start = model.weight.detach().clone()
    optimizer.step()  # the gradient is still there
    assert torch.equal(optimizer.state[model.weight]["input_power"], state["input_power"])
    assert optimizer.state[model.weight]["step"] == 1
    scale = 1 / max(math.log(randn(1, 4).square().sum()), 0.01)
    torch.testing.assert_close(model.weight.detach(), start - 0.1 * scale * model.weight.grad)


@paths
# After tanh an infinity is a 1, and the next layer's input is sound.
@pytest.mark.parametrize(("bad", "head_too"), [(float("nan"), True), (float("inf"), False)])
def test_a_nonfinite_input_passes_the_weight_over_and_spares_the_average(bad, head_too, path):
    model = Net(2)
    track_input_power(model)
    optimizer = INSGD(model.named_parameters(), **PATHS[path])
    train(model, optimizer, batches(2))
    before, state = copy.deepcopy(list(model.parameters())), copy.deepcopy(optimizer.state[model.conv.weight])
    bias_buffer = optimizer.state[model.conv.bias]["momentum_buffer"].clone()
    x = batches(3)[2]
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    x[1, 2, 0, 0] = bad
    model(x)
    optimizer.step()
    after = list(model.parameters())
    assert optimizer.nonfinite_steps == 1
    assert [torch.equal(p, q) for p, q in zip(after, before, strict=True)] == [True, False, head_too, False]
    for name, value in state.items():
        assert torch.equal(optimizer.state[model.conv.weight][name], value), name
    assert not torch.equal(optimizer.state[model.conv.bias]["momentum_buffer"], bias_buffer)
    train(model, optimizer, batches(2))
    assert optimizer.nonfinite_steps == 1
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert not torch.equal(model.conv.weight, before[0])


@paths
def test_what_a_grad_scaler_skips_changes_nothing_at_all(path):
    model = Net(1)
    track_input_power(model)
    optimizer = INSGD(model.named_parameters(), **PATHS[path])
    train(model, optimizer, batches(2))
    before, state = copy.deepcopy(list(model.parameters())), copy.deepcopy(optimizer.state_dict()["state"])
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(8.0), torch.tensor(1.0)
    train(model, optimizer, batches(1))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    torch.testing.assert_close(optimizer.state_dict()["state"], state, rtol=0, atol=0)


def test_patch_power_scales_the_whole_convolution():
    model = Net(2)
    track_input_power(model, patch=True)
    optimizer = INSGD(model.named_parameters(), lr=0.1, momentum=0.0, rule="nlms", eps=0.5)
    x = batches(1)[0]
    start = model.conv.weight.detach().clone()
    train(model, optimizer, [x])
    patches = F.unfold(x, 3, padding=1).reshape(5, 2, 18, 12)
    expected = start - 0.1 / (0.5 + patches.square().sum(2).mean()) * model.conv.weight.grad
    torch.testing.assert_close(model.conv.weight.detach(), expected, rtol=1e-12, atol=1e-14)
    assert optimizer.state[model.conv.weight]["input_power"].shape == (1,)


@paths
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_scaled_in_float32(dtype, path):
    model = nn.Linear(4, 1, bias=False).to(dtype)
    track_input_power(model)
    optimizer = INSGD(model.parameters(), lr=1.0, momentum=0.0, rule="nlms", **PATHS[path])
    with torch.no_grad():
        model.weight.zero_()
    model(torch.full((1, 4), 300.0, dtype=dtype))
    model.weight.grad = torch.full_like(model.weight, 3e4)
    optimizer.step()  # 1 / 360000 is below float16's normal numbers
    expected = torch.full_like(model.weight, -model.weight.grad[0, 0].item() / (0.01 + 4 * 300.0**2))
    torch.testing.assert_close(model.weight.detach(), expected, rtol=torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_resume_in_the_middle_is_bit_exact(dtype):
    def run(resume):
        model = Net(2).to(dtype)
        track_input_power(model)
        optimizer = INSGD(model.named_parameters(), weight_decay=0.01)
        for i, x in enumerate(batches(8)):
            if i == 4 and resume:
                file = io.BytesIO()
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
                file.seek(0)
                saved = torch.load(file, weights_only=True)
                model = Net(2).to(dtype)
                model.load_state_dict(saved["model"])
                track_input_power(model)
                optimizer = INSGD(model.named_parameters())
                optimizer.load_state_dict(saved["optimizer"])
                kept = copy.deepcopy(saved["optimizer"]["state"])
            train(model, optimizer, [x.to(dtype)])
        if resume:  # the loaded optimizer must not write into what it was given
            for name in ("input_power", "step"):
                assert torch.equal(saved["optimizer"]["state"][0][name], kept[0][name])
        power = optimizer.state[model.conv.weight]["input_power"]
        assert power.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert optimizer.state[model.conv.weight]["step"].dtype == torch.float32
        return [*model.parameters(), power, optimizer.state[model.head.weight]["input_power"]]

    for p, q in zip(run(False), run(True), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("flatten", [False, True])
def test_distributed_checkpoint_state_round_trip(flatten):
    """It builds missing state by a step with zero gradients, lr = 0 and no forward pass."""
    options = dcp.StateDictOptions(flatten_optimizer_state_dict=flatten)
    straight, resumed = Net(2), Net(2)
    for model in (straight, resumed):
        track_input_power(model)
    optimizer = INSGD(straight.named_parameters(), weight_decay=0.01)
    train(straight, optimizer, batches(6)[:3])
    saved = copy.deepcopy(dcp.get_optimizer_state_dict(straight, optimizer, options=options))
    train(straight, optimizer, batches(6)[3:])

    train(resumed, INSGD(resumed.named_parameters(), weight_decay=0.01), batches(6)[:3])
    before = copy.deepcopy(list(resumed.parameters()))
    resumed.zero_grad()
    fresh = INSGD(resumed.named_parameters(), weight_decay=0.01)
    initial = dcp.get_optimizer_state_dict(resumed, fresh)["state"]
    assert torch.equal(initial["conv.weight"]["input_power"], torch.zeros(4, dtype=torch.float64))
    dcp.set_optimizer_state_dict(resumed, fresh, saved, options=options)
    assert all(torch.equal(p, q) for p, q in zip(resumed.parameters(), before, strict=True))
    train(resumed, fresh, batches(6)[3:])
    assert all(torch.equal(p, q) for p, q in zip(resumed.parameters(), straight.parameters(), strict=True))


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_a_copy_with_its_model_goes_on_once_it_is_tracked(copier):
    model = Net(1)
    track_input_power(model)
    optimizer = INSGD(model.named_parameters())
    train(model, optimizer, batches(3))
    other, other_optimizer = copier((model, optimizer))
    with pytest.raises(RuntimeError, match=r"call steepest\.track_input_power\(model\)"):
        train(other, other_optimizer, batches(1))
    track_input_power(other)
    for pair in ((model, optimizer), (other, other_optimizer)):
        train(*pair, batches(2))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))


def test_a_step_that_was_saved_as_a_number_loads_as_a_tensor():
    model = Net(1)
    track_input_power(model)
    optimizer = INSGD(model.named_parameters())
    train(model, optimizer, batches(2))
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        if "step" in state:
            state["step"] = float(state["step"])
            state["input_power"] = state["input_power"].tolist()
    resumed = INSGD(model.named_parameters())
    resumed.load_state_dict(saved)
    for name in ("step", "input_power"):
        restored = resumed.state[model.conv.weight][name]
        torch.testing.assert_close(restored, optimizer.state[model.conv.weight][name].to(restored.dtype))
    train(model, resumed, batches(1))
    assert resumed.state[model.conv.weight]["step"] == 3


@pytest.mark.parametrize("options", [{"momentum": 0.0}, {"momentum": 0.0, "kahan_sum": True}, {}], ids=str)
def test_all_parameters_have_a_state_or_none(options):
    """A distributed checkpoint refuses to load where one parameter's state is missing."""
    model = Net(1)
    track_input_power(model)
    optimizer = INSGD(model.named_parameters(), **options)
    train(model, optimizer, batches(2))
    assert all(optimizer.state[p] for p in model.parameters())
    steps = [optimizer.state[p].get("step") for p in model.parameters()]
    assert [int(step) for step in steps if step is not None and step > 0] == [2, 2]


def test_a_step_on_a_weight_whose_layer_lost_it_is_refused_once_it_was_tracked():
    model = Net(1)
    track_input_power(model)
    optimizer = INSGD(model.named_parameters(), lr=0.01)
    train(model, optimizer, batches(1))
    old = model.head.weight
    model.head.weight = nn.Parameter(old.detach().clone())
    old.grad = torch.ones_like(old)
    start = old.detach().clone()
    with pytest.raises(RuntimeError, match=r"weight of shape \(3, 96\) was tracked before and is no more"):
        optimizer.step()
    assert torch.equal(old, start)


def test_a_weight_that_only_torch_func_trains_is_refused_and_not_given_plain_sgd():
    model = nn.Linear(3, 1)
    track_input_power(model)
    optimizer = INSGD(model.parameters(), lr=0.1)
    parameters = dict(model.named_parameters())

    def loss(parameters):
        return torch.func.functional_call(model, parameters, (torch.ones(2, 3),)).sum()

    for name, grad in torch.func.grad(loss)(parameters).items():
        parameters[name].grad = grad
    start = model.weight.detach().clone()
    with pytest.raises(RuntimeError, match=r"weight of shape \(1, 3\): run a forward pass in training mode outside"):
        optimizer.step()
    assert torch.equal(model.weight, start)
    model(torch.ones(2, 3)).sum().backward()
    torch.func.grad(loss)(parameters)
    optimizer.step()
    assert optimizer.state[model.weight]["input_power"].item() == pytest.approx(0.3)


def test_a_part_of_the_parameters_is_refused():
    with pytest.raises(ValueError, match=r"INSGD adds its inputs' powers over ranks .* give it a part of them"):
        _apply_optimizer_in_backward(INSGD, Net(1).parameters(), {"lr": 0.1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": None}, "rule must be 'log', 'nlms' or 'released', got None"),
        ({"beta": "0.9"}, r"beta must be in \[0, 1\), got '0.9'"),
        ({"beta": True}, r"beta must be in \[0, 1\), got True"),
        ({"eps": "1e-2"}, "eps must be a finite number above 0, got '1e-2'"),
        ({"eps": None}, "eps must be a finite number above 0, got None"),
    ],
    ids=str,
)
def test_arguments_of_a_wrong_type_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        INSGD(Net(1).parameters(), **options)


def test_a_torch_sgd_state_loads():
    model = Net(1)
    sgd = torch.optim.SGD(model.named_parameters(), lr=0.3, momentum=0.8)
    train(model, sgd, batches(2))
    track_input_power(model)
    optimizer = INSGD(model.named_parameters())
    optimizer.load_state_dict(sgd.state_dict())
    train(model, optimizer, batches(1))
    assert optimizer.state[model.conv.weight]["step"] == 1
    torch.optim.SGD(model.named_parameters()).load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "l2"}, "rule must be 'log', 'nlms' or 'released', got 'l2'"),
        ({"beta": 1.0}, r"beta must be in \[0, 1\), got 1.0"),
        ({"beta": -0.1}, "beta must be"),
        ({"beta": float("nan")}, "beta must be"),
        ({"eps": 0.0}, "eps must be a finite number above 0, got 0.0"),
        ({"eps": float("inf")}, "eps must be"),
        ({"eps": float("nan")}, "eps must be"),
        ({"fused": True}, "fused=True does not serve INSGD"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        INSGD(neuron().parameters(), **options)


@pytest.mark.parametrize(
    ("rule", "standardize", "message"),
    [
        ("released", False, r"rule='released' needs inputs tracked by .*track_input_power\(model, standardize=True\)"),
        ("log", True, r"rule='log' needs inputs tracked by steepest\.track_input_power\(model\)"),
        ("nlms", True, r"rule='nlms' needs"),
    ],
)
def test_a_rule_that_does_not_fit_the_tracking_is_refused(rule, standardize, message):
    model = neuron()
    track_input_power(model, standardize=standardize)
    optimizer = INSGD(model.parameters(), rule=rule)
    with pytest.raises(RuntimeError, match=message):
        lms(model, optimizer, randn(1, 4), 0.0)


def test_nothing_tracked_is_refused_before_anything_moves():
    model = neuron()
    handle = track_input_power(model)
    handle.remove()
    start = model.weight.detach().clone()
    with pytest.raises(RuntimeError, match=r"before training and before torch\.compile"):
        lms(model, INSGD(model.parameters()), randn(1, 4), 0.0)
    assert torch.equal(model.weight, start)


@pytest.mark.slow
def test_a_compiled_step_is_the_same_step_and_is_compiled_at_the_start_only():
    from torch._dynamo.testing import CompileCounterWithBackend  # a second, for this test alone

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    weights, frames = [], []
    for compiled in (False, True):
        model = Net(2)
        track_input_power(model)
        optimizer = INSGD(model.named_parameters(), lr=0.01)
        step = torch.compile(optimizer.step, backend=counter) if compiled else optimizer.step
        for x in batches(6):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            step()
            frames.append(counter.frame_count)
        weights.append([p.detach().clone() for p in model.parameters()])
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-12, atol=1e-12)
    assert 0 < frames[-4] == frames[-1]


# Two gloo ranks, each with half of the batch, against one process with all of it.


class Branched(Net):
    """A layer that is not called for every batch."""

    def __init__(self, groups):
        super().__init__(groups)
        torch.manual_seed(0)
        self.branch = nn.Linear(3, 3).double()

    def forward(self, x, branch=True):
        hidden = super().forward(x)
        return hidden + self.branch(hidden) if branch else hidden


def train_in_halves(model, optimizer, ranks, called):
    """Both ranks' losses are means over their half; only those in ``called`` go through the branch."""
    for x in batches(8):
        optimizer.zero_grad()
        losses = [model(x[:4][2 * rank : 2 * rank + 2], rank in called).square().mean() for rank in ranks]
        (sum(losses) / len(losses)).backward()
        optimizer.step()


def distance(model, alone):
    pairs = zip(model.parameters(), alone.parameters(), strict=True)
    full = [(p.full_tensor() if hasattr(p, "full_tensor") else p, q) for p, q in pairs]
    return max(((p - q).norm() / q.norm()).item() for p, q in full)


def two_layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()


def compare_on_this_rank(rank):
    results = []
    mesh = init_device_mesh("cpu", (RANKS,))
    reductions = []
    all_reduce = dist.all_reduce

    def counted(tensor, *args, **kwargs):
        reductions.append((tensor.numel(), kwargs.get("group")))
        return all_reduce(tensor, *args, **kwargs)

    dist.all_reduce = counted
    mine, both = (dist.new_group([0]), dist.new_group([1])), dist.new_group([0, 1])
    for path, groups in itertools.product(PATHS, [1, 2]):
        options = {"lr": 0.05, "weight_decay": 0.01, **PATHS[path]}
        sharded, alone = Net(groups), Net(groups)
        track_input_power(alone, process_group=mine[rank])
        for layer in (sharded.conv, sharded.head, sharded):
            fully_shard(layer, mesh=mesh)
        track_input_power(sharded)
        optimizer = INSGD(sharded.named_parameters(), **options)
        train(alone, INSGD(alone.named_parameters(), **options), [x[:4] for x in batches(8)])
        train(sharded, optimizer, [x[2 * rank : 2 * rank + 2] for x in batches(8)])
        results.append((f"fsdp-{groups}-{path}", distance(sharded, alone)))
        # A checkpoint of whole tensors restores the powers, which are not sharded.
        whole = dcp.StateDictOptions(full_state_dict=True)
        saved = copy.deepcopy(dcp.get_optimizer_state_dict(sharded, optimizer, options=whole))
        fresh = INSGD(sharded.named_parameters(), **options)
        sharded.zero_grad()
        dcp.set_optimizer_state_dict(sharded, fresh, saved, options=whole)
        for p in (sharded.conv.weight, sharded.head.weight):
            assert torch.equal(fresh.state[p]["input_power"], optimizer.state[p]["input_power"])
    for called in ((0, 1), (0,)):
        alone, model = Branched(2), Branched(2)
        track_input_power(alone, process_group=mine[rank])
        train_in_halves(alone, INSGD(alone.named_parameters(), lr=0.05), range(RANKS), called)
        wrapped = DistributedDataParallel(model, find_unused_parameters=True)
        track_input_power(wrapped, process_group=both)
        reductions.clear()
        train_in_halves(wrapped, INSGD(wrapped.named_parameters(), lr=0.05), [rank], called)
        # 4 channels and 2 linear layers, each with its rows: one reduction a step.
        assert reductions == [(4 + 1 + 2 + 2, both)] * 8
        results.append((f"ddp-{called}", distance(model, alone)))
    # Tensor parallelism: the second layer's input is itself spread over the ranks.
    for path in PATHS:
        alone, parallel = two_layers(), two_layers()
        track_input_power(alone, process_group=mine[rank])
        parallelize_module(parallel, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
        track_input_power(parallel)
        for model in (alone, parallel):
            train(model, INSGD(model.named_parameters(), **PATHS[path]), [randn(5, 6, seed=i) for i in range(8)])
        results.append((f"tensor-parallel-{path}", distance(parallel, alone)))
    return results


@pytest.mark.slow
def test_two_ranks_are_one_process():
    seen = on_ranks(compare_on_this_rank)
    for results in seen:
        assert len(dict(results)) == len(results) == 3 * len(PATHS) + 2
        for name, apart in results:
            assert apart == pytest.approx(0, abs=1e-9), name


@pytest.mark.parametrize("path", [{"fused": False}, {"foreach": True}], ids=str)
def test_a_complex_layer_is_scaled_by_a_real_power(path):
    layer = nn.Linear(3, 2, bias=False, dtype=torch.complex128)
    track_input_power(layer)
    optimizer = INSGD(layer.parameters(), lr=0.5, momentum=0.0, **path)
    x = torch.tensor([[3 + 4j, 1j, 2.0]], dtype=torch.complex128)
    before = layer.weight.detach().clone()
    layer(x).abs().square().sum().backward()
    optimizer.step()
    expected = before - 0.5 / np.log(25 + 1 + 4) * layer.weight.grad
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", [(3,), (1,), (5, 1), ()])
def test_a_saved_power_of_another_layer_is_named(shape):
    model = nn.Conv2d(5, 4, 3)
    track_input_power(model)
    optimizer = INSGD(model.named_parameters(), lr=0.1)
    for _ in range(2):
        model(torch.randn(2, 5, 6, 6)).sum().backward()
        if optimizer.state:
            optimizer.state[model.weight]["input_power"] = torch.ones(shape)
            before = model.weight.detach().clone()
            with pytest.raises(RuntimeError, match=r"input_power of parameter 0 \('weight'\) has the shape"):
                optimizer.step()
            assert torch.equal(model.weight, before)
        else:
            optimizer.step()
