"""What an optimizer demands of its parameters and of its step, and how to tell the suite."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch

from steepest.testing import problem
from steepest.testing.problem import LAYOUTS, Case, Evaluate, Parameters, linear_loss

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
    """The arguments with which an optimizer takes its first step; empty if they are not known."""
    shapes: dict[str, Parameters] = {
        "": case.parameters,
        f"parameters={MATRICES}": parameters_of(MATRICES),
        f"parameters={TABLES}, sparse=True": parameters_of(TABLES),
    }
    for (words, made), evaluate in itertools.product(shapes.items(), (case.evaluate, case.evaluate or linear_loss)):
        trial = case.but(parameters=made, evaluate=evaluate, sparse=case.sparse or "sparse" in words)
        taken = [layout for layout in LAYOUTS if _succeeds(step, trial.but(layout=layout))]
        told = [words] if words else []
        told += ["closure=True"] if evaluate is not case.evaluate else []
        told += [f"layouts={taken}"] if len(taken) < len(LAYOUTS) else []
        if taken and told:
            return f"; it takes a step with {', '.join(told)}"
    return ""


def _succeeds(step: Callable[[Case], Any], case: Case) -> bool:
    try:
        step(case)
    except Exception:  # whatever it raises: this is not what the optimizer wants
        return False
    return True
