"""The single checks: each takes a case and raises an AssertionError that says what was seen."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest.testing.problem import (
    SHAPES,
    STEPS,
    Case,
    copies,
    gradients,
    parameters,
    set_gradients,
    take_steps,
    train,
)


class NotApplicable(Exception):  # noqa: N818  (it is no error)
    """The check says nothing about this case."""


def agrees_with_the_float64_loop(case: Case) -> None:
    """Weights after some steps, to the rounding of the case's dtype."""
    loop = {name: False for name in ("foreach", "fused") if name in case.build(parameters(torch.float64)).defaults}
    _close(train(case), train(case.but(dtype=torch.float64, path=loop)), case.dtype)


def resumes_bit_for_bit(case: Case) -> None:
    """Save to a file in the middle, load into a new optimizer of a new model, go on: not a bit may differ."""
    middle = STEPS // 2
    straight = parameters(case.dtype)
    take_steps(case.build(straight), straight)
    params = parameters(case.dtype)
    optimizer = case.build(params)
    take_steps(optimizer, params, middle)
    file = io.BytesIO()
    torch.save({"weights": copies(params), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed: dict[str, Tensor] = {name: nn.Parameter(weight) for name, weight in saved["weights"].items()}
    optimizer = case.build(resumed)
    optimizer.load_state_dict(saved["optimizer"])
    take_steps(optimizer, resumed, range(middle, STEPS))
    _equal(resumed, straight, "after a resume")


def leaves_grad_alone(case: Case) -> None:
    """`.grad` is the user's: the step may not change it."""
    params = parameters(case.dtype)
    optimizer = case.build(params)
    for grads in gradients(params, 2):
        set_gradients(params, {name: g.clone() for name, g in grads.items()})
        optimizer.step()
        _equal({name: _grad(p) for name, p in params.items()}, grads, "in .grad")


def zero_gradients_do_not_move(case: Case) -> None:
    """Without weight decay; 0 / ||0|| must be 0. torch.distributed.checkpoint builds state in this way."""
    if case.options.get("weight_decay"):
        raise NotApplicable
    params = parameters(case.dtype)
    before = copies(params)
    optimizer = case.build(params)
    for _ in range(2):
        set_gradients(params, {name: torch.zeros_like(p) for name, p in params.items()})
        optimizer.step()
    _equal(params, before, "after steps with zero gradients")
    _finite_state(optimizer)


def lr_zero_does_not_move(case: Case) -> None:
    """As torch.distributed.checkpoint builds state, weight decay or not."""
    params = parameters(case.dtype)
    before = copies(params)
    take_steps(case.build(params, lr=0.0), params, 2)
    _equal(params, before, "after steps with lr = 0")


def no_gradient_no_step(case: Case) -> None:
    """A parameter without gradient keeps its weights and gets no state; no gradient anywhere is no error."""
    params = parameters(case.dtype)
    optimizer = case.build(params)
    before = copies(params)
    optimizer.step()
    _equal(params, before, "after a step without any gradient")
    frozen = next(iter(params))
    had = len(optimizer.state.get(params[frozen], {}))  # some optimizers build it at once
    for grads in gradients(params, 2):
        set_gradients(params, grads)
        params[frozen].grad = None
        optimizer.step()
    _equal({frozen: params[frozen]}, before, "in a parameter without gradient")
    has = len(optimizer.state.get(params[frozen], {}))
    assert has == had, f"a parameter without gradient got state, {frozen}"
    assert not all(torch.equal(params[name], before[name]) for name in params), "nothing moved at all"


def an_empty_tensor_changes_nothing(case: Case) -> None:
    """Sharded training hands out parameters of no elements."""
    params = {**parameters(case.dtype), "empty.weight": nn.Parameter(torch.empty(0, 3, dtype=case.dtype))}
    take_steps(case.build(params), params)
    del params["empty.weight"]
    _close(params, train(case), case.dtype)


def memory_layout_does_not_matter(case: Case) -> None:
    """Transposed gradients, channels-last and sliced weights: the same numbers in another order of memory."""
    expected = train(case)
    params = parameters(case.dtype)
    optimizer = case.build(params)
    for grads in gradients(params):
        set_gradients(params, {name: _permuted(g) for name, g in grads.items()})
        optimizer.step()
    _close(params, expected, case.dtype, "with transposed gradients")

    params = {name: nn.Parameter(_strided(p)) for name, p in parameters(case.dtype).items()}
    take_steps(case.build(params), params)
    _close(params, expected, case.dtype, "with weights that are slices of larger tensors")

    params = {
        name: nn.Parameter(p.detach().to(memory_format=torch.channels_last)) if p.dim() == 4 else p
        for name, p in parameters(case.dtype).items()
    }
    take_steps(case.build(params), params)
    _close(params, expected, case.dtype, "with channels-last weights")


def complex_is_two_reals(case: Case) -> None:
    """Complex parameters move as the pairs of their real and imaginary parts."""
    shapes = {name: (*shape, 2) for name, shape in SHAPES.items()}
    real = parameters(torch.float64, shapes)
    params: dict[str, Tensor] = {
        name: nn.Parameter(torch.view_as_complex(p.detach().clone())) for name, p in real.items()
    }
    first = case.build(real)
    try:
        second = case.build(params)
        for grads in gradients(real):
            set_gradients(real, grads)
            set_gradients(params, {name: torch.view_as_complex(g.clone()) for name, g in grads.items()})
            first.step()
            second.step()
    except (RuntimeError, TypeError) as refusal:
        _names("complex", refusal)
        raise NotApplicable from None
    _close({name: torch.view_as_real(p.detach()) for name, p in params.items()}, real, torch.float64)


def lr_may_be_a_tensor(case: Case) -> None:
    """An lr held in a tensor keeps compiled and captured steps from being built again when it moves."""
    lr = _lr(case)
    expected = train(case.but(dtype=torch.float64))
    try:
        case.build(parameters(torch.float64), lr=torch.tensor(lr, dtype=torch.float64))
    except ValueError as refusal:  # as torch refuses it for foreach without capturable
        _names("lr", refusal)
        raise NotApplicable from None
    _close(train(case.but(dtype=torch.float64), lr=torch.tensor(lr, dtype=torch.float64)), expected, torch.float64)


def lr_may_change(case: Case) -> None:
    """A scheduler writes `param_groups[i]["lr"]`: what counts is its value at the step."""
    params = parameters(case.dtype)
    before = copies(params)
    optimizer = case.build(params)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    take_steps(optimizer, params, 2)
    _equal(params, before, "after lr was set to 0 in the groups")


def sparse_gradients_are_right_or_refused(case: Case) -> None:
    """A sparse gradient gives the dense result, or an error; never silently something else."""
    shapes = {"table.weight": (7, 3)}
    dense, params = parameters(case.dtype, shapes), parameters(case.dtype, shapes)
    first, second = case.build(dense), case.build(params)
    for grads in gradients(dense, 2):
        set_gradients(dense, grads)
        first.step()
        set_gradients(params, {name: g.to_sparse(1) for name, g in grads.items()})
        try:
            second.step()
        except (RuntimeError, NotImplementedError) as refusal:
            _names("sparse", refusal)
            return
    _close(params, dense, case.dtype)


def a_grad_scaler_drives_it(case: Case) -> None:
    """Under torch.amp.GradScaler: the unscaled step, and no step at all when a gradient overflows."""
    expected = train(case)
    params = parameters(case.dtype)
    optimizer = case.build(params)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=1000)
    for step, grads in enumerate(gradients(params)):
        if step == 2:  # an overflow in between
            before = copies(params)
            _scaled_step(scaler, optimizer, params, {name: torch.full_like(g, torch.inf) for name, g in grads.items()})
            _equal(params, before, "by a step that the GradScaler found to overflow")
        _scaled_step(scaler, optimizer, params, grads)
    _close(params, expected, case.dtype)


def _scaled_step(
    scaler: torch.amp.GradScaler, optimizer: Optimizer, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]
) -> None:
    factor = scaler.scale(torch.ones(()))
    set_gradients(params, {name: g * factor.to(g.dtype) for name, g in grads.items()})
    scaler.step(optimizer)
    scaler.update()


def pickle_and_deepcopy(case: Case) -> None:
    """A copy of the optimizer takes the same next step on its own copy of the weights."""
    params = parameters(case.dtype)
    optimizer = case.build(params)
    take_steps(optimizer, params, 2)
    for how, copied in (("deepcopy", copy.deepcopy(optimizer)), ("pickle", pickle.loads(pickle.dumps(optimizer)))):
        theirs = [p for group in copied.param_groups for p in group["params"]]
        ours = [p for group in optimizer.param_groups for p in group["params"]]
        names = {id(p): name for name, p in params.items()}
        twins = {names[id(p)]: q for p, q in zip(ours, theirs, strict=True)}
        mine = parameters(case.dtype)
        straight = case.build(mine)
        take_steps(straight, mine, 3)
        take_steps(copied, twins, range(2, 3))
        _close(twins, mine, case.dtype, f"of a {how} after one more step")


def groups_may_be_added(case: Case) -> None:
    """`add_param_group` after some steps: the new parameters move too, with options of their own."""
    params = parameters(case.dtype)
    late = {"late.weight": nn.Parameter(torch.ones(3, 2, dtype=case.dtype))}
    optimizer = case.build(params)
    take_steps(optimizer, params, 2)
    given: Any = list(late.items()) if "names" in case.layout else list(late.values())
    optimizer.add_param_group({"params": given, "lr": _lr(case) / 2})
    before = copies(late)
    take_steps(optimizer, {**params, **late}, 1)
    assert not torch.equal(late["late.weight"], before["late.weight"]), "the added parameters did not move"
    assert optimizer.param_groups[-1]["lr"] == _lr(case) / 2, "the added group's own lr was lost"


def closure(case: Case) -> None:
    """`step(closure)` evaluates it once, with gradients enabled, and returns its loss."""
    params = parameters(case.dtype)
    optimizer = case.build(params)
    calls: list[bool] = []

    def evaluate() -> Any:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = torch.stack([p.square().sum() for p in params.values()]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    before = copies(params)
    with torch.no_grad():
        loss: Any = optimizer.step(evaluate)
    assert calls == [True], f"the closure was called {len(calls)} times, with gradients enabled: {calls}"
    assert isinstance(loss, Tensor), f"step(closure) must return the loss, got {loss!r}"
    assert not torch.equal(next(iter(params.values())), next(iter(before.values()))), "no step was taken"


def bad_arguments_are_named(case: Case) -> None:
    """A negative lr is refused at construction, in words that name it."""
    try:
        case.build(parameters(case.dtype), lr=-1.0)
    except ValueError as refusal:
        _names("lr", refusal)
    else:
        raise AssertionError("lr=-1 is accepted")


def a_nan_does_not_reach_the_weights(case: Case) -> None:
    """Weights and state stay finite, and later steps move again."""
    params = parameters(case.dtype)
    optimizer = case.build(params)
    take_steps(optimizer, params, 1)
    for bad in (torch.nan, torch.inf, -torch.inf):
        (grads,) = gradients(params, 1)
        name = next(iter(params))
        before = copies(params)
        grads[name].view(-1)[3] = bad
        set_gradients(params, grads)
        optimizer.step()
        _equal({name: params[name]}, before, f"by a gradient that holds {bad}")
        for other, p in params.items():
            assert torch.isfinite(p).all(), f"a gradient that holds {bad} made the weights {other} not finite"
        _finite_state(optimizer)
    take_steps(optimizer, params, 1)
    assert not torch.equal(params[name], before[name]), "no step moves any more after a NaN"


def _names(what: str, refusal: Exception) -> None:
    said = str(refusal).lower().replace("learning rate", "lr")
    assert what in said, f"the refusal does not name {what}: {refusal}"


def _lr(case: Case) -> float:
    return float(case.build(parameters(torch.float32)).param_groups[0]["lr"])


def _grad(param: Tensor) -> Tensor:
    assert param.grad is not None, "the step set .grad to None"
    return param.grad


def _permuted(tensor: Tensor) -> Tensor:
    """The same tensor with the memory of its transpose."""
    return tensor if tensor.dim() < 2 else tensor.transpose(0, 1).contiguous().transpose(0, 1)


def _strided(tensor: Tensor) -> Tensor:
    """The same tensor as every second element of a larger one."""
    return torch.stack([tensor.detach(), torch.full_like(tensor, 7.0)], dim=-1)[..., 0]


def _finite_state(optimizer: Optimizer) -> None:
    for state in optimizer.state.values():
        for key, value in state.items():
            assert not isinstance(value, Tensor) or torch.isfinite(value).all(), f"state {key!r} is not finite"


def _equal(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    for name, tensor in actual.items():
        assert torch.equal(tensor.detach(), expected[name].detach()), (
            f"{name} changed by {_distance(tensor, expected[name]):.3g} {where}"
        )


def _close(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], dtype: torch.dtype, where: str = "") -> None:
    """To the rounding of as many steps, relative to the largest weight and the way it went."""
    start = parameters(torch.float64)
    for name, tensor in actual.items():
        reach = expected[name].detach().double().abs().max() if tensor.numel() else torch.zeros(())
        if name in start and start[name].shape == tensor.shape:
            reach = reach + (expected[name].detach().double() - start[name]).abs().max()
        allowed = 2 * STEPS * torch.finfo(dtype).eps * max(float(reach.detach()), 1e-30)
        distance = _distance(tensor, expected[name])
        assert distance <= allowed, f"{name} is off by {distance:.3g} {where}; rounding explains {allowed:.3g}"


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a.detach().double() - b.detach().double()).abs().max()) if a.numel() else 0.0
