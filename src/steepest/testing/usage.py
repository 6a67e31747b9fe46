"""Checks of what a training loop does around the steps: rates, closures, scalers, copies, groups."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest.testing.expect import NotApplicable, expect, expect_close, expect_equal, expect_named, expect_some_moved
from steepest.testing.problem import Case, copies, gradients


def lr_may_be_a_tensor(case: Case) -> None:
    """An lr held in a tensor keeps compiled and captured steps from being built again when it moves."""
    case = case.but(dtype=torch.float64)
    lr = torch.tensor(_lr(case), dtype=torch.float64, device="cpu")
    try:
        case.build(case.fresh(), lr=lr.clone())
    except ValueError as refusal:  # as torch refuses it for foreach without capturable
        expect_named("lr", refusal)
        raise NotApplicable("a tensor is refused as lr") from None
    expect_close(case.train(lr=lr), case.train(), case.fresh(), torch.float64)


def lr_may_change(case: Case) -> None:
    """A scheduler writes `param_groups[i]["lr"]`: what counts is its value at the step."""
    params = case.fresh()
    before = copies(params)
    optimizer = case.build(params)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    case.take_steps(optimizer, params, 2)
    expect_equal(params, before, "after lr was set to 0 in the groups")


def a_grad_scaler_drives_it(case: Case) -> None:
    """Under torch.amp.GradScaler: the unscaled step, and no step at all when a gradient overflows."""
    if case.evaluate is not None:
        raise NotApplicable("a GradScaler takes no closure")
    params = case.fresh()
    optimizer = case.build(params)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=1000)
    for step, grads in enumerate(gradients(params)):
        if step == 2:  # an overflow in between
            before = copies(params)
            overflow = {name: torch.full_like(g, torch.inf) for name, g in grads.items()}
            _take_scaled_step(case, scaler, optimizer, params, overflow)
            expect_equal(params, before, "by a step that the GradScaler found to overflow")
        _take_scaled_step(case, scaler, optimizer, params, grads)
    expect_close(params, case.train(), case.fresh(), case.dtype)


def _take_scaled_step(
    case: Case,
    scaler: torch.amp.GradScaler,
    optimizer: Optimizer,
    params: Mapping[str, Tensor],
    grads: Mapping[str, Tensor],
) -> None:
    factor = scaler.scale(torch.ones((), dtype=torch.float32, device="cpu"))
    case.set_gradients(params, {name: g * factor.to(g.dtype) for name, g in grads.items()})
    scaler.step(optimizer)
    scaler.update()


def pickle_and_deepcopy(case: Case) -> None:
    """A copy of the optimizer takes the same next step on its own copy of the weights."""
    params = case.fresh()
    optimizer = case.build(params)
    case.take_steps(optimizer, params, 2)
    for how, copied in (("deepcopy", copy.deepcopy(optimizer)), ("pickle", pickle.loads(pickle.dumps(optimizer)))):
        theirs = [p for group in copied.param_groups for p in group["params"]]
        ours = [p for group in optimizer.param_groups for p in group["params"]]
        names = {id(p): name for name, p in params.items()}
        twins = {names[id(p)]: q for p, q in zip(ours, theirs, strict=True)}
        mine = case.fresh()
        straight = case.build(mine)
        case.take_steps(straight, mine, 3)
        case.take_steps(copied, twins, range(2, 3))
        expect_close(twins, mine, case.fresh(), case.dtype, f"of a {how} after one more step")


def groups_may_be_added(case: Case) -> None:
    """`add_param_group` after some steps: the new parameters move too, with options of their own."""
    params = case.fresh()
    late = {"late.weight": nn.Parameter(torch.ones_like(next(iter(params.values()))))}
    optimizer = case.build(params)
    case.take_steps(optimizer, params, 2)
    given: Any = list(late.items()) if "names" in case.layout else list(late.values())
    optimizer.add_param_group({"params": given, "lr": _lr(case) / 2})
    before = copies(late)
    case.take_steps(optimizer, {**params, **late}, 1)
    expect_some_moved(late, before, "the added parameters did not move")
    expect(optimizer.param_groups[-1]["lr"] == _lr(case) / 2, "the added group's own lr was lost")


def closure(case: Case) -> None:
    """`step(closure)` evaluates it with gradients enabled, once unless it needs it, and returns its loss."""
    params = case.fresh()
    optimizer = case.build(params)
    before = copies(params)
    (grads,) = gradients(params, 1)
    evaluate = case.closure(params, grads)
    enabled: list[bool] = []
    losses: list[Any] = []

    def watched() -> Any:
        enabled.append(torch.is_grad_enabled())
        losses.append(evaluate())
        return losses[-1]

    with torch.no_grad():
        loss: Any = optimizer.step(watched)
    needs_several = case.evaluate is not None and len(enabled) > 1
    expect(
        all(enabled) and (len(enabled) == 1 or needs_several),
        f"the closure was called {len(enabled)} times, with gradients enabled: {enabled}",
    )
    expect(any(loss is seen or loss == seen for seen in losses), f"step(closure) must return the loss, got {loss!r}")
    expect_some_moved(params, before, "no step was taken")


def bad_arguments_are_named(case: Case) -> None:
    """A negative lr is refused at construction, in words that name it."""
    try:
        case.build(case.fresh(), lr=-1.0)
    except ValueError as refusal:
        expect_named("lr", refusal)
    else:
        raise AssertionError("lr=-1 is accepted")


def _lr(case: Case) -> float:
    return float(case.build(case.fresh(torch.float32)).param_groups[0]["lr"])
