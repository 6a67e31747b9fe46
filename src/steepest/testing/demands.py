"""What an optimizer demands of its parameters and of its step, and how to tell the suite."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from steepest.testing import problem
from steepest.testing.problem import Case, Evaluate, Parameters, linear_loss

MATRICES = {"a.weight": (5, 19), "b.weight": (6, 4)}
TABLES = {"a.weight": (9, 4), "b.weight": (5, 3)}


def parameters_of(given: Mapping[str, Sequence[int]] | Parameters | None) -> Parameters:
    """A function that makes the named parameters of a dtype, the same each time.

    Raises:
        ValueError: there are none, or the function's differ from call to call or are of another dtype.
    """
    if given is None:
        return problem.parameters
    if not callable(given):
        shapes = {name: tuple(shape) for name, shape in given.items()}
        if not shapes:
            raise ValueError("parameters must name at least one shape, got none")
        return lambda dtype: problem.parameters(dtype, shapes)
    first, second = given(torch.float32), given(torch.float32)
    if not first:
        raise ValueError("parameters must make at least one parameter, got none")
    for name, p in first.items():
        if p.dtype != torch.float32:
            raise ValueError(f"parameters must make them of the dtype it is given, got {p.dtype} for {name}")
        if name not in second or p is second[name] or not torch.equal(p.detach(), second[name].detach()):
            raise ValueError(f"parameters must make new ones of the same values each time, got another {name}")
    return given


def reasons_of(exclude: Collection[str] | Mapping[str, str], checks: Collection[str]) -> dict[str, str]:
    """Why each excluded check is left out.

    Raises:
        ValueError: a name is not that of a check.
    """
    names = [exclude] if isinstance(exclude, str) else exclude
    if unknown := sorted(set(names) - set(checks)):
        raise ValueError(f"exclude must hold names of CHECKS, got {unknown[0]!r}")
    return dict(exclude) if isinstance(exclude, Mapping) else dict.fromkeys(names, "excluded")


def evaluation_of(closure: bool | Evaluate) -> Evaluate | None:
    """What the closure of every step does, or None where a step takes none."""
    if closure is True:
        return linear_loss
    return closure or None


def advice(case: Case, step: Callable[[Case], Any]) -> str:
    """What would let an optimizer take its first step; empty if that is not known."""
    shaped = case.but(layout="tensors")
    trials = {
        "closure=True": shaped.but(evaluate=linear_loss),
        f"parameters={MATRICES}": shaped.but(parameters=parameters_of(MATRICES)),
        f"parameters={TABLES}, sparse=True": shaped.but(parameters=parameters_of(TABLES), sparse=True),
        f"parameters={MATRICES}, closure=True": shaped.but(parameters=parameters_of(MATRICES), evaluate=linear_loss),
        'layouts=["names"]': shaped.but(layout="names"),
        'layouts=["tensors"]': shaped,
    }
    for words, trial in trials.items():
        try:
            step(trial)
        except Exception:  # whatever it raises: this is not what it wants
            continue
        return f"; it takes one with {words}"
    return ""
