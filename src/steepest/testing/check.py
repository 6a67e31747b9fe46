"""A conformance suite for optimizers: every path against the float64 loop, and what a training loop relies on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch

from steepest.testing import contracts, usage
from steepest.testing.demands import advice, evaluation_of, parameters_of, reasons_of
from steepest.testing.expect import NotApplicable
from steepest.testing.problem import LAYOUTS, Case, Evaluate, Make, Parameters, prepare_to_train
from steepest.testing.result import Conformance, ConformanceError

Check = Callable[[Case], None]
# Where it fails, it fails alone: the other checks of the case would say the same again.
FIRST: dict[str, Check] = {"takes a plain step": contracts.takes_a_plain_step}
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
    "lr may be a tensor": usage.lr_may_be_a_tensor,
    "lr may change": usage.lr_may_change,
    "sparse gradients are right or refused": contracts.sparse_gradients_are_right_or_refused,
    "a GradScaler drives it": usage.a_grad_scaler_drives_it,
    "pickle and deepcopy": usage.pickle_and_deepcopy,
    "groups may be added": usage.groups_may_be_added,
    "closure": usage.closure,
    "bad arguments are named": usage.bad_arguments_are_named,
}
# What only optimizers promise that measure a norm.
GUARDED: dict[str, Check] = {"a NaN does not reach the weights": contracts.a_nan_does_not_reach_the_weights}
CHECKS = (*FIRST, *EVERY_CASE, *EVERY_PATH, *GUARDED)
"""The names of all checks."""

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def check_optimizer(
    make: Make,
    *,
    options: Sequence[Mapping[str, Any]] = ({},),
    paths: Mapping[str, Mapping[str, Any]] | None = None,
    dtypes: Sequence[torch.dtype] = DTYPES,
    skips_nonfinite: bool = False,
    exclude: Collection[str] | Mapping[str, str] = (),
    parameters: Mapping[str, Sequence[int]] | Parameters | None = None,
    layouts: Sequence[str] = LAYOUTS,
    closure: bool | Evaluate = False,
    sparse: bool = False,
    prepare: Callable[[torch.optim.Optimizer], object] = prepare_to_train,
) -> Conformance:
    """Run the conformance suite on an optimizer; nothing but torch is needed, on the CPU, in seconds.

    An optimizer with demands of its own (matrices only, a closure, sparse gradients, one group) is told of by the
    arguments from ``parameters`` on. Where its first plain step fails, that is the only fault of the case.

    Args:
        make: a ``torch.optim.Optimizer`` class, or a callable like one: ``make(params, **options)``.
        options: sets of options that must all work; include ``lr`` where it has no default.
        paths: names of implementations and the options that select them; by default ``foreach=True`` and
            ``fused=True`` if the optimizer knows these options, beside the loop. A path may refuse a set of options at
            construction with a ``ValueError`` or ``RuntimeError``; it is then left out.
        dtypes: of the parameters.
        skips_nonfinite: also check that a gradient with a NaN leaves finite weights.
        exclude: names out of ``CHECKS`` to leave out, or a mapping from such names to the reasons.
        parameters: shapes by name, where not every shape is taken; or a function that makes the named parameters of
            a dtype, new ones of the same values each time. By default matrices, vectors, a convolution and a scalar.
        layouts: those of ``"tensors"``, ``"names"``, ``"groups"``, ``"groups with names"`` that the optimizer takes.
        closure: ``True`` if a step needs a closure; or what the closure shall do, a function of the named parameters
            and the gradients meant for them that fills ``.grad`` and returns the loss.
        sparse: the optimizer takes sparse gradients only.
        prepare: called with every new optimizer and after each ``load_state_dict``; by default ``train()`` is called
            where the optimizer has it.

    Returns:
        The number of cases that passed, by the name of the check; ``left_out`` says what was not checked, and why.

    Raises:
        ConformanceError: at least one case failed; it names each check, and the first case of each that failed.
        ValueError: a name in ``exclude`` or ``layouts`` is not known, ``parameters`` makes none or not the same
            each time, or the loop refuses a set of options or a layout.

    Example:
        >>> passed = check_optimizer(torch.optim.NAdam, options=[{"lr": 0.1}], dtypes=[torch.float32])
        >>> passed["agrees with the float64 loop"] > 0
        True
        >>> check_optimizer(torch.optim.SGD, options=[{"lr": 0.1}], skips_nonfinite=True, paths={"loop": {}},
        ...                 dtypes=[torch.float32])
        Traceback (most recent call last):
        steepest.testing.result.ConformanceError: a NaN does not reach the weights: ...
    """
    reasons = reasons_of(exclude, CHECKS)
    if unknown := sorted(set(layouts) - set(LAYOUTS)):
        raise ValueError(f"layouts must be some of {', '.join(map(repr, LAYOUTS))}, got {unknown[0]!r}")
    if not skips_nonfinite:
        reasons |= {name: reasons.get(name, "skips_nonfinite=False") for name in GUARDED}
    asked = Case(
        make, parameters=parameters_of(parameters), evaluate=evaluation_of(closure), sparse=sparse, prepare=prepare
    )
    tally = _Tally(reasons)
    for case in _cases(asked, options, paths, dtypes, layouts, tally):
        if not tally.passes("takes a plain step", FIRST["takes a plain step"], case):
            continue
        once = case.layout == _choose_layout(layouts) and case.dtype == (
            torch.float32 if torch.float32 in dtypes else dtypes[0]
        )
        for name, check in {**EVERY_CASE, **(EVERY_PATH | GUARDED if once else {})}.items():
            tally.passes(name, check, case)
    return tally.result()


class _Tally:
    """Count what passed, what failed, and what was left out for which reason."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.excluded = dict(reasons)
        self.refused: dict[str, str] = {}
        self.inapplicable: dict[str, str] = {}
        self.passed: dict[str, int] = {}
        self.faults: dict[str, list[str]] = {}

    def passes(self, name: str, check: Check, case: Case) -> bool:
        """Make a check of a case, unless it is left out; False if it fails."""
        if name in self.excluded:
            return True
        try:
            check(case)
        except NotApplicable as reason:
            self.inapplicable.setdefault(name, str(reason))
        except Exception as error:  # whatever goes wrong is what was to be found
            hint = advice(case, check) if name in FIRST and name not in self.faults else ""
            self.faults.setdefault(name, []).append(f"[{case}] {type(error).__name__}: {error}{hint}")
            return False
        else:
            self.passed[name] = self.passed.get(name, 0) + 1
        return True

    def result(self) -> Conformance:
        """Return what passed; raise what failed."""
        if self.faults:
            raise ConformanceError(self.faults)
        nowhere = {name: reason for name, reason in self.inapplicable.items() if name not in self.passed}
        return Conformance(self.passed, {**self.excluded, **nowhere, **self.refused})


def _choose_layout(layouts: Sequence[str]) -> str:
    """Choose the layout of the checks that are made once for a path."""
    return "names" if "names" in layouts else layouts[0]


def _cases(
    asked: Case,
    options: Sequence[Mapping[str, Any]],
    paths: Mapping[str, Mapping[str, Any]] | None,
    dtypes: Sequence[torch.dtype],
    layouts: Sequence[str],
    tally: _Tally,
) -> Iterator[Case]:
    for chosen in options:
        for path_name, path in (_list_paths(asked.but(options=chosen)) if paths is None else paths).items():
            case = asked.but(options=chosen, path=path, path_name=path_name)
            taken = [layout for layout in layouts if _is_built(case.but(layout=layout), tally)]
            for dtype in dtypes:
                for layout in taken:
                    yield case.but(dtype=dtype, layout=layout)


def _is_built(case: Case, tally: _Tally) -> bool:
    """Say whether a path takes these options in this layout; the loop must."""
    try:
        case.build(case.fresh(torch.float32))
    except (ValueError, RuntimeError) as refusal:
        if case.path_name == "loop":
            hint = advice(case.but(dtype=torch.float32), contracts.takes_a_plain_step)
            raise ValueError(
                f"options {dict(case.options)} must build an optimizer from {case.layout}, got: {refusal}{hint}"
            ) from refusal
        tally.refused[f"{case.path_name}, {dict(case.options)}"] = str(refusal)
        return False
    return True


def _list_paths(case: Case) -> dict[str, dict[str, Any]]:
    """List the loop, and what else the optimizer's own options offer."""
    with contextlib.suppress(ValueError, RuntimeError, TypeError):  # the first step says what is wrong
        known = case.build(case.fresh(torch.float32)).defaults
        selectors: dict[str, Any] = {name: False for name in ("foreach", "fused") if name in known}
        case.build(case.fresh(torch.float32), **selectors)
        found: dict[str, dict[str, Any]] = {"loop": selectors}
        for name in selectors:
            found[name] = {**selectors, name: True}
        return {**found, "default": {}} if selectors else found
    return {"loop": {}}
