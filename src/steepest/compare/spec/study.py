"""The frozen specification of a study: everything that its results depend on, and nothing else."""

import dataclasses
import json
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from steepest._errors import InputError, argument
from steepest.compare.spec.comparison import QUASI_RANDOM, Shared, Spec
from steepest.compare.spec.formats import FORMAT, SHARED, of_this_format, own_part, without_newer
from steepest.compare.spec.parts import InstrumentSpec, MethodSpec, WorkloadSpec
from steepest.compare.spec.paying import Prices
from steepest.compare.spec.stopping import Stopping
from steepest.training.definitions.conditions import point_of
from steepest.training.definitions.space import domain_from, plain_domain

Part = WorkloadSpec | MethodSpec | InstrumentSpec


@dataclass(frozen=True)
class StudySpec:
    """A study: comparisons of the same methods, each of its own name."""

    comparisons: tuple[Spec, ...]

    def __post_init__(self) -> None:
        if not self.comparisons:
            raise ValueError("a study has at least one comparison")
        if any(shared_of(spec) != self.shared for spec in self.comparisons[1:]):
            raise ValueError("the comparisons of a study have their methods and numbers of runs in common")

    @cached_property
    def shared(self) -> Shared:
        """What its comparisons have in common."""
        return shared_of(self.comparisons[0])

    @property
    def methods(self) -> tuple[MethodSpec, ...]:
        return self.shared.methods

    def comparison(self, name: str) -> Spec:
        return next(spec for spec in self.comparisons if spec.name == name)

    def told(
        self, *, baseline: str | None = None, winner: bool | None = None, pairs: bool | None = None
    ) -> "StudySpec":
        """The same, told otherwise: against another method, with or without who may be the best and all pairs.

        Raises:
            InputError: the baseline is not compared here.
        """
        names = [method.name for method in self.methods]
        if baseline is not None and baseline not in names:
            raise InputError(f"{argument('baseline')} must be one of {', '.join(names)}, got {baseline!r}")
        said = {"baseline": baseline, "winner": winner, "pairs": pairs}
        changes: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        return StudySpec(tuple(replace(spec, **changes) for spec in self.comparisons))

    @property
    def default_name(self) -> str:
        """Its workloads' names, as a folder can have them, and which replication it is."""
        names = dict.fromkeys(spec.workload.name for spec in self.comparisons)
        number = self.shared.replication
        again = f"-replication-{number}" if number else ""
        return "+".join(re.sub(r"[^\w.-]+", "-", name) for name in names) + again

    def to_json(self) -> str:
        comparisons = [own_part(dataclasses.asdict(comparison)) for comparison in self.comparisons]
        raw = {"format": FORMAT, "study": _shared_as_json(self.shared), "comparisons": comparisons}
        return json.dumps(without_newer(raw), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "StudySpec":
        """Read what :meth:`to_json` wrote, or an older version.

        Raises:
            ValueError, KeyError, TypeError: the text is no such specification.
        """
        raw = of_this_format(json.loads(text))
        shared = _shared(raw["study"])
        return cls(tuple(_comparison(shared, comparison) for comparison in raw["comparisons"]))

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing that older formats did not freeze."""
        return all(part.code is not None for part in self.parts) and all(m.points or m.values for m in self.methods)

    @property
    def parts(self) -> list[Part]:
        """All workloads, methods and instruments."""
        return [*(spec.workload for spec in self.comparisons), *self.shared.methods, *self.shared.instruments]

    def with_points_of(self, frozen: "StudySpec") -> "StudySpec":
        """The same with the search points of ``frozen``, of a study that has begun, wherever it searches as that does.

        They count, and not what this release of SciPy would draw.
        """
        there = {spec.name: spec for spec in frozen.comparisons}
        return StudySpec(
            tuple(spec.with_points_of(there[spec.name]) if spec.name in there else spec for spec in self.comparisons)
        )

    def within(self, frozen: "StudySpec") -> "StudySpec":
        """The part of this study that ``frozen`` had room for; the whole where it has grown by nothing."""
        there = {spec.name: spec for spec in frozen.comparisons}
        return StudySpec(
            tuple(spec.within(there[spec.name]) if spec.name in there else spec for spec in self.comparisons)
        )

    def after_seeds(self, earlier: tuple[int, ...]) -> "StudySpec":
        """The same, where final runs on so many seeds had ended before more were asked for, each time."""
        return StudySpec(tuple(replace(spec, earlier_seeds=earlier) for spec in self.comparisons))

    def changed(self, asked: "StudySpec") -> list[str]:
        """The methods whose code alone makes this spec, of a folder, differ from the one asked for; none where there is
        more to it, such as another range that is asked for, or where they are the same."""
        there = {spec.name: spec for spec in asked.comparisons}
        if there.keys() != {spec.name for spec in self.comparisons}:
            return []
        names = {name for spec in self.comparisons for name in spec.changed(there[spec.name])}
        meant = StudySpec(tuple(spec.with_methods_of(there[spec.name], names) for spec in self.comparisons))
        return [] if meant.differences(asked) else [m.name for m in self.methods if m.name in names]

    def differences(self, asked: "StudySpec") -> list[str]:
        """What differs between this spec, of a folder, and the one asked for; where a file lies makes no difference."""
        names, asked_names = ([spec.name for spec in study.comparisons] for study in (self, asked))
        if names != asked_names:
            return [f"workloads are {', '.join(names)} there and {', '.join(asked_names)} here"]
        found: list[str] = []
        for there, here in zip(self.comparisons, asked.comparisons, strict=True):
            found += [difference for difference in there.differences(here) if difference not in found]
        return found


def shared_of(spec: Spec) -> Shared:
    """Of a comparison, what all of its study have in common."""
    return Shared(**{name: getattr(spec, name) for name in SHARED})


def _shared_as_json(shared: Shared) -> dict[str, Any]:
    """Write what comparisons share, without what has its default and older specs do not have."""
    raw = dataclasses.asdict(shared)
    for method in raw["methods"]:
        method["space"] = {name: plain_domain(domain) for name, domain in method["space"].items()}
        if not method["values"]:
            del method["values"]
    if raw["sampler"] == QUASI_RANDOM:
        del raw["sampler"]
    return raw


def _shared(raw: dict[str, Any]) -> Shared:
    methods = tuple(
        MethodSpec(
            **{
                **m,
                "space": {name: domain_from(domain) for name, domain in m["space"].items()},
                "points": tuple(map(point_of, m.get("points", ()))),
                "values": {where: point_of(values) for where, values in m.get("values", {}).items()},
                "more_points": tuple(tuple(map(point_of, points)) for points in m.get("more_points", ())),
            }
        )
        for m in raw["methods"]
    )
    instruments = tuple(InstrumentSpec(**instrument) for instrument in raw.get("instruments", ()))
    return Shared(
        **{
            **raw,
            "seeds": tuple(raw["seeds"]),
            "earlier_seeds": tuple(raw.get("earlier_seeds", ())),
            "more_tuning_seeds": tuple(raw.get("more_tuning_seeds", ())),
            "stopping": _stopping(raw.get("stopping")),
            "methods": methods,
            "instruments": instruments,
        }
    )


def _stopping(raw: dict[str, Any] | None) -> Stopping | None:
    return None if raw is None else Stopping(**{**raw, "looks": tuple(raw["looks"]), "levels": tuple(raw["levels"])})


def _comparison(shared: Shared, raw: dict[str, Any]) -> Spec:
    workload = WorkloadSpec(**{**raw["workload"], "tasks": tuple(raw["workload"].get("tasks", ()))})
    prices = Prices(**raw["prices"]) if raw.get("prices") else None
    own = {**raw, "workload": workload, "targets": tuple(raw["targets"]), "prices": prices}
    return Spec(**{**{name: getattr(shared, name) for name in SHARED}, **own})
