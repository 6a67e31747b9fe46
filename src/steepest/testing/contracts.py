"""Checks of the steps themselves: each takes a case and raises an AssertionError that says what was seen."""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn

from steepest.testing.expect import (
    NotApplicable,
    expect,
    expect_close,
    expect_equal,
    expect_finite_state,
    expect_named,
    expect_some_moved,
)
from steepest.testing.problem import STEPS, Case, copies, gradients


def takes_a_plain_step(case: Case) -> None:
    """One step with ordinary gradients; where it fails, nothing else can be said."""
    params = case.fresh()
    case.take_steps(case.build(params), params, 1)


def agrees_with_the_float64_loop(case: Case) -> None:
    """Weights after some steps, to the rounding of the case's dtype."""
    loop = case.but(dtype=torch.float64, path={**case.path, **_find_loop_options(case)})
    expect_close(case.trained_once(), loop.trained_once(), case.fresh(), case.dtype)


def _find_loop_options(case: Case) -> dict[str, bool]:
    """Find what selects the loop; nothing where a wrapper shows the options of what it wraps but does not take them."""
    known = case.build(case.fresh(torch.float64)).defaults
    loop: dict[str, bool] = {name: False for name in ("foreach", "fused") if name in known}
    try:
        case.build(case.fresh(torch.float64), **loop)
    except TypeError:
        return {}
    return loop


def resumes_bit_for_bit(case: Case) -> None:
    """Save to a file in the middle, load into a new optimizer of a new model, go on: not a bit may differ."""
    middle = STEPS // 2
    straight = case.trained_once()
    params = case.fresh()
    optimizer = case.build(params)
    case.take_steps(optimizer, params, middle)
    file = io.BytesIO()
    torch.save({"weights": copies(params), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed: dict[str, Tensor] = {name: nn.Parameter(weight) for name, weight in saved["weights"].items()}
    optimizer = case.build(resumed)
    optimizer.load_state_dict(saved["optimizer"])
    case.prepare(optimizer)
    case.take_steps(optimizer, resumed, range(middle, STEPS))
    expect_equal(resumed, straight, "after a resume")


def leaves_grad_alone(case: Case) -> None:
    """`.grad` is the user's: the step may not change it."""
    params = case.fresh()
    optimizer = case.build(params)
    for grads in gradients(params, 2):
        case.step(optimizer, params, {name: g.clone() for name, g in grads.items()})
        expect_equal({name: _grad(p) for name, p in params.items()}, grads, "in .grad")


def zero_gradients_do_not_move(case: Case) -> None:
    """Without weight decay; 0 / ||0|| must be 0. torch.distributed.checkpoint builds state in this way."""
    params = case.fresh()
    before = copies(params)
    optimizer = case.build(params)
    if any(group.get("weight_decay") for group in optimizer.param_groups):
        raise NotApplicable("weight decay moves")
    for _ in range(2):
        case.step(optimizer, params, {name: torch.zeros_like(p) for name, p in params.items()})
    expect_equal(params, before, "after steps with zero gradients")
    expect_finite_state(optimizer)


def lr_zero_does_not_move(case: Case) -> None:
    """As torch.distributed.checkpoint builds state, weight decay or not."""
    params = case.fresh()
    before = copies(params)
    case.take_steps(case.build(params, lr=0.0), params, 2)
    expect_equal(params, before, "after steps with lr = 0")


def no_gradient_no_step(case: Case) -> None:
    """A parameter without gradient keeps its weights and gets no state; no gradient anywhere is no error."""
    params = case.fresh()
    optimizer = case.build(params)
    before = copies(params)
    case.step(optimizer, params, dict.fromkeys(params))
    expect_equal(params, before, "after a step without any gradient")
    frozen, *others = params
    had = len(optimizer.state.get(params[frozen], {}))  # some optimizers build it at once
    for grads in gradients(params, 2):
        case.step(optimizer, params, {**grads, frozen: None})
    expect_equal({frozen: params[frozen]}, before, "in a parameter without gradient")
    has = len(optimizer.state.get(params[frozen], {}))
    expect(has == had, f"a parameter without gradient got state, {frozen}")
    if others:
        expect_some_moved(params, before, "nothing moved at all")


def an_empty_tensor_changes_nothing(case: Case) -> None:
    """Sharded training hands out parameters of no elements."""
    params = case.fresh()
    with_axes = [p for p in params.values() if p.dim() > 0]
    if not with_axes:
        raise NotApplicable("all parameters are scalars")
    params["empty.weight"] = nn.Parameter(with_axes[0].detach()[:0].clone())
    case.take_steps(case.build(params), params)
    del params["empty.weight"]
    expect_close(params, case.train(), case.fresh(), case.dtype)


def memory_layout_does_not_matter(case: Case) -> None:
    """Transposed gradients, channels-last and sliced weights: the same numbers in another order of memory."""
    expected = case.train()
    params = case.fresh()
    optimizer = case.build(params)
    for grads in gradients(params):
        case.step(optimizer, params, {name: _permute(g) for name, g in grads.items()})
    expect_close(params, expected, case.fresh(), case.dtype, "with transposed gradients")

    params = {name: nn.Parameter(_stride(p)) for name, p in case.fresh().items()}
    case.take_steps(case.build(params), params)
    expect_close(params, expected, case.fresh(), case.dtype, "with weights that are slices of larger tensors")

    params = {
        name: nn.Parameter(p.detach().to(memory_format=torch.channels_last)) if p.dim() == 4 else p
        for name, p in case.fresh().items()
    }
    case.take_steps(case.build(params), params)
    expect_close(params, expected, case.fresh(), case.dtype, "with channels-last weights")


def complex_is_two_reals(case: Case) -> None:
    """Complex parameters move as the pairs of their real and imaginary parts."""
    real: dict[str, Tensor] = {
        name: nn.Parameter(torch.stack([p.detach(), 0.5 * p.detach().flip(tuple(range(p.dim())))], dim=-1))
        for name, p in case.fresh(torch.float64).items()
    }
    params: dict[str, Tensor] = {
        name: nn.Parameter(torch.view_as_complex(p.detach().clone())) for name, p in real.items()
    }
    try:
        second = case.build(params)
        steps = [{name: torch.view_as_complex(g.clone()) for name, g in grads.items()} for grads in gradients(real)]
        for grads in steps:
            case.step(second, params, grads)
    except Exception as refusal:  # of a type of its own, perhaps
        expect_named("complex", refusal)
        raise NotApplicable("complex parameters are refused") from None
    try:
        first = case.build(real)
    except (RuntimeError, ValueError) as refusal:
        raise NotApplicable(f"pairs of real numbers in one more axis are refused: {refusal}") from None
    start = copies(real)
    case.take_steps(first, real)
    expect_close({name: torch.view_as_real(p.detach()) for name, p in params.items()}, real, start, torch.float64)


def sparse_gradients_are_right_or_refused(case: Case) -> None:
    """A sparse gradient gives the dense result, or an error; never silently something else."""
    if case.sparse:
        raise NotApplicable("it takes sparse gradients only")
    dense, params = case.fresh(), case.fresh()
    name = next((name for name, p in dense.items() if p.dim() > 1), None)
    if name is None:
        raise NotApplicable("no parameter is a table")
    dense, params = {name: dense[name]}, {name: params[name]}
    first, second = case.build(dense), case.build(params)
    for grads in gradients(dense, 2):
        case.step(first, dense, grads)
        try:
            case.but(sparse=True).step(second, params, grads)
        except Exception as refusal:  # of a type of its own, perhaps
            expect_named("sparse", refusal)
            return
    expect_close(params, dense, case.fresh(), case.dtype)


def a_nan_does_not_reach_the_weights(case: Case) -> None:
    """Weights and state stay finite, and later steps move again."""
    params = case.fresh()
    optimizer = case.build(params)
    case.take_steps(optimizer, params, 1)
    name = next(iter(params))
    before = copies(params)
    for bad in (torch.nan, torch.inf, -torch.inf):
        (grads,) = gradients(params, 1)
        before = copies(params)
        grads[name].view(-1)[min(3, grads[name].numel() - 1)] = bad
        case.step(optimizer, params, grads)
        expect_equal({name: params[name]}, before, f"by a gradient that holds {bad}")
        for other, p in params.items():
            finite = bool(torch.isfinite(p.detach()).all())
            expect(finite, f"a gradient that holds {bad} made the weights {other} not finite")
        expect_finite_state(optimizer)
    case.take_steps(optimizer, params, 1)
    expect_some_moved({name: params[name]}, before, "no step moves any more after a NaN")


def _grad(param: Tensor) -> Tensor:
    if param.grad is None:
        raise AssertionError("the step set .grad to None")
    return param.grad


def _permute(tensor: Tensor) -> Tensor:
    """Give the same tensor the memory of its transpose."""
    return tensor if tensor.dim() < 2 else tensor.transpose(0, 1).contiguous().transpose(0, 1)


def _stride(tensor: Tensor) -> Tensor:
    """Make the same tensor every second element of a larger one."""
    return torch.stack([tensor.detach(), torch.full_like(tensor, 7.0)], dim=-1)[..., 0]
