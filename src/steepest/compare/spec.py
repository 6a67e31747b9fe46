"""The frozen specification of a study: everything that its results depend on, and nothing else."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from steepest.compare.method import Range
from steepest.compare.running.train import steps_per_epoch

FILE = "spec.json"
FORMAT = 2  # of the file; 1 held one comparison and nothing else
TUNING_SEED = 0
_LINEAR_ONCE = "linear to 0, every step"  # what specs said when there was one schedule


@dataclass(frozen=True)
class MethodSpec:
    """A method as it was when the study began."""

    reference: str
    name: str
    description: str
    optimizer: str
    space: dict[str, Range]
    fixed: dict[str, Any]
    evaluations_per_step: int
    source_sha256: str | None
    estimators: dict[str, dict[str, Any]] = field(default_factory=dict)  # name to options


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

    def differences(self, asked: "Spec") -> list[str]:
        """What differs between this comparison and the one asked for; where a file lies makes no difference."""
        names, asked_names = ([m.name for m in spec.methods] for spec in (self, asked))
        found = []
        if names != asked_names:
            found.append(f"methods are {', '.join(names)} there and {', '.join(asked_names)} here")
        common = set(names) & set(asked_names)
        mine, theirs = (_flat(json.loads(json.dumps(dataclasses.asdict(spec))), common) for spec in (self, asked))
        for key in sorted(mine.keys() | theirs.keys()):
            there, here = (flat.get(key, "nothing") for flat in (mine, theirs))
            if there == here or key.endswith(("reference", "description")):
                continue
            what = key.removesuffix("_sha256").replace("source", "source file")
            values = "" if key.endswith("_sha256") else f": {there} there, {here} here"
            found.append(f"{what} differs{values}")
        return found

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "Spec":
        methods = tuple(
            MethodSpec(**{**m, "space": {k: Range(**r) for k, r in m["space"].items()}}) for m in raw["methods"]
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
            raw = {"format": FORMAT, "comparisons": [_of_format_1(raw)]}
        if raw["format"] != FORMAT:
            raise ValueError(f"its format is {raw['format']}, not {FORMAT}")
        return cls(tuple(Spec.from_dict(comparison) for comparison in raw["comparisons"]))

    def differences(self, asked: "StudySpec") -> list[str]:
        """What differs between this spec, of a folder, and the one asked for; where a file lies makes no difference."""
        names, asked_names = ([spec.name for spec in study.comparisons] for study in (self, asked))
        if names != asked_names:
            return [f"workloads are {', '.join(names)} there and {', '.join(asked_names)} here"]
        found: list[str] = []
        for there, here in zip(self.comparisons, asked.comparisons, strict=True):
            found += [difference for difference in there.differences(here) if difference not in found]
        return found


def _of_format_1(raw: dict[str, Any]) -> dict[str, Any]:
    del raw["format"]
    if raw.get("schedule") == _LINEAR_ONCE:
        raw["schedule"] = "linear"
    return {**raw, "name": raw["workload"]["name"], "targets": [raw["workload"]["target"]]}


def _flat(value: Any, methods: set[str], path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        items = value.items()
    elif path == "methods":
        items = {m["name"]: m for m in value if m["name"] in methods}.items()
    else:
        return {path: value}
    return {k: v for key, item in items for k, v in _flat(item, methods, f"{path}.{key}".lstrip(".")).items()}
