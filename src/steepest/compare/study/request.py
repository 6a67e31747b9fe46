"""What a user asks for, before it is resolved and frozen: every option, declared once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import torch

from steepest.compare.names import BUDGETS, CHOICES, DEFAULT_METHODS, PRUNERS, SAMPLERS, SCHEDULES, STRATEGIES
from steepest.compare.spec import Spec, StudySpec
from steepest.compare.spec.paying import Unit
from steepest.compare.study import values as checks
from steepest.compare.study.given import given
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Domain
from steepest.training.definitions.recipe import PLAIN, Precision, Recipe
from steepest.training.definitions.workload import Workload

Check = Callable[[str, Any], Any]
Of = Callable[[StudySpec], Any]
TRIALS = 8


def option(check: Check, of: Of, **default: Any) -> Any:
    """A field of :class:`Request`.

    Args:
        check: called with the option's name and what the user gave; returns what the field holds, or raises an
            InputError.
        of: what the user gave, from the study's spec: asked again, it gives that study again.
        default: as :func:`dataclasses.field` takes it.
    """
    return field(metadata={"check": check, "of": of}, **default)


def _of_recipe(name: str) -> Any:
    plain = getattr(PLAIN, name)
    return option(checks.in_recipe, lambda s: s.shared.recipe.get(name, plain), default=plain)


def _map_by_name(study: StudySpec, value: Callable[[list[Spec]], Any]) -> dict[str, Any]:
    """Map each workload's name to a value of its comparisons."""
    names = dict.fromkeys(c.workload.name for c in study.comparisons)
    return {name: value([c for c in study.comparisons if c.workload.name == name]) for name in names}


def _values_of(study: StudySpec) -> dict[str, dict[str, Any]] | None:
    """Find what was given, by comparison and method."""
    found: dict[str, dict[str, Any]] = {}
    for method in study.methods:
        for where, point in method.values.items():
            found.setdefault(where, {})[method.name] = point
    return found or None


def _device(name: str, value: object) -> str:
    return checks.text(name, str(value) if isinstance(value, torch.device) else value)


def _optional(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


@dataclass(frozen=True)
class Request:
    """What a user asks for, as flags, a file and the Python API say it, under the names of the arguments of ``Study``.

    Numbers that may differ by workload are given for one name of a workload each, or under ``values.ALL`` for the
    others. ``ranks`` processes do every run together; it is no option, but what torchrun says.
    """

    workloads: Sequence[str | Workload] = option(
        partial(checks.parts, kind=Workload), lambda s: list(dict.fromkeys(c.workload.reference for c in s.comparisons))
    )
    methods: Sequence[str | Method] = option(
        partial(checks.parts, kind=Method), lambda s: [m.reference for m in s.methods], default=DEFAULT_METHODS
    )
    baseline: str | None = option(_optional(checks.text), lambda s: s.shared.baseline, default=None)
    winner: bool | None = option(_optional(checks.flag), lambda s: s.shared.winner, default=None)
    pairs: bool | None = option(_optional(checks.flag), lambda s: s.shared.pairs, default=None)
    trials: int = option(checks.runs, lambda s: s.shared.trials or TRIALS, default=TRIALS)
    seeds: int = option(checks.runs, lambda s: s.shared.seeds_asked, default=5)
    tuning_seeds: int = option(checks.runs, lambda s: len(s.shared.tuning_seeds()), default=1)
    replication: int = option(checks.replication, lambda s: s.shared.replication, default=0)
    stop_early: bool = option(checks.flag, lambda s: s.shared.stopping is not None, default=False)
    cover_search: bool = option(checks.flag, lambda s: s.shared.cover_search, default=False)
    epochs: Mapping[str, int] = option(
        partial(checks.by_workload, convert=checks.positive),
        lambda s: _map_by_name(s, lambda comparisons: comparisons[0].epochs),
        default_factory=dict,
    )
    budget: Unit = option(partial(checks.one_of, allowed=BUDGETS), lambda s: s.shared.budget, default="evaluations")  # noqa: RUF009
    batch_size: Mapping[str, Sequence[int]] = option(
        partial(checks.by_workload, convert=checks.listed(checks.positive)),
        lambda s: _map_by_name(s, lambda comparisons: [c.batch_size for c in comparisons]),
        default_factory=dict,
    )
    targets: Mapping[str, Sequence[float]] = option(
        partial(checks.by_workload, convert=checks.listed(checks.number)),
        lambda s: _map_by_name(s, lambda comparisons: list(comparisons[0].targets)),
        default_factory=dict,
    )
    space: Mapping[str, Mapping[str, Domain]] = option(
        checks.spaces, lambda s: {m.name: m.space for m in s.methods if not m.values}, default_factory=dict
    )
    sampler: str = option(partial(checks.one_of, allowed=SAMPLERS), lambda s: s.shared.sampler, default=SAMPLERS[0])
    values: Mapping[str, Mapping[str, Mapping[str, Any]]] = option(given, _values_of, default_factory=dict)
    schedule: str = option(partial(checks.one_of, allowed=SCHEDULES), lambda s: s.shared.schedule, default="linear")
    warmup: float = _of_recipe("warmup")
    clip: float | None = _of_recipe("clip")
    accumulate: int = _of_recipe("accumulate")
    precision: Precision = _of_recipe("precision")  # noqa: RUF009
    compile: bool = _of_recipe("compile")
    ema: float | None = _of_recipe("ema")
    keep_best: bool = _of_recipe("keep_best")
    measure: Sequence[str | Instrument] = option(
        partial(checks.parts, kind=Instrument, none=True),
        lambda s: [i.reference for i in s.shared.instruments],
        default=(),
    )
    choice: str | None = option(
        _optional(partial(checks.one_of, allowed=CHOICES)),
        lambda s: s.shared.choice if s.shared.trials else None,
        default=None,
    )
    pruner: str | None = option(
        _optional(partial(checks.one_of, allowed=PRUNERS)), lambda s: s.shared.pruner, default=None
    )
    strategy: str | None = option(
        _optional(partial(checks.one_of, allowed=STRATEGIES)), lambda s: s.shared.strategy, default=None
    )
    device: str = option(_device, lambda s: s.shared.device, default="auto")
    ranks: int = 1

    @property
    def recipe(self) -> Recipe:
        """How all methods are trained."""
        return Recipe(**{f.name: getattr(self, f.name) for f in fields(Recipe)})

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> "Request":
        """From what a user gave, by the names of the options; other names are left out.

        Raises:
            InputError: a value is not what it must be.
        """
        return cls(**{f.name: f.metadata["check"](f.name, given[f.name]) for f in options() if f.name in given})


def options() -> list[Any]:
    """The fields of :class:`Request` that are options."""
    return [f for f in fields(Request) if f.metadata]


def options_in(spec: StudySpec) -> dict[str, Any]:
    """What a user would have to ask for to have this study."""
    return {f.name: f.metadata["of"](spec) for f in options()}
