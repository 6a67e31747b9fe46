"""A workload's network, or a checkpoint of it, made small; beside other ways to the same size."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from steepest._files import write_atomically
from steepest._machine import device_named
from steepest.compression.compress import check_options
from steepest.compression.experiments.base import (
    SUFFIX,
    Base,
    Points,
    given_base,
    make_optimizer,
    trained_base,
    values_of,
    workload_of,
)
from steepest.compression.experiments.rivals import dense_bytes, in_eight_bits, pruned_to
from steepest.compression.folder import Folder
from steepest.compression.format.writing import format_file
from steepest.compression.inference import for_inference
from steepest.compression.steps import Compression, Tried
from steepest.compression.training import Trainer
from steepest.compression.weights import detached, find_weights
from steepest.page.kept import Progress, kept, settings_refused, take_experiment
from steepest.training.code.lookup import find_method, find_workload, load_data, source_digest
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.method import Method
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.definitions.workload import Workload

FILE = "compressed.steepest"
PARTS = "measured"
BATCHES = (1, 128)


@dataclass(frozen=True)
class Settings:
    """What the result depends on; ``subject``: a workload, or a checkpoint with ``workload`` in its metadata."""

    subject: str
    budget: float = 1.0
    sparsity: tuple[float, ...] = (0.8,)
    mode: str = "straight-through"
    method: str = "sgd"
    lr: float | None = None
    schedule: str = "linear"
    epochs_per_layer: int = 1
    retrain_epochs: int | None = None
    exempt: tuple[str, ...] = ()
    embeddings: bool = False
    recurrent: bool = False
    order: str = "sparsest"
    clip: float | None = None
    sigma_lr: float = 1.0
    workload: str | None = None
    base_method: str | None = None
    base_lr: float | None = None
    base_epochs: int | None = None
    rivals: bool = True
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class _Asked(Settings):
    """Settings with what a workload's file holds, by which a folder knows its own."""

    source: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A network by its file and by what it does: ``validation`` and ``test`` in points, ``epochs`` and ``seconds`` of
    what was trained for it, ``sparsity`` of the weights that are pruned."""

    name: str
    bytes: int
    validation: float
    test: float
    epochs: int = 0
    seconds: float = 0.0
    sparsity: float = 0.0


@dataclass(frozen=True)
class Course:
    """What was tried at a sparsity, and what came of it."""

    sparsity: float
    log: list[Tried]
    found: Candidate
    constrained: tuple[str, ...]


@dataclass(frozen=True)
class Speed:
    """Milliseconds of a batch on this CPU: the compressed network as it is, ``dense``, and with each of its linear
    layers and convolutions of 1 by 1 in the form that is the fastest here; ``forms`` of these, by layer."""

    batch: int
    threads: int
    dense: float
    after: float
    forms: Mapping[str, str]


@dataclass(frozen=True)
class Shrunk:
    """What was made. ``weights``: of each layer, flat, before and after; ``dense``: bytes of the base's tensors.

    The result is that of the course with the smallest file.
    """

    settings: Settings
    workload: Workload
    parameters: int
    dense: int
    base: Candidate
    courses: list[Course]
    rivals: list[Candidate]
    weights: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = field(repr=False)
    speed: list[Speed] = field(default_factory=list)

    @property
    def chosen(self) -> Course:
        """The course with the smallest file."""
        return min(self.courses, key=lambda course: course.found.bytes)


def shrink(
    settings: Settings, folder: Path, data_dir: Path | None = None, progress: Progress = lambda name, share: None
) -> Shrunk:
    """Train the base network, unless it is given, and make it small at each sparsity; or read what the folder has.

    Args:
        progress: called with what is done, and the share that is behind.

    Raises:
        InputError: a setting cannot be used, the data is not there, or the folder holds something else.
    """
    with settings_refused(Settings):
        workload, method, base_method = _check(settings)
        splits = load_data(workload, data_dir).to(torch.device(device_named(settings.device)))
        if len(splits.tasks) > 1:
            raise ValueError(f"subject must be a workload of one task, got {workload.name!r}")
        values = values_of(method, settings.lr, "lr")
        base_values = values_of(base_method, settings.base_lr, "base_lr")
        find = partial(
            find_weights, exempt=settings.exempt, embeddings=settings.embeddings, recurrent=settings.recurrent
        )
        fresh = workload.model()
        if not any(map(is_lazy, fresh.parameters())):  # before anything is trained
            find(fresh)
        source = source_digest(workload_of(settings.subject, settings.workload))
        take_experiment(folder, _Asked(**asdict(settings), source=source))
        trains = not settings.subject.endswith(SUFFIX)
        bar = _Bar(progress, [3.0 * trains, *[2.0 for _ in settings.sparsity], 1.0 * settings.rivals])
        if trains:
            epochs = settings.base_epochs or workload.epochs
            assignment = Assignment(
                workload, base_method, splits, base_values, settings.seed, epochs, workload.batch_size,
                SCHEDULES["linear"],
            )  # fmt: skip
            tell = partial(bar.part(0), "the base network")
            base = trained_base(assignment, settings.subject, folder, tell)
        else:
            base = given_base(workload, Path(settings.subject), splits)
        places = find(base.model)
        trainer = Trainer(
            detached(base.model), {place.key: place for place in places}, splits.train, workload.batch_size,
            workload.loss, partial(make_optimizer, method, values), settings.schedule, settings.mode,  # type: ignore[arg-type]
            settings.clip, settings.sigma_lr, settings.seed, workload.augment,
        )  # fmt: skip
        return _Experiment(settings, folder, Points(workload, splits), trainer, base).all(bar)


def _check(settings: Settings) -> tuple[Workload, Method, Method]:
    """Refuse settings that cannot be used, before anything is trained."""
    if not settings.sparsity:
        raise ValueError("sparsity must be at least one share, got none")
    for sparsity in settings.sparsity:
        check_options({**asdict(settings), "sparsity": sparsity})
    if settings.base_epochs is not None and settings.base_epochs < 1:
        raise ValueError(f"base_epochs must be an integer of at least 1, got {settings.base_epochs}")
    if settings.subject.endswith(SUFFIX):
        for name in ("base_method", "base_lr", "base_epochs"):
            if (value := getattr(settings, name)) is not None:
                raise ValueError(f"{name} must be left out where the subject is a trained network, got {value!r}")
    methods = []
    for name in ("method", "base_method"):
        found = find_method(getattr(settings, name) or "sgd")
        if found.estimators or found.schedule or found.prepare or found.closure:
            raise ValueError(f"{name} must be a plain optimizer, such as 'sgd' or 'adamw', got {found.name!r}")
        methods.append(found)
    return find_workload(workload_of(settings.subject, settings.workload)), methods[0], methods[1]


class _Bar:
    """Tell shares of a whole for parts that take about so long."""

    def __init__(self, progress: Progress, shares: list[float]) -> None:
        self._progress, self._shares, self._sum = progress, shares, sum(shares)

    def part(self, number: int) -> Progress:
        before, own = sum(self._shares[:number]), self._shares[number]
        return lambda name, share: self._progress(name, (before + own * share) / self._sum)


@dataclass
class _Experiment:
    """Do what comes after the base network."""

    settings: Settings
    folder: Path
    points: Points
    trainer: Trainer
    base: Base

    def all(self, bar: _Bar) -> Shrunk:
        """Compress, hold against others, and gather what the page tells."""
        base, state = self.base, self.base.model.state_dict()
        dense = dense_bytes(state)
        first = Candidate("base", dense, **self._measure("base", base.model), epochs=base.epochs, seconds=base.seconds)
        found = [self._compress(s, bar.part(1 + i)) for i, s in enumerate(self.settings.sparsity)]
        courses = [course for course, _ in found]
        _, model = min(found, key=lambda pair: pair[0].found.bytes)
        after = model.state_dict()
        content = format_file(after)
        write_atomically(self.folder / FILE, content)
        best = min(courses, key=lambda course: course.found.bytes).found
        rivals = self._hold_against(best, bar.part(1 + len(courses))) if self.settings.rivals else []
        weights = {key: (_flatten(state[key]), _flatten(after[key])) for key in self.trainer.places}
        count = sum(p.numel() for p in base.model.parameters())
        speed = [self._time(model, batch) for batch in BATCHES]
        return Shrunk(self.settings, self.points.workload, count, dense, first, courses, rivals, weights, speed)

    def _compress(self, sparsity: float, progress: Progress) -> tuple[Course, nn.Module]:
        asked, name = self.settings, f"sparsity-{sparsity:g}"
        better = self.points.workload.higher_is_better
        own = {"budget": asked.budget, "higher_is_better": better, "method": asked.method, "lr": asked.lr}
        folder = Folder(self.folder / name, own, self.trainer)
        run = Compression(self.trainer, folder, self.points.on_validation, asked.budget, better, progress)
        retrain = asked.epochs_per_layer if asked.retrain_epochs is None else asked.retrain_epochs
        found = run.all(sparsity, asked.epochs_per_layer, retrain, asked.order)  # type: ignore[arg-type]
        result = Candidate(
            "compressed",
            len(format_file(found.model.state_dict())),
            **self._measure(name, found.model),
            epochs=sum(row.epochs for row in found.log),
            seconds=sum(row.seconds for row in found.log),
            sparsity=found.sparsity,
        )
        return Course(sparsity, found.log, result, found.constrained), found.model

    def _hold_against(self, best: Candidate, progress: Progress) -> list[Candidate]:
        """Make the base network small in other ways: pruned to the same bytes in as many epochs, and in 8 bits."""
        trainer, name = self.trainer, "pruning alone"
        folder = Folder(self.folder / "pruning", {"bytes": best.bytes, "epochs": best.epochs}, trainer)
        folder.take()
        there = folder.read(0)
        if there is None:
            net = pruned_to(trainer, best.bytes)
            with folder.checkpoint(name) as checkpoint:
                trained, _ = trainer.train(net, max(best.epochs, 1), name, checkpoint, partial(progress, name))
            folder.write(0, {"kept": trained is not None}, trained)
        else:
            trained = there[1]
        rivals = []
        if trained is not None:
            model = trained.plain(trainer.model).eval()
            size = len(format_file(model.state_dict()))
            own = self._measure("pruning", model)
            rivals.append(Candidate("magnitude pruning", size, **own, epochs=best.epochs, sparsity=trained.sparsity))
        eight, stored = in_eight_bits(trainer.model, list(trainer.places.values()))
        rivals.append(Candidate("8-bit weights", len(format_file(stored)), **self._measure("eight", eight)))
        progress("8-bit weights", 1.0)
        return rivals

    def _time(self, model: nn.Module, batch: int) -> Speed:
        """Time the network on the CPU, once."""

        def compute() -> dict[str, Any]:
            example = self.points.splits.test.inputs[:batch].cpu()
            _, report = for_inference(copy.deepcopy(model).cpu(), example)
            forms = {layer.name: layer.chosen for layer in report.layers}
            return {"threads": report.threads, "dense": report.model, "after": report.after, "forms": forms}

        return Speed(batch=batch, **kept(self.folder, f"batch-{batch}", compute, PARTS))

    def _measure(self, name: str, model: nn.Module) -> dict[str, Any]:
        """Find the points on validation and test data, once."""

        def compute() -> dict[str, float]:
            return {part: self.points(model, part) for part in ("validation", "test")}

        return {key: float(value) for key, value in kept(self.folder, name, compute, PARTS).items()}


def _flatten(tensor: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = tensor.detach().cpu().float().numpy().ravel()
    return found
