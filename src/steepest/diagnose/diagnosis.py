"""A diagnosis: one run with the instruments on, its folder, its result."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from steepest._errors import InputError, StudyError, one_line
from steepest._files import write_atomically
from steepest._machine import device_named, machine
from steepest._version import __version__
from steepest.diagnose.assignment import assignment_of
from steepest.diagnose.observing import Observer, observe_end, parameters_of
from steepest.diagnose.result import RESULT, SURFACE_SAMPLES, Diagnosis, read_diagnosis
from steepest.diagnostics.loss_surface import loss_plane
from steepest.page.folder import take_folder
from steepest.training.builtin.instruments.samples import batches_of
from steepest.training.code.user_code import told
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.instrument import Instrument, RunView
from steepest.training.definitions.method import Method
from steepest.training.definitions.outcome import Outcome, Progress
from steepest.training.definitions.workload import Workload
from steepest.training.loop.beginning import fresh_model
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.process.randomness import seed_generators
from steepest.training.train import train

FORMAT = 1
SURFACE_POINTS = 21
SETTINGS, OBSERVATIONS = "diagnosis.json", "observations"


def diagnose(
    workload: str | Workload,
    method: str | Method = "sgd",
    *,
    hyperparameters: Mapping[str, Any] | None = None,
    seed: int = 1,
    epochs: int | None = None,
    batch_size: int | None = None,
    schedule: str = "linear",
    device: str = "auto",
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    checkpoint_seconds: float = 30.0,
    progress: Callable[[str, Progress | None], object] = lambda stage, seen: None,
    command: str = "",
) -> Diagnosis:
    """Train one run with the instruments on and write a page about it.

    After every validation: the gradient noise scale, the inner-product test, the largest Hessian eigenvalues and every
    layer's update-to-weight ratio. At the end: the spectrum of the gradients' covariance and its alignment with the
    Hessian, the density of the Hessian's eigenvalues, and the loss in the plane in which the weights moved most.

    The same call again resumes where it stopped: within the run from its last checkpoint. A folder with a result is
    only read, and its page written anew.

    Args:
        workload: a built-in name, ``path/to/file.py:name``, ``package.module:name`` or a :class:`Workload`.
        method: likewise, with an estimator in front if wanted.
        hyperparameters: values of the method's search space; what is missing stands in the middle of its range.
        seed: of initial weights and order of data.
        epochs: instead of the workload's own, and so is ``batch_size``.
        schedule: of the learning rate, unless the method has its own.
        device: as for :class:`steepest.compare.Study`.
        data_dir: where data files lie.
        out: the folder; ``diagnoses/WORKLOAD-METHOD`` if not given.
        checkpoint_seconds: between two checkpoints of the run.
        progress: called with what is being done, and in the run with how far it is.
        command: as the user typed it, for the page.

    Raises:
        InputError: an argument is not what it must be, or the folder holds another diagnosis.
        StudyError: the run diverged at once, so that there is nothing to look at.
    """
    chosen = device_named(device)
    assignment = assignment_of(
        workload,
        method,
        hyperparameters=hyperparameters or {},
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        schedule=schedule,
        device=chosen,
        data_dir=None if data_dir is None else Path(data_dir),
    )
    folder = Path(out or Path("diagnoses") / f"{assignment.workload.name}-{assignment.method.name}".replace("/", "-"))
    settings = _settings(assignment, chosen)
    take_folder(folder, SETTINGS, settings, "diagnosis")
    if not (folder / RESULT).exists():
        _run(assignment, folder, settings, checkpoint_seconds, progress, command)
    found = read_diagnosis(folder)
    progress("page", None)
    from steepest.diagnose.page import write_page

    write_page(found)
    return found


def _settings(assignment: Assignment, device: str) -> dict[str, Any]:
    workload, method = assignment.workload, assignment.method
    return {
        "format": FORMAT,
        "workload": workload.name,
        "description": workload.description,
        "metric": workload.metric_name,
        "percent": workload.percent,
        "method": method.name,
        "method_description": method.description,
        "hyperparameters": dict(assignment.hyperparameters),
        "fixed": {name: value for name, value in method.fixed.items() if isinstance(value, int | float | str | bool)},
        "seed": assignment.seed,
        "epochs": assignment.epochs,
        "batch_size": assignment.batch_size,
        "schedule": assignment.lr_schedule.name,
        "train_samples": len(assignment.splits.train),
        "device": device,
        "steepest": __version__,
        "torch": torch.__version__,
    }


def _run(
    assignment: Assignment,
    folder: Path,
    settings: dict[str, Any],
    checkpoint_seconds: float,
    progress: Callable[[str, Progress | None], object],
    command: str,
) -> None:
    """Train, look, and keep the result."""
    started = time.perf_counter()
    observer = Observer(folder / OBSERVATIONS, assignment.batch_size)
    checkpoint = Checkpoint(folder / "checkpoint.pt", checkpoint_seconds)
    ending: dict[str, Any] = {}

    def look_at_end(view: RunView) -> None:
        progress("end", None)
        ending["end"] = observe_end(view)
        progress("surface", None)
        ending["surface"] = _find_surface(view, observer)

    try:
        progress("start", None)
        _observe_start(assignment, observer)
        outcome = train(
            replace(assignment, method=observer.watched(assignment.method)),
            with_test=True,
            instruments=[observer.instrument, Instrument("at-the-end", look_at_end)],
            checkpoint=checkpoint,
            progress=lambda seen: progress("train", seen) and False,
        )
    except (InputError, StudyError):
        raise
    except Exception as error:  # whatever the user's code raises
        raise InputError(
            f"{assignment.method.name} on {assignment.workload.name} cannot be diagnosed: {told(error)}"
        ) from error
    if (note := outcome.notes.get("at-the-end")) and not ending:
        raise StudyError(f"the run could not be looked at: {one_line(note)}")
    seen = observer.seen(outcome.gradient_evaluations // assignment.method.cost)
    run = _fields_of(outcome) | {
        "parameters": parameters_of(assignment.workload.model()),
        "command": command,
        "machine": machine(),
        "seconds_in_all": time.perf_counter() - started,
    }
    held = {"settings": settings, "run": run, "seen": seen, "end": {}, "surface": {}, **ending}
    write_atomically(folder / RESULT, json.dumps(_make_plain(held)))
    checkpoint.remove()


def _observe_start(assignment: Assignment, observer: Observer) -> None:
    """Look at the initial weights, as the run will draw them."""
    seed_generators(assignment.seed)
    model = fresh_model(assignment.workload).to(assignment.splits.train.inputs.device)
    optimizer = assignment.method.build(model, assignment.hyperparameters)
    model.train()
    observer.observe(RunView(assignment.workload, assignment.splits, model, optimizer, 0, 0))


def _find_surface(view: RunView, observer: Observer) -> dict[str, Any]:
    """Find the loss in the plane in which the weights moved most."""
    data = batches_of(view.splits.train, SURFACE_SAMPLES)
    path = observer.path(view.step)
    try:
        plane = loss_plane(view.model, view.workload.loss, data, path=path, points=(SURFACE_POINTS, SURFACE_POINTS))
    except (RuntimeError, ValueError, TypeError) as error:  # whatever a user's model cannot do
        return {"error": f"{type(error).__name__}: {error}"}
    return {
        "x": plane.at[0].tolist(),
        "y": plane.at[1].tolist(),
        "losses": plane.losses.T.tolist(),  # a row for each y
        "path": [] if plane.path is None else plane.path.tolist(),
        "shares": [] if plane.shares is None else plane.shares.tolist(),
        "samples": plane.samples,
        "seconds": plane.seconds,
    }


def _fields_of(outcome: Outcome) -> dict[str, Any]:
    names = ("diverged", "gradient_evaluations", "validation_loss", "validation_metric", "test_loss", "test_metric")
    curve = {name: values for name, values in outcome.curve.items() if name != "observed"}
    return {**{name: getattr(outcome, name) for name in names}, "curve": curve, "seconds": outcome.seconds}


def _make_plain(value: Any) -> Any:
    """Make of numbers that are not finite what JSON has for them, nothing."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, Mapping):
        return {name: _make_plain(item) for name, item in value.items()}
    return [_make_plain(item) for item in value] if isinstance(value, list | tuple) else value
