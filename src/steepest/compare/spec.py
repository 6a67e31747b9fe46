"""The frozen specification of a study: everything that its results depend on, and nothing else."""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from steepest.compare.points import quasi_random_points
from steepest.training.definitions.budget import steps_per_epoch
from steepest.training.definitions.method import Range
from steepest.training.opened_files import shown

FILE = "spec.json"
# Of the file: 1 held one comparison and nothing else, 2 neither search points nor the digests of imported code.
FORMAT = 3
TUNING_SEED = 0
GIVEN_PART = "given:"  # before the name of a part of a given object, among the names of modules
_LINEAR_ONCE = "linear to 0, every step"  # what specs said when there was one schedule


@dataclass(frozen=True)
class MethodSpec:
    """A method as it was when the study began.

    ``source_sha256`` is of the user's own file; ``code`` has the digests of what that file imports, or of what a
    program gave as objects (:mod:`~steepest.compare.identity`). ``points`` are those of the search, a value for every
    name of ``space``. A spec from before format 3 has neither: ``code`` is ``None`` and ``points`` is empty.
    """

    reference: str
    name: str
    description: str
    optimizer: str
    space: dict[str, Range]
    fixed: dict[str, Any]
    evaluations_per_step: int
    source_sha256: str | None
    estimators: dict[str, dict[str, Any]] = field(default_factory=dict)  # name to options
    points: tuple[dict[str, float], ...] = ()
    code: dict[str, str] | None = None
    schedule: str | None = None  # of its own


@dataclass(frozen=True)
class WorkloadSpec:
    """A workload as it was when the study began."""

    reference: str
    name: str
    description: str
    train_samples: int
    validation_samples: int
    test_samples: int
    target: float
    metric_name: str
    higher_is_better: bool
    percent: bool
    source_sha256: str | None
    data_sha256: str
    code: dict[str, str] | None = None


@dataclass(frozen=True)
class Spec:
    """A comparison: one workload at one batch size, its methods, the size of the search and of the final comparison.

    ``name`` tells it from the other comparisons of its study. ``seeds`` are those of the final runs; the search itself
    runs on ``tuning_seed``. ``methods[0]`` need not be the baseline: that is ``baseline``. The first of ``targets`` is
    the workload's. ``sharpness_samples`` training samples give the loss whose sharpness is measured after a final run;
    0 if none is to be. ``pruner`` stops hopeless runs of the search early. With a ``strategy`` so many
    ``ranks`` do every run together.
    """

    name: str
    workload: WorkloadSpec
    methods: tuple[MethodSpec, ...]
    baseline: str
    trials: int
    tuning_seed: int
    seeds: tuple[int, ...]
    epochs: int
    batch_size: int
    device: str
    targets: tuple[float, ...]
    schedule: str = "linear"
    threads: int = 1
    sharpness_samples: int = 0
    pruner: str | None = None
    strategy: str | None = None
    ranks: int = 1

    @property
    def gradient_evaluations(self) -> int:
        """The budget of one run."""
        return self.epochs * steps_per_epoch(self.workload.train_samples, self.batch_size)

    def method(self, name: str) -> MethodSpec:
        return next(method for method in self.methods if method.name == name)

    def points(self, method: MethodSpec) -> tuple[dict[str, float], ...]:
        """What a method's search tries; computed where a spec from before format 3 does not say."""
        return method.points or tuple(quasi_random_points(method.space, self.trials, self.tuning_seed))

    def with_points_of(self, frozen: "Spec") -> "Spec":
        """The same with the search points that a study of these very methods and ranges has been given before."""
        if (self.trials, self.tuning_seed) != (frozen.trials, frozen.tuning_seed):
            return self
        there = {method.name: method for method in frozen.methods if method.points}
        return replace(self, methods=tuple(_with_points_of(m, there.get(m.name)) for m in self.methods))

    def differences(self, asked: "Spec") -> list[str]:
        """What differs between this comparison and the one asked for; where a file lies makes no difference."""
        names, asked_names = ([m.name for m in spec.methods] for spec in (self, asked))
        found = []
        if names != asked_names:
            found.append(f"methods are {', '.join(names)} there and {', '.join(asked_names)} here")
        common = set(names) & set(asked_names)
        mine, theirs = (_flat(_plain(spec), common) for spec in (self, asked))
        for key in sorted(mine.keys() | theirs.keys()):
            there, here = (flat.get(key, "nothing") for flat in (mine, theirs))
            if there == here or key.endswith(("reference", "description")):
                continue
            what = key.removesuffix("_sha256").replace("source", "source file")
            values = "" if key.endswith("_sha256") else f": {there} there, {here} here"
            found.append(f"{what} differs{values}")
        found += code_differences(f"workload {self.workload.name!r}", self.workload.code, asked.workload.code)
        for name in (name for name in names if name in common):
            found += code_differences(f"method {name!r}", self.method(name).code, asked.method(name).code)
            points = [spec.method(name).points for spec in (self, asked)]
            if not found and all(points) and points[0] != points[1]:
                found.append(f"the search points of method {name!r} differ")
        return found

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "Spec":
        methods = tuple(
            MethodSpec(
                **{
                    **m,
                    "space": {k: Range(**r) for k, r in m["space"].items()},
                    "points": tuple(m.get("points", ())),
                }
            )
            for m in raw["methods"]
        )
        workload = WorkloadSpec(**raw["workload"])
        lists = {key: tuple(raw[key]) for key in ("seeds", "targets")}
        return cls(**{**raw, **lists, "methods": methods, "workload": workload})


@dataclass(frozen=True)
class StudySpec:
    """A study: comparisons of the same methods, each of its own name."""

    comparisons: tuple[Spec, ...]

    @property
    def methods(self) -> tuple[MethodSpec, ...]:
        return self.comparisons[0].methods

    @property
    def device(self) -> str:
        return self.comparisons[0].device

    @property
    def threads(self) -> int:
        return self.comparisons[0].threads

    @property
    def strategy(self) -> str | None:
        return self.comparisons[0].strategy

    def comparison(self, name: str) -> Spec:
        return next(spec for spec in self.comparisons if spec.name == name)

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "StudySpec":
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: the text is no such specification.
        """
        raw = json.loads(text)
        if raw["format"] == 1:
            raw = {"format": 2, "comparisons": [_of_format_1(raw)]}
        if raw["format"] not in (2, FORMAT):
            raise ValueError(f"its format is {raw['format']}, not {FORMAT}")
        return cls(tuple(Spec.from_dict(comparison) for comparison in raw["comparisons"]))

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing that older formats did not freeze."""
        return all(part.code is not None for part in self.parts) and all(
            m.points for spec in self.comparisons for m in spec.methods
        )

    @property
    def parts(self) -> list[WorkloadSpec | MethodSpec]:
        """All workloads and methods, comparison by comparison."""
        found: list[WorkloadSpec | MethodSpec] = []
        for spec in self.comparisons:
            found += [spec.workload, *spec.methods]
        return found

    def with_points_of(self, frozen: "StudySpec") -> "StudySpec":
        """The same with the search points of ``frozen``, of a study that has begun, wherever it searches as that does.

        They count, and not what this release of SciPy would draw.
        """
        there = {spec.name: spec for spec in frozen.comparisons}
        return StudySpec(
            tuple(spec.with_points_of(there[spec.name]) if spec.name in there else spec for spec in self.comparisons)
        )

    def differences(self, asked: "StudySpec") -> list[str]:
        """What differs between this spec, of a folder, and the one asked for; where a file lies makes no difference."""
        names, asked_names = ([spec.name for spec in study.comparisons] for study in (self, asked))
        if names != asked_names:
            return [f"workloads are {', '.join(names)} there and {', '.join(asked_names)} here"]
        found: list[str] = []
        for there, here in zip(self.comparisons, asked.comparisons, strict=True):
            found += [difference for difference in there.differences(here) if difference not in found]
        return found


def code_differences(owner: str, there: Mapping[str, str] | None, here: Mapping[str, str] | None) -> list[str]:
    """What the user's code differs in; nothing where one side does not know.

    Digests of objects are compared only if the same Python made them, which their end says: its bytecode is in them.

    Example:
        >>> code_differences("method 'm'", {"mynet": "1", "given:prepare": "1/3.11"}, {"given:prepare": "2/3.11"})
        ["the prepare of method 'm' was changed since the study began", "module mynet of method 'm' is missing here"]
    """
    found: list[str] = []
    if there is None or here is None:
        return found
    for name in sorted(there.keys() | here.keys()):
        a, b = there.get(name), here.get(name)
        given, what = name.startswith(GIVEN_PART), name.removeprefix(GIVEN_PART)
        if a == b or (given and a and b and a.partition("/")[2] != b.partition("/")[2]):
            continue
        subject = f"the {what} of {owner}" if given else f"{shown(what)} of {owner}"
        change = "is missing here" if b is None else "was not there" if a is None else "was changed"
        found.append(f"{subject} {change}{' since the study began' if a and b else ''}")
    return found


def _with_points_of(asked: MethodSpec, frozen: MethodSpec | None) -> MethodSpec:
    if frozen is None or frozen.space != asked.space:
        return asked
    return replace(asked, points=tuple({name: point[name] for name in asked.space} for point in frozen.points))


def _of_format_1(raw: dict[str, Any]) -> dict[str, Any]:
    del raw["format"]
    if raw.get("schedule") == _LINEAR_ONCE:
        raw["schedule"] = "linear"
    return {**raw, "name": raw["workload"]["name"], "targets": [raw["workload"]["target"]]}


def _plain(spec: Spec) -> dict[str, Any]:
    """As JSON has it, without what is compared in a way of its own."""
    raw: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(spec)))
    for part in (raw["workload"], *raw["methods"]):
        part.pop("code")
        part.pop("points", None)
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
