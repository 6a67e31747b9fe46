"""What the checks expect of weights, state and refusals. They raise, and so hold under ``python -O`` too."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from steepest.testing.problem import STEPS


class NotApplicable(Exception):  # noqa: N818  (it is no error)
    """The check says nothing about this case; its text says why."""


def expect(condition: bool, otherwise: str) -> None:
    """Raise an AssertionError that says what was seen instead."""
    if not condition:
        raise AssertionError(otherwise)


def expect_equal(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """Bit for bit."""
    for name, tensor in actual.items():
        if not torch.equal(_dense(tensor), _dense(expected[name])):
            raise AssertionError(f"{name} changed by {_distance(tensor, expected[name]):.3g} {where}")


def expect_close(
    actual: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    start: Mapping[str, Tensor],
    dtype: torch.dtype,
    where: str = "",
) -> None:
    """To the rounding of as many steps, relative to the largest weight and the way it went from ``start``."""
    for name, tensor in actual.items():
        reach = expected[name].detach().double().abs().max() if tensor.numel() else expected[name].new_zeros(())
        if name in start and start[name].shape == tensor.shape:
            reach = reach + (expected[name].detach().double() - start[name].detach().double()).abs().max()
        allowed = 2 * STEPS * torch.finfo(dtype).eps * max(float(reach.detach()), 1e-30)
        distance = _distance(tensor, expected[name])
        expect(distance <= allowed, f"{name} is off by {distance:.3g} {where}; rounding explains {allowed:.3g}")


def expect_some_moved(params: Mapping[str, Tensor], before: Mapping[str, Tensor], otherwise: str) -> None:
    """At least one of the weights is not what it was."""
    expect(not all(torch.equal(p.detach(), before[name].detach()) for name, p in params.items()), otherwise)


def expect_finite_state(optimizer: Optimizer) -> None:
    """No tensor of the state holds a NaN or an infinity."""
    for state in optimizer.state.values():
        for key, value in state.items():
            finite = not isinstance(value, Tensor) or bool(torch.isfinite(_dense(value)).all())
            expect(finite, f"state {key!r} is not finite")


def expect_named(what: str, refusal: Exception) -> None:
    """The sentence of a refusal names what it refuses."""
    said = str(refusal).lower().replace("learning rate", "lr")
    expect(what in said, f"the refusal does not name {what}: {refusal}")


def _dense(tensor: Tensor) -> Tensor:
    return tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()


def _distance(a: Tensor, b: Tensor) -> float:
    return float((_dense(a).double() - _dense(b).double()).abs().max()) if a.numel() else 0.0
