"""From images to a trained classifier, in a folder: what was computed there is not computed again."""

# ruff: noqa: E402
from steepest._errors import check_extra

check_extra("compare", "plotly", "jinja2", "rich", "typer")

import io
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from steepest._errors import InputError, argument
from steepest._files import write_atomically
from steepest._machine import device_named
from steepest.data import Split
from steepest.page.kept import Progress, kept, settings_refused, take_experiment
from steepest.spiking.encoding import encode
from steepest.spiking.features import FeatureSettings, Learnt
from steepest.spiking.workloads import DATASETS, load_grey, pixels, some_of, spiking_features, spiking_workload
from steepest.training.code.lookup import find_method
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.method import Method
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.definitions.space import middle_of
from steepest.training.definitions.workload import Workload
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.train import train

MODEL = "model.pt"
SHOWN = 12  # images of the test data whose spikes the page shows
PARTS = "computed"
COURSE = ("gradient_evaluations", "validation_metric", "train_loss")


@dataclass(frozen=True)
class Settings:
    """What is asked; the features' settings are those of :class:`~steepest.spiking.FeatureSettings`."""

    dataset: str
    maps: int = 30
    images: int = 6000
    kernel_size: int = 5
    threshold: float = 15.0
    radius: int = 5
    history: int = 5
    contrast: float = 50.0
    filters: str = "stdp"
    pixels: bool = False
    hidden: int = 1500
    activation: str = "binary"
    surrogate: str = "box"
    tau: float = 0.5
    dropout: float = 0.0
    method: str = "sgd"
    lr: float | None = None
    schedule: str = "linear"
    epochs: int = 10
    batch_size: int = 100
    train_images: int | None = None
    feature_seed: int = 0
    seed: int = 0
    device: str = "auto"

    @property
    def of_features(self) -> FeatureSettings:
        """Those of the features."""
        own = {f.name: getattr(self, f.name) for f in fields(FeatureSettings) if f.name != "seed"}
        return FeatureSettings(**own, seed=self.feature_seed)


@dataclass(frozen=True)
class Shown:
    """An image of the test data.

    ``grey`` levels (H, W); spikes of the ``inputs`` as (step, kind, row, column) and of the ``maps`` as (step, map,
    row, column); its ``label`` and the class that was ``said``.
    """

    grey: NDArray[np.uint8]
    inputs: list[list[int]]
    maps: list[list[int]]
    label: int
    said: int


@dataclass(frozen=True)
class Trained:
    """What it came to.

    ``curve``: validation accuracy and losses after each epoch, by ``gradient_evaluations``; ``validation`` and
    ``test``: accuracy from 0 to 1 at the end; ``confusion`` (classes, classes): test images by class (row) and answer;
    ``active``: share of features that are active; ``learnt``: the filters, ``None`` on pixels.
    """

    settings: Settings
    workload: Workload
    counts: tuple[int, int, int]
    curve: dict[str, Any]
    validation: float
    test: float
    confusion: NDArray[np.int64]
    seconds: float
    active: float
    parameters: int
    learnt: Learnt | None = None
    shown: list[Shown] = field(default_factory=list)


def recognize(
    settings: Settings, folder: Path, data_dir: Path | None = None, progress: Progress = lambda name, share: None
) -> Trained:
    """Learn filters, extract features and train the classifier, or read what the folder has.

    Raises:
        InputError: a setting cannot be used, the data is not there, the folder holds something else, or the classifier
            has diverged.
    """
    with settings_refused(Settings):
        method, values = _check(settings)
        workload = spiking_workload(
            settings.dataset, settings.of_features, hidden=settings.hidden, surrogate=settings.surrogate,  # type: ignore[arg-type]
            tau=settings.tau, dropout=settings.dropout, activation=settings.activation, on_pixels=settings.pixels,  # type: ignore[arg-type]
        )  # fmt: skip
        device = torch.device(device_named(settings.device))
        grey = load_grey(settings.dataset, data_dir)
        if settings.train_images is not None and settings.train_images > len(grey.train):
            raise ValueError(
                f"train_images must be at most the {len(grey.train)} there are, got {settings.train_images}"
            )
        take_experiment(folder, settings)
        chosen = _choose(len(grey.train), settings)
        if settings.pixels:
            splits, learnt = pixels(grey if chosen is None else some_of(grey, chosen)), None
        else:
            splits, learnt = spiking_features(
                grey,
                settings.of_features,
                chosen,
                lambda name, share: progress(name, 0.3 * share),
                device if device.type == "cuda" else "cpu",  # others may have no float64
            )
        assignment = Assignment(
            workload, method, splits.to(device), values, settings.seed, settings.epochs, settings.batch_size,
            SCHEDULES[settings.schedule],
        )  # fmt: skip
        found = kept(folder, "classifier", lambda: _train(assignment, folder, learnt, progress), PARTS)
        progress("page", 1.0)
        shown = (
            [] if learnt is None else _show(grey.test, learnt, settings, np.asarray(found["answers"], dtype=np.int64))
        )
        classes = DATASETS[settings.dataset][1]
        return Trained(
            settings=settings,
            workload=workload,
            counts=(len(splits.train), len(splits.validation), len(splits.test)),
            curve={
                name: np.asarray(found[name]) for name in ("gradient_evaluations", "validation_metric", "train_loss")
            },
            validation=float(found["validation"]),
            test=float(found["test"]),
            confusion=np.asarray(found["confusion"], dtype=np.int64).reshape(classes, classes),
            seconds=float(found["seconds"]),
            active=float(splits.test.inputs.float().mean()) if learnt is not None else 1.0,
            parameters=sum(p.numel() for p in workload.model().parameters()),
            learnt=learnt,
            shown=shown,
        )


def _check(settings: Settings) -> tuple[Method, dict[str, float]]:
    """Refuse settings that cannot be used, before anything is learnt."""
    for name in ("hidden", "epochs", "batch_size"):
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {getattr(settings, name)}")
    if settings.train_images is not None and settings.train_images < settings.batch_size:
        raise ValueError(
            f"train_images must be at least batch_size, {settings.batch_size}, got {settings.train_images}"
        )
    if settings.schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {settings.schedule!r}")
    if settings.pixels and settings.filters != "stdp":
        raise ValueError(f"filters must be left out on pixels, got {settings.filters!r}")
    if settings.lr is not None and not 0 < settings.lr < float("inf"):
        raise ValueError(f"lr must be a finite number above 0, got {settings.lr:g}")
    method = find_method(settings.method)
    if settings.lr is not None and "lr" not in method.space:
        raise ValueError(f"lr must be left out for {method.name}, which finds its own, got {settings.lr:g}")
    values = middle_of(method.space)
    return method, values if settings.lr is None else {**values, "lr": settings.lr}


def _choose(there: int, settings: Settings) -> Tensor | None:
    if settings.train_images is None:
        return None
    generator = torch.Generator("cpu").manual_seed(settings.seed)
    return torch.randperm(there, generator=generator, device="cpu")[: settings.train_images]


def _train(assignment: Assignment, folder: Path, learnt: Learnt | None, progress: Progress) -> dict[str, Any]:
    """Train the classifier, write it, and count its answers to the test images."""
    checkpoint = Checkpoint(folder / "checkpoints" / "classifier.pt")
    answers: list[Tensor] = []

    def keep(model: nn.Module) -> None:
        test = assignment.splits.test.inputs
        with torch.no_grad():
            answers.extend(model(test[i : i + 1000]).argmax(dim=1).cpu() for i in range(0, len(test), 1000))
        filters = {} if learnt is None else {"filters": learnt.layer.state_dict(), "threshold": learnt.layer.threshold}
        content = io.BytesIO()
        torch.save({"classifier": {k: v.cpu() for k, v in model.state_dict().items()}, **filters}, content)
        write_atomically(folder / MODEL, content.getvalue())

    outcome = train(
        assignment,
        with_test=True,
        checkpoint=checkpoint,
        progress=lambda seen: progress("classifier", 0.3 + 0.7 * seen.fraction),
        trained=keep,
    )
    if outcome.diverged or outcome.test_metric is None:
        lr = assignment.hyperparameters.get("lr", float("nan"))
        raise InputError(f"{argument('lr')} {lr:g} is too high for {assignment.method.name}: the classifier diverged")
    checkpoint.remove()
    said, targets = torch.cat(answers), assignment.splits.test.targets.cpu()
    classes = int(DATASETS[assignment.workload.name.removeprefix("spiking-")][1])
    return {
        "validation": outcome.validation_metric,
        "test": outcome.test_metric,
        "seconds": outcome.seconds,
        "answers": said.tolist(),
        "confusion": torch.bincount(targets * classes + said, minlength=classes**2).tolist(),
        **{name: list(outcome.curve[name]) for name in COURSE},
    }


def _show(test: Split, learnt: Learnt, settings: Settings, said: NDArray[np.int64]) -> list[Shown]:
    """Choose images of as many classes as there are, and list their spikes."""
    chosen: list[int] = []
    for label in range(DATASETS[settings.dataset][1]):
        chosen += (test.targets == label).nonzero()[:1, 0].tolist()
    wrong = [i for i in np.flatnonzero(said != test.targets.numpy()).tolist() if i not in chosen]
    chosen = (chosen[: SHOWN - 2] + wrong[:2])[:SHOWN]
    spikes = encode(test.inputs[chosen], threshold=settings.contrast)
    maps = learnt.layer(spikes)
    return [
        Shown(
            test.inputs[i].numpy(),
            spikes[:, n].nonzero().tolist(),
            maps[:, n].nonzero().tolist(),
            int(test.targets[i]),
            int(said[i]),
        )
        for n, i in enumerate(chosen)
    ]
