"""Arguments of another type: refused by name, value and range, in the constructor, a group or a loaded state."""

import copy
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim import ScaledSGD

CLASSES = (ScaledSGD, SNGM, LARS, BlockNormalizedSGD)
NO_NUMBERS = ("1e-3", "", None, True, 1 + 0j, float("nan"), float("inf"), -1.0, [0.1], b"1", Fraction(1, 2), 10**400)
NO_LR_TENSORS = (
    torch.tensor(float("nan")), torch.tensor(-1.0), torch.tensor(True), torch.tensor(1j), torch.ones(2), torch.ones(0),
)  # fmt: skip
WRONG = [
    *(("lr", value) for value in (*NO_NUMBERS, *NO_LR_TENSORS)),
    *((name, value) for name in ("momentum", "weight_decay") for value in (*NO_NUMBERS, torch.tensor(0.5))),
    ("momentum", 1.0),
    *(
        (name, value)
        for name in ("nesterov", "decoupled_weight_decay", "maximize", "kahan_sum")
        for value in ("False", "", 1, 0, None, torch.tensor(False), np.bool_(False))
    ),
    *((name, value) for name in ("foreach", "fused") for value in ("None", 0, 1, np.bool_(True))),
]


def weight():
    return nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(("name", "value"), WRONG, ids=repr)
def test_a_wrong_value_is_refused_wherever_it_comes_from(name, value):
    for make in CLASSES:
        with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
            make([weight()], **{"lr": 0.1, name: value})
        with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
            make([{"params": [weight()], name: value}], lr=0.1)
        optimizer = make([weight()], lr=0.1)
        state = copy.deepcopy(optimizer.state_dict())
        state["param_groups"][0][name] = value
        with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
            optimizer.load_state_dict(state)
        assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(("name", "value"), WRONG, ids=repr)
def test_a_wrong_value_that_is_written_into_a_group_is_refused_at_the_next_step(name, value):
    for path in ({}, {"foreach": True}, {"foreach": False}):
        optimizer = SNGM([p := weight()], lr=0.1, **path)
        p.grad = torch.ones(3)
        optimizer.step()
        before = p.detach().clone()
        optimizer.param_groups[0][name] = value
        with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
            optimizer.step()
        assert torch.equal(p, before)


def test_so_are_two_paths_and_what_a_method_adds():
    optimizer = SNGM([{"params": [p := weight()]}, {"params": [weight()]}], lr=0.1)
    p.grad = torch.ones(3)
    optimizer.param_groups[1]["foreach"] = True
    with pytest.raises(ValueError, match="foreach must be the same for all groups, got True"):
        optimizer.step()
    optimizer = LARS([p], lr=0.1)
    optimizer.param_groups[0]["trust"] = "0.001"
    with pytest.raises(ValueError, match="trust must be a finite number above 0, got "):
        optimizer.step()


def test_schedules_may_write_what_is_allowed():
    optimizer = SNGM([p := weight()], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=20)  # moves the momentum too
    for _ in range(19):
        p.grad = torch.ones(3)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("group", [None, 5, {}, [torch.zeros(2)]], ids=str)
def test_what_is_no_group_is_refused(group):
    with pytest.raises(TypeError, match="param_group must be a dict with 'params', got "):
        SNGM([weight()], lr=0.1).add_param_group(group)


def test_a_name_that_is_no_string_is_refused():
    with pytest.raises(ValueError, match="the name of a parameter must be a string, got 1"):
        SNGM([(1, weight())], lr=0.1)


@pytest.mark.parametrize("count", ["3", None, 1.5], ids=repr)
def test_a_count_that_is_none_is_refused(count):
    optimizer = SNGM([weight()], lr=0.1)
    state = copy.deepcopy(optimizer.state_dict())
    state["param_groups"][0]["nonfinite_steps"] = count
    with pytest.raises(ValueError, match="nonfinite_steps must be an integer, got "):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize(
    "value", ["1e-3", "", None, True, float("nan"), float("inf"), -1.0, 0.0, torch.tensor(0.5), Fraction(1, 2)]
)
def test_so_it_is_with_the_arguments_of_each_method(value):
    with pytest.raises(ValueError, match=r"^trust must be a finite number above 0, got "):
        LARS([weight()], lr=0.1, trust=value)
    if value is not None:
        with pytest.raises(ValueError, match=r"^ratio must be None or a finite number above 0, got "):
            BlockNormalizedSGD([weight()], lr=0.1, ratio=value)
    with pytest.raises(ValueError, match=r"^normalize_decay must be True or False, got "):
        SNGM([weight()], lr=0.1, normalize_decay=value if value is not True else 1)


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), 0.5])
@pytest.mark.parametrize("path", [{}, {"foreach": True}, {"foreach": False}], ids=str)
def test_numbers_of_other_kinds_serve_on_every_path(number, path):
    ours, plain = weight(), weight()
    for p, value, options in ((ours, number, path), (plain, 0.5, {"foreach": False})):
        p.grad = torch.ones(3)
        SNGM([p], lr=value, momentum=value, weight_decay=value, **options).step()
    torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("of", [(), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_lr_tensor_of_any_shape_serves_every_path(shape, of, dtype):
    results = []
    decay = {"weight_decay": 0.1, "decoupled_weight_decay": True}
    for more in ({}, decay, {"nesterov": True}, {"kahan_sum": True}):
        for path in ({}, {"foreach": True}, {"foreach": False}):
            for lr in (torch.full(shape, 0.1), 0.1):
                p = nn.Parameter(torch.ones(of, dtype=dtype))
                p.grad = torch.ones_like(p)
                SNGM([p], lr=lr, **more, **path).step()
                results.append(p.detach())
            torch.testing.assert_close(results[-2], results[-1])
            assert results[-2].shape == of


def test_groups_keep_their_keys_however_often_a_state_is_loaded():
    p = weight()
    optimizer = SNGM([p], lr=0.1)
    keys = set(optimizer.state_dict()["param_groups"][0])
    for _ in range(3):
        optimizer.load_state_dict(optimizer.state_dict())
    optimizer.load_state_dict(torch.optim.SGD([p], lr=0.1, momentum=0.9).state_dict())
    assert set(optimizer.state_dict()["param_groups"][0]) == keys
    optimizer.add_param_group({"params": [weight()]})
    assert set(optimizer.param_groups[1]) == set(optimizer.param_groups[0])


def test_a_state_that_wants_gradients_through_the_step_is_refused():
    p = weight()
    state = torch.optim.SGD([p], lr=0.1, differentiable=True).state_dict()
    with pytest.raises(ValueError, match="differentiable must be False, got True"):
        SNGM([p], lr=0.1).load_state_dict(state)


@pytest.mark.parametrize("path", [{}, {"foreach": True}, {"foreach": False}, {"fused": True}], ids=str)
def test_who_unscales_the_gradients(path):
    """By default the scaler, which then skips the step as accelerate expects; with fused=True we do, as in torch."""
    p = weight()
    optimizer = SNGM([p], lr=0.1, **path)
    ours = path == {"fused": True}
    assert bool(getattr(optimizer, "_step_supports_amp_scaling", False)) == ours
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append(1))
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for bad in (False, True, False):
        optimizer.zero_grad()
        scaler.scale((p * (float("inf") if bad else 1.0)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert len(calls) == (3 if ours else 2)
    assert optimizer.nonfinite_steps == (1 if ours else 0)
    expected = SNGM([q := weight()], lr=0.1)
    for _ in range(2):
        q.grad = torch.ones(3)
        expected.step()
    torch.testing.assert_close(p, q)


def test_float16_gradients_are_unscaled_by_us_since_the_scaler_refuses():
    p = nn.Parameter(torch.ones(3, dtype=torch.float16))
    optimizer = SNGM([p], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale(p.sum()).backward()
    scaler.step(optimizer)
    assert (p < 1).all()
