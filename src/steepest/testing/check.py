"""A conformance suite for optimizers: every path against the float64 loop, and what a training loop relies on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch

from steepest.testing import contracts
from steepest.testing.problem import LAYOUTS, Case, Make, parameters

Check = Callable[[Case], None]
# What is checked once for every path, dtype, layout and set of options.
EVERY_CASE: dict[str, Check] = {
    "agrees with the float64 loop": contracts.agrees_with_the_float64_loop,
    "resumes bit for bit": contracts.resumes_bit_for_bit,
    "leaves .grad alone": contracts.leaves_grad_alone,
}
# What is checked for every path and set of options, in float32.
EVERY_PATH: dict[str, Check] = {
    "zero gradients do not move": contracts.zero_gradients_do_not_move,
    "lr 0 does not move": contracts.lr_zero_does_not_move,
    "no gradient, no step": contracts.no_gradient_no_step,
    "an empty tensor changes nothing": contracts.an_empty_tensor_changes_nothing,
    "memory layout does not matter": contracts.memory_layout_does_not_matter,
    "complex is two reals": contracts.complex_is_two_reals,
    "lr may be a tensor": contracts.lr_may_be_a_tensor,
    "lr may change": contracts.lr_may_change,
    "sparse gradients are right or refused": contracts.sparse_gradients_are_right_or_refused,
    "a GradScaler drives it": contracts.a_grad_scaler_drives_it,
    "pickle and deepcopy": contracts.pickle_and_deepcopy,
    "groups may be added": contracts.groups_may_be_added,
    "closure": contracts.closure,
    "bad arguments are named": contracts.bad_arguments_are_named,
}
# What only optimizers promise that measure a norm.
GUARDED: dict[str, Check] = {"a NaN does not reach the weights": contracts.a_nan_does_not_reach_the_weights}
CHECKS = (*EVERY_CASE, *EVERY_PATH, *GUARDED)
"""The names of all checks."""

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


class ConformanceError(AssertionError):
    """An optimizer failed; ``faults`` maps the name of each failed check to what was seen, case by case."""

    def __init__(self, faults: Mapping[str, Sequence[str]]) -> None:
        self.faults = {name: list(seen) for name, seen in faults.items()}
        lines = [f"{name}: {len(seen)} of its cases fail; the first: {seen[0]}" for name, seen in self.faults.items()]
        super().__init__("\n".join(lines))


def check_optimizer(
    make: Make,
    *,
    options: Sequence[Mapping[str, Any]] = ({},),
    paths: Mapping[str, Mapping[str, Any]] | None = None,
    dtypes: Sequence[torch.dtype] = DTYPES,
    skips_nonfinite: bool = False,
    exclude: Collection[str] = (),
) -> dict[str, int]:
    """Run the conformance suite on an optimizer; nothing but torch is needed, on the CPU, in seconds.

    Args:
        make: a ``torch.optim.Optimizer`` class, or a callable like one: ``make(params, **options)``.
        options: sets of options that must all work; include ``lr`` where it has no default.
        paths: names of implementations and the options that select them; by default ``foreach=True`` and
            ``fused=True`` if the optimizer knows these options, beside the loop. A path may refuse a set of options at
            construction with a ``ValueError`` or ``RuntimeError``; it is then left out.
        dtypes: of the parameters.
        skips_nonfinite: also check that a gradient with a NaN leaves finite weights.
        exclude: names out of ``CHECKS`` to leave out.

    Returns:
        The number of cases that passed, by the name of the check.

    Raises:
        ConformanceError: at least one case failed; it names each check, and the first case of each that failed.
        ValueError: a name in ``exclude`` is not one of ``CHECKS``, or the loop refuses a set of options.

    Example:
        >>> passed = check_optimizer(torch.optim.NAdam, options=[{"lr": 0.1}], dtypes=[torch.float32])
        >>> passed["agrees with the float64 loop"] > 0
        True
        >>> check_optimizer(torch.optim.SGD, options=[{"lr": 0.1}], skips_nonfinite=True, paths={"loop": {}},
        ...                 dtypes=[torch.float32])
        Traceback (most recent call last):
        steepest.testing.check.ConformanceError: a NaN does not reach the weights: ...
    """
    if unknown := sorted(set(exclude) - set(CHECKS)):
        raise ValueError(f"exclude must hold names of CHECKS, got {unknown[0]!r}")
    checks = {**EVERY_CASE, **EVERY_PATH, **(GUARDED if skips_nonfinite else {})}
    passed: dict[str, int] = {}
    faults: dict[str, list[str]] = {}
    for case in _cases(make, options, paths, dtypes):
        for name, check in checks.items():
            once = case.layout == "names" and case.dtype == torch.float32
            if name in exclude or (name not in EVERY_CASE and not once):
                continue
            try:
                check(case)
            except contracts.NotApplicable:
                continue
            except Exception as error:  # whatever goes wrong is what was to be found
                faults.setdefault(name, []).append(f"[{case}] {type(error).__name__}: {error}")
            else:
                passed[name] = passed.get(name, 0) + 1
    if faults:
        raise ConformanceError(faults)
    return passed


def _cases(
    make: Make,
    options: Sequence[Mapping[str, Any]],
    paths: Mapping[str, Mapping[str, Any]] | None,
    dtypes: Sequence[torch.dtype],
) -> Iterator[Case]:
    for chosen in options:
        for path_name, path in (_paths(make, chosen) if paths is None else paths).items():
            case = Case(make, chosen, path, path_name)
            try:
                case.build(parameters(torch.float32))
            except (ValueError, RuntimeError) as refusal:
                if path_name == "loop":
                    raise ValueError(f"options {dict(chosen)} must build an optimizer, got: {refusal}") from refusal
                continue
            for dtype in dtypes:
                for layout in LAYOUTS:
                    yield case.but(dtype=dtype, layout=layout)


def _paths(make: Make, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The loop, and what else the optimizer's own options offer."""
    with contextlib.suppress(ValueError, RuntimeError):
        known = make(list(parameters(torch.float32).values()), **options).defaults
        selectors: dict[str, Any] = {name: False for name in ("foreach", "fused") if name in known}
        found: dict[str, dict[str, Any]] = {"loop": selectors}
        for name in selectors:
            found[name] = {**selectors, name: True}
        return {**found, "default": {}} if selectors else found
    return {"loop": {}}
