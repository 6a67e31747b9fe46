"""The frozen specification of a study: everything that its results depend on, and nothing else."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from steepest._errors import InputError
from steepest.compare.lookup import find_method, find_workload, source_digest
from steepest.compare.method import Method, Range
from steepest.compare.train import steps_per_epoch
from steepest.compare.workload import Workload
from steepest.data import Splits, as_split, data_folder

FILE = "spec.json"
FORMAT = 1  # of the file
TUNING_SEED = 0


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
    """A study: one workload, its methods, the size of the search and of the final comparison.

    ``seeds`` are those of the final runs; the search itself runs on ``tuning_seed``. ``methods[0]`` need not be the
    baseline: that is ``baseline``.
    """

    workload: WorkloadSpec
    methods: tuple[MethodSpec, ...]
    baseline: str
    trials: int
    tuning_seed: int
    seeds: tuple[int, ...]
    epochs: int
    batch_size: int
    device: str
    schedule: str = "linear to 0, every step"
    threads: int = 1
    format: int = FORMAT

    @property
    def gradient_evaluations(self) -> int:
        """The budget of one run."""
        return self.epochs * steps_per_epoch(self.workload.train_samples, self.batch_size)

    def method(self, name: str) -> MethodSpec:
        return next(method for method in self.methods if method.name == name)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Spec":
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: the text is no such specification.
        """
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise ValueError(f"its format is {raw['format']}, not {FORMAT}")
        methods = tuple(
            MethodSpec(**{**m, "space": {k: Range(**r) for k, r in m["space"].items()}}) for m in raw["methods"]
        )
        return cls(
            **{**raw, "methods": methods, "workload": WorkloadSpec(**raw["workload"]), "seeds": tuple(raw["seeds"])}
        )

    def differences(self, asked: "Spec") -> list[str]:
        """What differs between this spec, of a folder, and the one asked for; where a file lies makes no difference."""
        names, asked_names = ([m.name for m in spec.methods] for spec in (self, asked))
        found = []
        if names != asked_names:
            found.append(f"methods are {', '.join(names)} there and {', '.join(asked_names)} here")
        common = set(names) & set(asked_names)
        mine, theirs = (_flat(json.loads(spec.to_json()), common) for spec in (self, asked))
        for key in sorted(mine.keys() & theirs.keys()):
            if mine[key] == theirs[key] or key.endswith(("reference", "description")):
                continue
            what = key.removesuffix("_sha256").replace("source", "source file")
            values = "" if key.endswith("_sha256") else f": {mine[key]} there, {theirs[key]} here"
            found.append(f"{what} differs{values}")
        return found


def _flat(value: Any, methods: set[str], path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        items = value.items()
    elif path == "methods":
        items = {m["name"]: m for m in value if m["name"] in methods}.items()
    else:
        return {path: value}
    return {k: v for key, item in items for k, v in _flat(item, methods, f"{path}.{key}".lstrip(".")).items()}


def freeze(
    workload_reference: str,
    method_references: Sequence[str],
    *,
    trials: int,
    seeds: int,
    epochs: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    lr_ranges: dict[str, Range] | None = None,
) -> Spec:
    """Resolve what a user asked for into a specification; loads the data once, to see that it is there.

    Args:
        trials: points that every method tries, at least 1.
        seeds: final runs of every method, at least 1.
        epochs, batch_size: instead of the workload's own.
        device: ``"auto"`` (the GPU if there is one), or anything ``torch.device`` takes.
        lr_ranges: method name to the range of its lr, instead of its own.

    Raises:
        InputError: any of it cannot be used.
    """
    for name, value in (("trials", trials), ("seeds", seeds), ("epochs", epochs), ("batch-size", batch_size)):
        if value is not None and value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")
    workload = find_workload(workload_reference)
    methods = [(reference, find_method(reference)) for reference in method_references]
    names = [method.name for _, method in methods]
    if not names:
        raise InputError("--methods must name at least one method, got none")
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"--methods must name each method once, got {', '.join(duplicates)} more than once")
    lr_ranges = lr_ranges or {}
    if unknown := sorted(set(lr_ranges) - set(names)):
        raise InputError(
            f"--lr-range names {unknown[0]!r}, which is not compared here; compared are {', '.join(names)}"
        )
    resolved_device = _device(device)
    splits = load_data(workload, data_dir)
    batch_size = batch_size or workload.batch_size
    steps_per_epoch(len(splits.train), batch_size)
    return Spec(
        workload=_workload_spec(workload_reference, workload, splits),
        methods=tuple(_method_spec(reference, method, lr_ranges.get(method.name)) for reference, method in methods),
        baseline="sgd" if "sgd" in names else names[0],
        trials=trials,
        tuning_seed=TUNING_SEED,
        seeds=tuple(range(TUNING_SEED + 1, TUNING_SEED + 1 + seeds)),
        epochs=epochs or workload.epochs,
        batch_size=batch_size,
        device=resolved_device,
    )


def load_data(workload: Workload, data_dir: Path | None) -> Splits:
    """The workload's data.

    Raises:
        InputError: it cannot be had, or the user's function raises or returns something else.
    """
    try:
        return Splits(*(as_split(part) for part in workload.data(data_folder(data_dir))))
    except InputError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise InputError(
            f"the data of {workload.name!r} could not be loaded: {type(error).__name__}: {error}"
        ) from error


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(wanted)
    except RuntimeError:
        raise InputError(f"--device must be auto, cpu, cuda, cuda:1, mps or the like, got {wanted!r}") from None
    try:
        torch.zeros(1, device=wanted).add_(1).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"--device {wanted!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return wanted


def _workload_spec(reference: str, workload: Workload, splits: Splits) -> WorkloadSpec:
    return WorkloadSpec(
        reference=_absolute(reference),
        name=workload.name,
        description=workload.description,
        train_samples=len(splits.train),
        validation_samples=len(splits.validation),
        test_samples=len(splits.test),
        target=workload.target,
        metric_name=workload.metric_name,
        higher_is_better=workload.higher_is_better,
        percent=workload.percent,
        source_sha256=source_digest(reference),
        data_sha256=_data_digest(splits),
    )


def _method_spec(reference: str, method: Method, lr_range: Range | None) -> MethodSpec:
    optimizer = method.optimizer
    return MethodSpec(
        reference=_absolute(reference),
        name=method.name,
        description=method.description,
        optimizer=f"{optimizer.__module__}.{getattr(optimizer, '__qualname__', type(optimizer).__qualname__)}",
        space={**method.space, **({"lr": lr_range} if lr_range else {})},
        # As JSON has it, so that a spec read back equals the one written.
        fixed=json.loads(json.dumps(dict(method.fixed), default=repr)),
        evaluations_per_step=method.evaluations_per_step,
        source_sha256=source_digest(reference),
    )


def _absolute(reference: str) -> str:
    source, colon, name = reference.rpartition(":")
    return f"{os.path.abspath(source)}:{name}" if colon and source.endswith(".py") else reference


def _data_digest(splits: Splits) -> str:
    digest = hashlib.sha256()
    for split in splits:
        for tensor in (split.inputs, split.targets):
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
