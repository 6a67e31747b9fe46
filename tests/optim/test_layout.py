"""Gradients, state and parameters that were replaced by others: refused by name, or the loop's step; never a crash."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim import ScaledSGD

PATHS = {"default": {}, "fused": {"fused": True}, "foreach": {"foreach": True}, "loop": {"foreach": False}}
every_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
every_class = pytest.mark.parametrize("make", [ScaledSGD, SNGM, LARS, BlockNormalizedSGD])


def stepped(make, shape, **options):
    p = nn.Parameter(torch.ones(shape))
    optimizer = make([("layer.weight", p)], lr=0.1, **options)
    p.grad = torch.ones(shape)
    optimizer.step()
    return p, optimizer


@pytest.mark.slow
def test_two_hundred_draws_on_the_default_path_neither_crash_nor_differ_from_the_loop():
    """`python -m tests.optim.replaced default 2000` for more."""
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-W", "ignore", "-m", "tests.optim.replaced", "default", "200"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@every_class
@every_path
@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (1,), (), (5, 4), (4000, 4), (4, 4, 1)], ids=str)
def test_a_momentum_of_another_shape_is_refused_by_name_and_nothing_moves(make, path, shape):
    p, optimizer = stepped(make, (4, 4), **path)
    optimizer.state[p]["momentum_buffer"] = torch.ones(shape)
    before = p.detach().clone()
    with pytest.raises(
        RuntimeError, match=r"momentum_buffer of parameter 0 \('layer.weight'\) has the shape .*\(4, 4\)"
    ):
        optimizer.step()
    assert torch.equal(p, before)


@every_path
@pytest.mark.parametrize("options", [{"nesterov": True}, {"kahan_sum": True}], ids=str)
def test_so_it_is_with_other_options(path, options):
    if path == {"fused": True}:
        path = {"foreach": None}
    name = "compensation" if "kahan_sum" in options else "momentum_buffer"
    p, optimizer = stepped(SNGM, (4, 4), **path, **options)
    optimizer.state[p][name] = torch.ones(4)
    with pytest.raises(RuntimeError, match=f"{name} of parameter 0"):
        optimizer.step()


@every_class
@every_path
def test_a_parameter_that_grew_is_refused_until_its_state_is_dropped(make, path):
    p, optimizer = stepped(make, (4, 3), **path)
    p.grad = None
    p.data = torch.cat([p.data, torch.ones(2, 3)])
    p.grad = torch.ones(6, 3)
    with pytest.raises(RuntimeError, match=r"has the shape \(4, 3\), the parameter \(6, 3\)"):
        optimizer.step()
    optimizer.state.pop(p)
    optimizer.step()
    assert optimizer.state[p]["momentum_buffer"].shape == (6, 3)


@every_path
def test_a_gradient_of_another_shape_is_refused(path):
    p, optimizer = stepped(SNGM, (4, 3), **path)
    p.data = torch.ones(2, 3)  # the gradient stays
    with pytest.raises(RuntimeError, match=r"the gradient of parameter 0 .* \(4, 3\), the parameter \(2, 3\)"):
        optimizer.step()


@every_path
def test_weights_of_mixed_dtypes_that_were_of_one_take_the_loops_step(path):
    """The fused kernel takes one dtype: what was planned for one no longer holds."""

    def run(options):
        params = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(5))]
        optimizer = SNGM(params, lr=0.1, **options)
        for _ in range(2):
            for p in params:
                p.grad = torch.full_like(p, 2)
            optimizer.step()
            params[1].data = params[1].data.double()
            params[1].grad = None
            optimizer.state.clear()
        return params

    torch.testing.assert_close(run(path), run(PATHS["loop"]))


@every_path
def test_a_negated_gradient_is_read_with_its_sign(path):
    ours, plain = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    ours.grad, plain.grad = torch._neg_view(torch.ones(3)), -torch.ones(3)
    SNGM([ours], lr=0.1, **path).step()
    SNGM([plain], lr=0.1, **path).step()
    assert torch.equal(ours, plain)


@every_class
@pytest.mark.parametrize(("old", "new"), [(1000, 10), (10, 1000), (4, 1)])
def test_a_saved_state_of_another_shape_is_refused_before_anything_changes(make, old, new):
    state = stepped(make, (old, 8))[1].state_dict()
    _, optimizer = stepped(make, (new, 8), momentum=0.5)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(
        RuntimeError, match=rf"parameter 0 \('layer.weight'\) has the shape \({old}, 8\), .*\({new}, 8\)"
    ):
        optimizer.load_state_dict(state)
    assert str(optimizer.state_dict()) == str(before)


@pytest.mark.parametrize("path", [PATHS["default"], PATHS["foreach"]], ids=str)
def test_state_that_lies_in_the_memory_of_another_tensor_is_given_its_own(path):
    def run(share, options):
        params = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.full((3,), 2.0))]
        optimizer = ScaledSGD(params, lr=0.1, **options)
        shared = torch.ones(3)
        for p in params:
            p.grad = torch.full((3,), 3.0)
            optimizer.state[p]["momentum_buffer"] = shared if share else shared.clone()
        if share:
            optimizer.state[params[1]]["momentum_buffer"] = params[0].detach()
        optimizer.step()
        optimizer.step()
        return params

    torch.testing.assert_close(run(True, path), run(False, PATHS["loop"]))


@every_path
def test_what_was_loaded_is_not_shared_with_the_optimizer_that_it_came_from(path):
    _, source = stepped(SNGM, (3,), **path)
    q, target = stepped(SNGM, (3,), **path)
    target.load_state_dict(source.state_dict())
    before = target.state[q]["momentum_buffer"].clone()
    source.step()
    assert torch.equal(target.state[q]["momentum_buffer"], before)


@every_class
@pytest.mark.parametrize("path", ["default", "foreach", "loop"])
def test_no_state_is_made_where_none_is_needed(make, path):
    _, optimizer = stepped(make, (3,), momentum=0.0, **PATHS[path])
    assert len(optimizer.state) == 0


MOVED = {
    "onto its parameter by .data": lambda p, q, b, c: setattr(b, "data", p.data),
    "onto its parameter by set_": lambda p, q, b, c: b.set_(p.detach()),
    "onto the other's by .data": lambda p, q, b, c: setattr(c, "data", b.data),
    "its parameter onto it": lambda p, q, b, c: setattr(p, "data", b.data),
}


@every_path
@every_class
@pytest.mark.parametrize("how", MOVED)
def test_a_state_that_was_moved_onto_other_memory_is_given_its_own(make, path, how):
    def run(options):
        params = [nn.Parameter(torch.full((3,), value)) for value in (1.0, 2.0)]
        optimizer = make(params, lr=0.1, **options)
        for step in range(4):
            for p in params:
                p.grad = torch.arange(3.0)
            if step == 2:
                MOVED[how](*params, *(optimizer.state[p]["momentum_buffer"] for p in params))
            optimizer.step()
        return params

    torch.testing.assert_close(run(path), run(PATHS["loop"]))


@every_path
@every_class
@pytest.mark.parametrize("what", ["parameter", "gradient", "momentum_buffer"])
def test_what_has_lost_its_memory_is_refused(make, path, what):
    p, optimizer = stepped(make, (40, 30), **path)
    gone = {"parameter": p, "gradient": p.grad, "momentum_buffer": optimizer.state[p]["momentum_buffer"]}[what]
    gone.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match=f"{what}.* has no memory, its storage is empty"):
        optimizer.step()


@every_path
@every_class
def test_a_float32_gradient_of_half_precision_weights_stays_as_it_is(make, path):
    p = nn.Parameter(torch.ones(4, 3))
    p.grad = grad = torch.full((4, 3), 3.0)
    p.data = p.data.bfloat16()
    make([p], lr=0.1, **path).step()
    assert torch.equal(grad, torch.full((4, 3), 3.0))
