"""A comparison, in full."""

import dataclasses
import json
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from steepest.compare.points import quasi_random_points
from steepest.compare.spec.parts import InstrumentSpec, MethodSpec, WorkloadSpec, code_differences
from steepest.compare.spec.paying import UNITS, Prices, Unit
from steepest.compare.spec.stopping import Stopping
from steepest.training.definitions.budget import share_of, steps_per_epoch

Phase = Literal["screen", "tune", "final", "check"]
PHASES: tuple[Phase, ...] = ("screen", "tune", "final")  # of which there are records
KEEP, AT_LEAST = 0.25, 4  # points of a search that are run in full, or on more seeds than one
QUASI_RANDOM = "quasi-random"
SEEDS_OF_ONE = 10_000_000  # from a replication's first seed to that of the next
SCREEN = 8  # a short run has one of so many parts of the budget


def number_of_finalists(trials: int) -> int:
    """The best quarter of a search, and four at least."""
    return min(trials, max(AT_LEAST, math.ceil(KEEP * trials)))


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all comparisons of a study have in common: methods, the size of the search and of the final comparison.

    ``seeds`` are those of the final runs; the search itself runs on ``tuning_seed``. ``methods[0]`` need not be the
    baseline: that is ``baseline``. With ``winner`` the report says which methods may be the best, with ``pairs``
    how every two of them compare. ``choice`` is how a
    search's point is found; specs from before format 5 do not say, and mean ``best``. ``earlier_seeds`` are how many
    there were when final runs had ended already, and more were asked for. ``pruner`` prunes unpromising
    runs of the search. With a ``strategy`` so many ``ranks`` do every run together.

    With ``screen`` every point is first run on one of so many parts of the budget, and the ``finalists`` alone in full;
    with ``more_tuning_seeds`` the finalists run on those as well. ``stopping`` says when final runs end early. With
    ``cover_search`` every final seed has a search of its own, on seeds and points of its own. ``recipe`` is what of the
    :class:`~steepest.training.Recipe` is not as in a plain run, ``budget`` in what a run's is counted. Of the
    ``sampler`` tpe the points of a method are those with which its search begins; each of the others is asked for once
    all before it have ended. Where the values of all methods are given there are no ``trials``.
    """

    methods: tuple[MethodSpec, ...]
    baseline: str
    trials: int
    tuning_seed: int
    seeds: tuple[int, ...]
    device: str
    schedule: str = "linear"
    threads: int = 1
    instruments: tuple[InstrumentSpec, ...] = ()
    winner: bool = False
    pairs: bool = False
    earlier_seeds: tuple[int, ...] = ()
    choice: str = "best"
    pruner: str | None = None
    strategy: str | None = None
    ranks: int = 1
    screen: int | None = None
    finalists: int | None = None
    more_tuning_seeds: tuple[int, ...] = ()
    stopping: Stopping | None = None
    cover_search: bool = False
    recipe: dict[str, Any] = field(default_factory=dict)
    budget: Unit = "evaluations"
    sampler: str = QUASI_RANDOM

    @property
    def columns(self) -> list[InstrumentSpec]:
        """The instruments that add a column to the results."""
        return [instrument for instrument in self.instruments if instrument.when == "end"]

    @property
    def series(self) -> list[InstrumentSpec]:
        """The instruments that add a series to the curve of a run."""
        return [instrument for instrument in self.instruments if instrument.when == "validation"]

    def method(self, name: str) -> MethodSpec:
        return next(method for method in self.methods if method.name == name)

    def points(self, method: MethodSpec, search: int = 0) -> tuple[dict[str, Any], ...]:
        """What a method's search tries, or begins with; computed where a spec from before format 3 does not say."""
        if search:
            return method.more_points[search - 1]
        return method.points or tuple(quasi_random_points(method.space, self.trials, self.tuning_seed))

    @property
    def replication(self) -> int:
        """Which of the studies it is that differ in all their seeds alone."""
        return self.tuning_seed // SEEDS_OF_ONE

    @property
    def seeds_asked(self) -> int:
        """How many final seeds there would be without stopping early."""
        return self.stopping.seeds if self.stopping else len(self.seeds)

    @property
    def searches(self) -> int:
        """How many a method may have."""
        return len(self.seeds) if self.cover_search else 1

    def tuning_seeds(self, search: int = 0) -> tuple[int, ...]:
        """The seeds that a search runs its finalists on, all of its points on the first."""
        seeds = (self.tuning_seed, *self.more_tuning_seeds)
        of_each = len(seeds) // self.searches
        return seeds[search * of_each : (search + 1) * of_each]

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Those that a method has runs of."""
        return PHASES if self.screen else PHASES[1:]

    def of_search(self, phase: Phase) -> int:
        """Runs of a phase that a search has at most."""
        finalists, seeds = self.finalists or 0, len(self.tuning_seeds())
        if phase == "screen":
            return self.trials if self.screen else 0
        return finalists * seeds if self.screen else self.trials + finalists * (seeds - 1)

    def most(self, phase: Phase) -> int:
        """Runs of a phase that a method has at most."""
        return len(self.seeds) if phase == "final" else self.searches * self.of_search(phase)

    def seed(self, phase: Phase, index: int) -> int:
        """On what a run of a method trains."""
        if phase == "final":
            return self.seeds[index]
        search, place = divmod(index, self.of_search(phase))
        seeds = self.tuning_seeds(search)
        if phase == "screen" or (not self.screen and place < self.trials):
            return seeds[0]
        place -= 0 if self.screen else self.trials - (self.finalists or 1)
        return seeds[place // (self.finalists or 1)]


@dataclass(frozen=True, kw_only=True)
class Spec(Shared):
    """A comparison: one workload at one batch size, beside all that its study says.

    ``name`` tells it from the other comparisons of its study. The first of ``targets`` is the workload's. ``captions``
    is what the report says of an instrument on this workload, by the instrument's name. ``prices`` are those of a
    budget in seconds.
    """

    name: str
    workload: WorkloadSpec
    epochs: int
    batch_size: int
    targets: tuple[float, ...]
    captions: dict[str, str] = field(default_factory=dict)
    prices: Prices | None = None

    @property
    def gradient_evaluations(self) -> int:
        """Of one run, at the comparison's batch size; as they are counted by :attr:`budget`, see :attr:`whole`."""
        return sum(self._evaluations)

    @property
    def _evaluations(self) -> list[int]:
        """Count those of one run at the comparison's batch size, on each of its tasks, most often one."""
        samples = self.workload.tasks or (self.workload.train_samples,)
        return [self.epochs * steps_per_epoch(count, self.batch_size) for count in samples]

    @property
    def whole(self) -> float:
        """The budget of one run, in :attr:`unit`."""
        if self.prices is not None:
            return self.prices.run
        return self.gradient_evaluations * (self.batch_size if self.budget == "samples" else 1)

    @property
    def unit(self) -> str:
        """In what the budget is counted, such as ``gradient evaluations``."""
        return UNITS[self.budget]

    def batch_size_of(self, method: MethodSpec) -> int:
        """Samples of one gradient evaluation of a method."""
        return method.batch_size or self.batch_size

    def cost(self, method: MethodSpec) -> int:
        """Gradient evaluations of a step of a method."""
        if not method.whole_epochs:
            return method.evaluations_per_step
        samples = (self.workload.tasks or (self.workload.train_samples,))[0]
        return method.evaluations_per_step * steps_per_epoch(samples, self.batch_size_of(method))

    def paid(self, method: str, evaluations: float) -> float:
        """What so many gradient evaluations of a method are of the budget, in :attr:`unit`."""
        if self.budget == "evaluations":
            return evaluations
        spec = self.method(method)
        if self.budget == "samples":
            return evaluations * self.batch_size_of(spec)
        return evaluations / self.cost(spec) * (self.prices.steps[method] if self.prices else 1)

    def budgets(self, method: MethodSpec) -> list[int]:
        """A method's gradient evaluations of one run on each of its tasks."""
        if self.budget == "evaluations":
            return self._evaluations
        of_unit = self.whole / self.gradient_evaluations / self.paid(method.name, 1)
        return [math.floor(evaluations * of_unit * (1 + 1e-12)) for evaluations in self._evaluations]

    def given(self, method: MethodSpec) -> dict[str, Any] | None:
        """The values of a method here, where they are given and not searched."""
        for where in (self.name, self.workload.name, ""):
            if where in method.values:
                return method.values[where]
        return None

    def steps(self, method: MethodSpec) -> int:
        """Steps that the budget pays for, task by task; the fewest of a method whose steps differ in what they take."""
        cost = self.cost(method)
        return sum(math.ceil(b / cost) if method.counted else b // cost for b in self.budgets(method))

    def spent(self, method: MethodSpec, phase: Phase = "final") -> int:
        """The gradient evaluations of a whole run: what the budget leaves over pays for no step."""
        cost, parts = self.cost(method), self.parts(phase)
        return sum(share_of(budget, parts, cost) // cost * cost for budget in self.budgets(method))

    def parts(self, phase: Phase) -> int:
        """Of how many parts of the budget a run has one."""
        return (self.screen or 1) if phase == "screen" else 1

    def pruning_step(self, method: str, evaluations: int, number: int) -> int:
        """What a pruner calls a run's validation, the ``number``-th, from 1, after so many gradient evaluations."""
        if self.workload.tasks or self.budget != "evaluations":
            return number
        return evaluations * self.epochs // self.gradient_evaluations

    def with_points_of(self, frozen: "Spec") -> "Spec":
        """The same with the search points that a study of these methods and ranges has been given before; of a longer
        search those are the first."""
        own, there = self.stopping, frozen.stopping
        if own and there and own.looks == there.looks:  # nor what it would compute now
            own = replace(own, levels=(*there.levels[: len(own.levels)], *own.levels[len(there.levels) :]))
        prices = self.prices and frozen.prices and self.prices.as_in(frozen.prices)
        found = replace(self, stopping=own, prices=prices or self.prices)
        if self.trials < frozen.trials or self.tuning_seed != frozen.tuning_seed:
            return found
        known = {method.name: method for method in frozen.methods if method.points}
        return replace(found, methods=tuple(_with_points_of(m, known.get(m.name)) for m in self.methods))

    def within(self, frozen: "Spec") -> "Spec":
        """The part of this comparison that ``frozen`` had room for: its trials, seeds, methods in their order, targets
        and instruments, as far as this one has them all."""
        changes: dict[str, Any] = {}
        for name in ("seeds", "targets", *(["more_tuning_seeds"] if self.cover_search else [])):
            there = getattr(frozen, name)
            if getattr(self, name)[: len(there)] == there:
                changes[name] = there
        there = {instrument.name for instrument in frozen.instruments}
        if there <= {instrument.name for instrument in self.instruments}:
            changes["instruments"] = tuple(i for i in self.instruments if i.name in there)
        own = {method.name: method for method in self.methods}
        if own.keys() >= {method.name for method in frozen.methods}:
            changes["methods"] = tuple(own[method.name] for method in frozen.methods)
        if self.stopping and frozen.stopping:
            changes["stopping"] = frozen.stopping
        if self.cover_search and frozen.cover_search:
            methods = changes.get("methods", self.methods)
            changes["methods"] = tuple(replace(m, more_points=m.more_points[: frozen.searches - 1]) for m in methods)
        if self.trials > frozen.trials and self._can_grow(frozen):
            shorter = (replace(m, points=m.points[: frozen.trials]) for m in changes.get("methods", self.methods))
            changes |= {"trials": frozen.trials, "methods": tuple(shorter), "finalists": frozen.finalists}
        return replace(self, **changes)

    def _can_grow(self, frozen: "Spec") -> bool:
        """Say whether more trials leave the runs that are there in their places, and what became of them."""
        stages = self.screen == frozen.screen and (self.screen or self.finalists is None)
        return bool(stages) and frozen.pruner is None and not frozen.cover_search  # a pruner goes by what ended before

    def changed(self, asked: "Spec") -> list[str]:
        """The methods whose code is not in ``asked`` what it is here."""
        there = {method.name: method for method in asked.methods}
        return [m.name for m in self.methods if m.name in there and _is_changed(m, there[m.name])]

    def with_methods_of(self, asked: "Spec", names: Collection[str]) -> "Spec":
        """The same with methods of these names as ``asked`` has them."""
        return replace(self, methods=tuple(asked.method(m.name) if m.name in names else m for m in self.methods))

    def differences(self, asked: "Spec") -> list[str]:
        """What differs between this comparison and the one asked for; where a file lies makes no difference."""
        names, asked_names = ([m.name for m in spec.methods] for spec in (self, asked))
        found = []
        if names != asked_names:
            found.append(f"methods are {', '.join(names)} there and {', '.join(asked_names)} here")
        common = set(names) & set(asked_names)
        mine, theirs = (_flat(_make_plain(spec), common) for spec in (self, asked))
        for key in sorted(mine.keys() | theirs.keys()):
            there, here = (flat.get(key, "nothing") for flat in (mine, theirs))
            if there == here or key.endswith(("reference", "description")):
                continue
            if key == "workload.data_sha256" and there == asked.workload.data_sha256_before:
                continue
            what = key.removesuffix("_sha256").replace("source", "source file")
            values = "" if key.endswith("_sha256") else f": {there} there, {here} here"
            found.append(f"{what} differs{values}")
        found += _between_instruments(self.instruments, asked.instruments)
        found += code_differences(f"workload {self.workload.name!r}", self.workload.code, asked.workload.code)
        for name in (name for name in names if name in common):
            found += code_differences(f"method {name!r}", self.method(name).code, asked.method(name).code)
            points = [(m.points, m.more_points) if m.points else () for m in (s.method(name) for s in (self, asked))]
            if not found and all(points) and points[0] != points[1]:
                found.append(f"the search points of method {name!r} differ")
        return found


def _is_changed(method: MethodSpec, asked: MethodSpec) -> bool:
    differ = method.source_sha256 != asked.source_sha256
    return differ or bool(code_differences(method.name, method.code, asked.code))


def _with_points_of(asked: MethodSpec, frozen: MethodSpec | None) -> MethodSpec:
    if frozen is None or frozen.space != asked.space:
        return asked
    points, *more = ((asked.points, frozen.points), *zip(asked.more_points, frozen.more_points, strict=False))
    there = tuple(_continue_points(asked, *pair) for pair in more)
    return replace(
        asked,
        points=_continue_points(asked, *points),
        more_points=(*there, *asked.more_points[len(there) :]),
    )


def _continue_points(
    method: MethodSpec, asked: Sequence[dict[str, Any]], frozen: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Continue the points of a study that has begun by those that are asked for beyond them."""
    there = ({name: point[name] for name in method.space if name in point} for point in frozen)
    return (*there, *asked[len(frozen) :])


def _between_instruments(there: Sequence[InstrumentSpec], here: Sequence[InstrumentSpec]) -> list[str]:
    names, asked = (", ".join(instrument.name for instrument in some) or "none" for some in (there, here))
    if names != asked:
        return [f"instruments are {names} there and {asked} here"]
    found = []
    for one, other in zip(there, here, strict=True):
        if one.source_sha256 != other.source_sha256:
            found.append(f"source file of instrument {one.name!r} differs")
        found += code_differences(f"instrument {one.name!r}", one.code, other.code)
    return found


def _make_plain(spec: Spec) -> dict[str, Any]:
    """Write a spec as JSON has it, without what is compared in a way of its own."""
    raw: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(spec)))
    del (
        raw["baseline"],
        raw["winner"],
        raw["pairs"],
        raw["earlier_seeds"],
        raw["instruments"],
        raw["captions"],
        raw["screen"],
        raw["finalists"],
        raw["more_tuning_seeds"],
        raw["prices"],
        raw["workload"]["data_sha256_before"],
    )
    raw |= {"stop_early": raw.pop("stopping") is not None, "tuning_seeds": len(spec.tuning_seeds())}
    raw["replication"] = raw.pop("tuning_seed") // SEEDS_OF_ONE
    for part in (raw["workload"], *raw["methods"]):
        part.pop("code")
        part.pop("points", None)
        part.pop("more_points", None)
    for method in raw["methods"]:  # a file's module is named after where it lies
        method["optimizer"] = re.sub(r"^steepest_user_[0-9a-f]+\.", "", method["optimizer"])
    return raw


def _flat(value: Any, methods: set[str], path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        items = value.items()
    elif path == "methods":
        items = {m["name"]: m for m in value if m["name"] in methods}.items()
    else:
        return {path: value}
    return {k: v for key, item in items for k, v in _flat(item, methods, f"{path}.{key}".lstrip(".")).items()}
