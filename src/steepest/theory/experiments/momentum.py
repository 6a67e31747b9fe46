"""Streaming PCA by momentum SGD: prediction and simulation of three or five curves, and where they part."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steepest._errors import InputError
from steepest.diagnostics.subject import one_of, whole
from steepest.optim.arguments import check_number
from steepest.page.kept import Preset, Progress, kept, settings_refused, take_experiment
from steepest.theory.experiments.momentum_starts import STARTS, Start
from steepest.theory.momentum import Annealing, Simulation, StreamingPCA

FACTORS = (0.5, 1, 2, 4, 8)  # of the settings' lr, at which it is seen where the theory ends


@dataclass(frozen=True)
class Settings:
    """What is predicted and simulated.

    Args:
        eigenvalues: as for :class:`~steepest.theory.momentum.StreamingPCA`; the second above 0.
        lr, momentum: of the first curve; momentum in (0, 1).
        start: ``"saddle"``, ``"optimum"`` or ``"equal"`` components.
        delta: distance in (0, 1) at which a run has left the saddle.
        anneal_at: from this step on, two more curves have lr times 1 - momentum, or no momentum; only at the optimum.
        replicas: runs of each curve, at least 10.
        steps: of each run; ``None`` for what the slowest curve needs.
        seed: of the samples.
    """

    eigenvalues: tuple[float, ...] = (4.0, 3.0, 2.0, 1.0)
    lr: float = 5e-4
    momentum: float = 0.9
    start: str = "saddle"
    delta: float = 0.3
    anneal_at: int | None = None
    replicas: int = 1000
    steps: int | None = None
    seed: int = 0


PRESETS = {
    "escape": Preset("at equal lr, momentum leaves a saddle sooner", Settings(lr=2e-4)),
    "optimum": Preset("at equal lr, momentum stays further from the optimum", Settings(start="optimum")),
    "annealing": Preset(
        "annealing lr or momentum brings it as near to the optimum as no momentum",
        Settings(start="optimum", anneal_at=1500, steps=6000),
    ),
    "equal-step": Preset(
        "(lr, momentum) and (lr / (1 - momentum), 0) coincide", Settings(lr=1e-4, start="equal", steps=10_000)
    ),
}


@dataclass(frozen=True)
class Curve:
    """A rule of which runs are simulated."""

    key: str
    name: str
    lr: float
    momentum: float
    annealing: Annealing | None = None


@dataclass(frozen=True)
class Found:
    """What came of it: for each curve theory, simulation; ``ends``: a row for each rule and factor of lr."""

    settings: Settings
    steps: int
    curves: list[tuple[Curve, StreamingPCA, Simulation]]
    ends: list[dict[str, Any]]

    @property
    def start(self) -> Start:
        return STARTS[self.settings.start]


def run_momentum(settings: Settings, folder: Path, progress: Progress = lambda name, share: None) -> Found:
    """Predict and simulate, or read from the folder what has been simulated there.

    Args:
        progress: called with the name of what is simulated next, and the share of all steps that are done.

    Raises:
        InputError: a setting is out of range, the folder holds other settings, or a run diverges.
    """
    with settings_refused(Settings):
        curves = [(curve, _theory_of(settings, curve)) for curve in curves_of(settings)]
        start = STARTS[settings.start]
        steps = settings.steps or math.ceil(max(start.enough(theory, settings.delta) for _, theory in curves))
        if settings.anneal_at is not None and settings.anneal_at >= steps:
            raise ValueError(f"anneal_at must be below the {steps} steps of the run, got {settings.anneal_at}")
        take_experiment(folder, settings)
    return _run(settings, folder, steps, curves, progress)


def curves_of(settings: Settings) -> list[Curve]:
    """The rule, plain SGD at its lr and at ``lr / (1 - momentum)``, and the annealed ones.

    Raises:
        TypeError, ValueError: a setting is out of range.
    """
    _check(settings)
    lr, mu, at = settings.lr, settings.momentum, settings.anneal_at
    found = [
        Curve("momentum", f"momentum {mu:g}", lr, mu),
        Curve("plain", "no momentum, equal lr", lr, 0.0),
        Curve("equal", "no momentum, lr / (1 - momentum)", lr / (1 - mu), 0.0),
    ]
    if at is not None:
        found += [
            Curve("lr-annealed", f"momentum {mu:g}, lr annealed", lr, mu, Annealing(lr={at: 1 - mu})),
            Curve("momentum-annealed", f"momentum {mu:g}, annealed", lr, mu, Annealing(momentum={at: 0.0})),
        ]
    return found


def _check(settings: Settings) -> None:
    one_of("start", settings.start, tuple(STARTS))
    check_number("momentum", settings.momentum, "a number in (0, 1)", lambda x: 0 < x < 1)
    check_number("delta", settings.delta, "a number in (0, 1)", lambda x: 0 < x < 1)
    whole("replicas", settings.replicas, 10)
    whole("seed", settings.seed, 0)
    if settings.steps is not None:
        whole("steps", settings.steps, 2)
    if settings.anneal_at is not None:
        whole("anneal_at", settings.anneal_at, 1)
        if settings.start != "optimum":
            raise ValueError(f"anneal_at must be left out unless start is 'optimum', got {settings.anneal_at}")
    StreamingPCA(settings.eigenvalues, settings.lr, settings.momentum)
    if settings.eigenvalues[1] <= 0:
        raise ValueError(f"eigenvalues must have a second above 0, got {list(settings.eigenvalues)}")


def _theory_of(settings: Settings, curve: Curve) -> StreamingPCA:
    try:
        return StreamingPCA(settings.eigenvalues, curve.lr, curve.momentum)
    except ValueError as error:
        raise ValueError(f"{error}, by the curve of {curve.name}") from error


def _run(
    settings: Settings, folder: Path, steps: int, curves: list[tuple[Curve, StreamingPCA]], progress: Progress
) -> Found:
    start, ends = STARTS[settings.start], _ends_of(settings, curves)
    every, done = len(curves) * steps + sum(enough for *_, enough in ends), 0

    def look(name: str, theory: StreamingPCA, count: int, annealing: Annealing | None = None) -> dict[str, Any]:
        nonlocal done
        progress(name, done / every)
        done += count
        return kept(folder, name, lambda: _simulate(settings, start, theory, count, annealing))

    shown = []
    for curve, theory in curves:
        found = look(curve.key, theory, steps, curve.annealing)
        if "note" in found:
            raise InputError(f"{found['note']}, in the curve of {curve.name}")
        shown.append((curve, theory, Simulation(**found)))
    rows = []
    for curve, factor, tried, enough in ends:
        row: dict[str, Any] = {"curve": curve.name, "lr": curve.lr * factor, "momentum": curve.momentum}
        row |= {"effective_lr": row["lr"] / (1 - curve.momentum)}
        found = {"note": tried} if isinstance(tried, str) else look(f"end-{curve.key}-{factor:g}", tried, enough)
        if isinstance(tried, str) or "note" in found:
            rows.append(row | found)
        else:
            rows.append(row | number_of(settings, tried, Simulation(**found), None))
    progress("page", 1.0)
    return Found(settings, steps, shown, rows)


def _ends_of(
    settings: Settings, curves: list[tuple[Curve, StreamingPCA]]
) -> list[tuple[Curve, float, StreamingPCA | str, int]]:
    """List what is simulated to see where the theory ends: curve, factor of lr, its theory or why not, steps."""
    found: list[tuple[Curve, float, StreamingPCA | str, int]] = []
    for curve, _ in curves:
        for factor in FACTORS if curve.key in ("momentum", "equal") else ():
            try:
                theory = StreamingPCA(settings.eigenvalues, curve.lr * factor, curve.momentum)
            except ValueError as error:
                found.append((curve, factor, str(error), 0))
                continue
            found.append((curve, factor, theory, math.ceil(STARTS[settings.start].enough(theory, settings.delta))))
    return found


def _simulate(
    settings: Settings, start: Start, theory: StreamingPCA, steps: int, annealing: Annealing | None
) -> Mapping[str, Any]:
    """Simulate; of a run that diverges there is a note alone."""
    evenly, early = np.linspace(0, steps, 201), np.geomspace(1, steps, 60)
    at = np.unique(np.concatenate([evenly, early]).round().astype(np.int64)).tolist()
    exits = (1, settings.delta)
    try:
        return theory.simulate(
            settings.replicas, steps, settings.seed, start=start.vector, at=at, exits=exits, annealing=annealing
        )._asdict()
    except RuntimeError as error:
        return {"note": str(error)}


def number_of(
    settings: Settings, theory: StreamingPCA, found: Simulation, annealing: Annealing | None
) -> dict[str, float]:
    """The start's number: predicted, simulated with its standard error, and their ratio."""
    start = STARTS[settings.start]
    predicted = start.predict(theory, found.steps, settings.delta, annealing)
    simulated, error = start.measure(theory, found, settings.delta)
    return {"predicted": predicted, "simulated": simulated, "error": error, "ratio": simulated / predicted}
