"""Two-layer students of a teacher: prediction and simulation for some sizes and rates, and where they part."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from steepest._errors import InputError, argument
from steepest.diagnostics.subject import one_of, whole
from steepest.page.kept import Preset, Progress, kept, settings_refused, take_experiment
from steepest.theory.committee import Committee, Simulation
from steepest.theory.committee.arguments import positive
from steepest.theory.committee.integrals import Array
from steepest.theory.committee.rule import ACTIVATIONS, STARTS

MOST, FEWEST = 24, 10  # curves, and steps
SHARES = (8, 4, 2)  # parts of the inputs' dimension at which it is seen where the theory ends
LATE = 0.8  # of the time, from which on the error is the one at the end
NEAR = 0.9  # cosine from which on a unit of the student has specialised in one of the teacher
MOMENTS, SPAN = 61, 3000  # times of measurement, evenly and on a logarithmic scale, which begins at a part of the time


@dataclass(frozen=True)
class Settings:
    """What is predicted and simulated: a curve for each size, rate and choice of layers.

    Args:
        teacher: M units.
        student: numbers K of units.
        activation, noise, weight_decay: as for :class:`~steepest.theory.committee.Committee`.
        lr: learning rates of the first layer.
        lr_output: of the second where it is trained; ``None`` for that of the first.
        train: ``"first"`` layer, ``"both"``, or one after the other.
        start: one for all, or one for each of ``train``.
        dimension: N of the inputs, at least 8.
        seeds: runs of each curve, at least 2.
        time: steps over N.
    """

    teacher: int = 2
    student: tuple[int, ...] = (2,)
    activation: str = "erf"
    lr: tuple[float, ...] = (0.5,)
    lr_output: float | None = None
    noise: float = 0.1
    weight_decay: float = 0.0
    train: tuple[str, ...] = ("first",)
    start: tuple[str, ...] = ("random",)
    dimension: int = 400
    seeds: int = 5
    time: float = 100.0


PRESETS = {
    "plateau": Preset(
        "the error stays on a plateau until each unit of the student has found its own of the teacher",
        Settings(time=300),
    ),
    "overparametrised": Preset(
        "more units than the teacher has hurt where the first layer alone is trained, and not where both are",
        Settings(student=(2, 3, 4, 6, 8), lr=(0.2,), train=("first", "both"), start=("informed", "denoiser"), time=60),
    ),
    "learning-rate": Preset(
        "of constant learning rates one is best, and beyond it the error rises until nothing is learnt",
        Settings(lr=(0.25, 0.5, 1.0, 1.5, 2.0, 2.5), noise=0.0, dimension=300, time=150),
    ),
}


@dataclass(frozen=True)
class Curve:
    """A rule of which runs are simulated."""

    units: int
    lr: float
    train: str
    start: str
    committee: Committee

    @property
    def key(self) -> str:
        return f"{self.units}-units-lr-{self.lr!r}-{self.train}-{self.start}"


class Looked(NamedTuple):
    """What S runs did, at P times, and what theory says of each from where it began.

    ``error``, ``predicted`` (S, P): generalization errors; ``cosine``, ``predicted_cosine`` (S, P, K, M): of the
    student's weights with the teacher's. What is predicted is ``None`` where theory says nothing: ``silent`` says why.
    """

    times: Array
    error: Array
    cosine: Array
    predicted: Array | None
    predicted_cosine: Array | None
    silent: str

    def late(self) -> Array:
        """Which times are the end."""
        found: Array = self.times >= LATE * self.times[-1]
        return found


@dataclass(frozen=True)
class Found:
    """What came of it: of each curve what was looked at, or why nothing; ``ends``: the first at other dimensions."""

    settings: Settings
    curves: list[tuple[Curve, Looked | str]]
    ends: list[tuple[int, Looked]]

    @property
    def seen(self) -> list[tuple[Curve, Looked]]:
        """The curves of which there is something."""
        return [(curve, looked) for curve, looked in self.curves if not isinstance(looked, str)]


def run_committee(settings: Settings, folder: Path, progress: Progress = lambda name, share: None) -> Found:
    """Predict and simulate, or read from the folder what has been simulated there.

    Args:
        progress: called with the name of what is simulated next, and the share of all steps that are done.

    Raises:
        InputError: a setting is out of range, the folder holds other settings, or every run diverges.
    """
    with settings_refused(Settings):
        curves = curves_of(settings)
        take_experiment(folder, settings)
    smaller = sorted({max(8, settings.dimension // share) for share in SHARES} - {settings.dimension})
    every, done = settings.dimension * len(curves) + sum(smaller), 0

    def look(curve: Curve, dimension: int) -> Looked | str:
        nonlocal done
        progress(f"{name_of(settings, curve)}, N = {dimension}", done / every)
        done += dimension
        found = kept(folder, f"{curve.key}-N-{dimension}", lambda: _simulate(settings, curve, dimension))
        return found["note"] if "note" in found else Looked(**found)

    shown = [(curve, look(curve, settings.dimension)) for curve in curves]
    found = Found(settings, shown, [])
    if not found.seen:
        raise InputError(f"{shown[0][1]}, in the curve of {name_of(settings, curves[0])}")
    first, largest = found.seen[0]
    if largest.predicted is not None:
        others = [(dimension, look(first, dimension)) for dimension in smaller]
        found.ends.extend((dimension, looked) for dimension, looked in others if not isinstance(looked, str))
        found.ends.append((settings.dimension, largest))
    progress("page", 1.0)
    return found


def curves_of(settings: Settings) -> list[Curve]:
    """A curve for each choice of layers, learning rate and number of units.

    Raises:
        TypeError, ValueError: a setting is out of range.
    """
    one_of("activation", settings.activation, ACTIVATIONS)
    whole("dimension", settings.dimension, 8)
    least = FEWEST / settings.dimension
    if positive("time", settings.time) < least:
        raise ValueError(
            f"time must be at least {FEWEST} steps, {least:g} with a dimension of {settings.dimension}, got "
            f"{settings.time:g}"
        )
    whole("seeds", settings.seeds, 2)
    for train in settings.train:
        one_of("train", train, ("first", "both"))
    for start in settings.start:
        one_of("start", start, STARTS)
    starts = settings.start * len(settings.train) if len(settings.start) == 1 else settings.start
    if len(starts) != len(settings.train):
        raise ValueError(f"start must be one, or one for each of train, got {','.join(settings.start)}")
    if settings.lr_output is not None and "both" not in settings.train:
        raise ValueError(f"lr_output must be left out unless both layers are trained, got {settings.lr_output!r}")
    for name in ("student", "lr", "train"):
        values = getattr(settings, name)
        if len(set(values)) < len(values):
            raise ValueError(f"{name} must name nothing twice, got {','.join(map(str, values))}")
    sizes = itertools.product(zip(settings.train, starts, strict=True), settings.lr, settings.student)
    curves = [
        Curve(k, lr, train, start, _committee_of(settings, k, lr, train, start)) for (train, start), lr, k in sizes
    ]
    if len(curves) > MOST:
        raise InputError(
            f"{argument('student')}, {argument('lr')} and {argument('train')} must make at most {MOST} curves, got "
            f"{len(curves)}"
        )
    return curves


def _committee_of(settings: Settings, units: int, lr: float, train: Any, start: Any) -> Committee:
    activation: Any = settings.activation
    return Committee(
        settings.teacher,
        units,
        activation,
        lr=lr,
        lr_output=settings.lr_output if train == "both" else None,
        noise=settings.noise,
        weight_decay=settings.weight_decay,
        train=train,
        start=start,
    )


def name_of(settings: Settings, curve: Curve) -> str:
    """What tells a curve from the others."""
    parts = [f"K = {curve.units}"] if len(settings.student) > 1 or len(settings.lr) == 1 else []
    parts += [f"lr {curve.lr:g}"] if len(settings.lr) > 1 else []
    parts += [layers_of(curve.train)] if len(settings.train) > 1 else []
    return ", ".join(parts)


def layers_of(train: str) -> str:
    """What is trained, in words."""
    return "first layer" if train == "first" else "both layers"


def _simulate(settings: Settings, curve: Curve, dimension: int) -> Mapping[str, Any]:
    """Simulate, and predict every run from its own start; of runs that diverge there is a note alone."""
    evenly = np.linspace(0, settings.time, MOMENTS)
    early = np.geomspace(settings.time / SPAN, settings.time, MOMENTS)
    times = np.unique((np.concatenate([evenly, early]) * dimension).round()) / dimension
    try:
        found = curve.committee.simulate(dimension, settings.seeds, times=times)
    except RuntimeError as error:
        return {"note": str(error)}
    told = {"times": found.times, "error": found.generalization_error, "cosine": _cosine(found.Q, found.R, found.T)}
    return told | _predict(settings, curve, found)


def _predict(settings: Settings, curve: Curve, found: Simulation) -> dict[str, Any]:
    nothing = {"predicted": None, "predicted_cosine": None}
    try:
        runs = [curve.committee.predict(found.times, start=found.start_of(i)) for i in range(settings.seeds)]
    except (ValueError, RuntimeError) as error:
        return {**nothing, "silent": str(error)}
    return {
        "predicted": np.stack([run.generalization_error for run in runs]),
        "predicted_cosine": np.stack([_cosine(run.Q, run.R, run.T) for run in runs]),
        "silent": "",
    }


def _cosine(q: Array, r: Array, t: Array) -> Array:
    """Compute the cosines (..., P, K, M) of Q (..., P, K, K), R (..., P, K, M) and T (..., M, M); 0 of no weights."""
    own = np.sqrt(np.diagonal(q, axis1=-2, axis2=-1))[..., :, None]
    teacher = np.sqrt(np.diagonal(t, axis1=-2, axis2=-1))
    teacher = teacher[..., None, None, :] if t.ndim > 2 else teacher
    found: Array = r / np.where(own > 0, own, 1.0) / teacher
    return found


def specialised_at(times: Array, cosine: Array) -> Array:
    """When each run (S,) first has a unit of the student near every one of the teacher; infinite if never.

    Args:
        cosine: (S, P, K, M).
    """
    reached = (np.abs(cosine).max(axis=2) > NEAR).all(axis=-1)
    found: Array = np.where(reached.any(axis=1), times[reached.argmax(axis=1)], np.inf)
    return found
