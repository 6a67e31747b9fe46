"""``steepest theory``: what theory predicts of SGD, beside a simulation."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from steepest._errors import InputError, argument
from steepest.cli.experiments import Bar, tell
from steepest.cli.streams import out

theory = typer.Typer(help="What theory predicts of SGD beside a simulation of the rule itself, on a page.")

Preset = Annotated[
    str | None,
    typer.Option(
        help="Settings that show a claim, of which other options change some; 'list' tells of all.", show_default=False
    ),
]
Folder = Annotated[
    Path | None, typer.Option("--out", help="The folder. Default: theory/COMMAND-PRESET.", metavar="DIR")
]


@theory.command()
def momentum(
    preset: Preset = None,
    eigenvalues: Annotated[
        str | None, typer.Option(help="Of the data's covariance, with commas, descending. Default: 4,3,2,1.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate. Default: 5e-4.")] = None,
    momentum: Annotated[float | None, typer.Option(help="In (0, 1). Default: 0.9.")] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Where runs begin: saddle, optimum, or equal, as all components are. Default: saddle."),
    ] = None,
    delta: Annotated[float | None, typer.Option(help="From where on a saddle is left. Default: 0.3.")] = None,
    anneal_at: Annotated[
        int | None,
        typer.Option(
            help="The step from which two more curves have lr times 1 - momentum, or no momentum; from the optimum."
        ),
    ] = None,
    replicas: Annotated[int | None, typer.Option(help="Runs of each curve. Default: 1000.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Of each run. Default: what the slowest curve needs.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the samples. Default: 0.")] = None,
    folder: Folder = None,
) -> int:
    """Momentum SGD on streaming PCA: how it leaves a saddle, and how far from the optimum it stays.

    Prediction and simulation of momentum SGD, of plain SGD at equal lr, and at lr / (1 - momentum). The same command
    again simulates nothing twice.
    """
    from steepest.theory.experiments.momentum import PRESETS, Settings, run_momentum
    from steepest.theory.experiments.momentum_page import story_of

    if preset is not None and _listed(preset, {name: found.claim for name, found in PRESETS.items()}):
        return 0
    claim, settings = PRESETS[preset] if preset else ("", Settings())
    given: dict[str, Any] = {
        "eigenvalues": None if eigenvalues is None else _numbers("eigenvalues", eigenvalues),
        "lr": lr,
        "momentum": momentum,
        "start": start,
        "delta": delta,
        "anneal_at": anneal_at,
        "replicas": replicas,
        "steps": steps,
        "seed": seed,
    }
    where = folder or Path("theory", f"momentum-{preset or 'own'}")
    with Bar() as bar:
        found = run_momentum(_changed(settings, given), where, bar.show)
    return tell(where, story_of(found, claim))


@theory.command()
def committee(
    preset: Preset = None,
    teacher: Annotated[int | None, typer.Option(help="Units of the teacher. Default: 2.")] = None,
    student: Annotated[
        str | None, typer.Option(help="Units of the student; several with commas make a curve each. Default: 2.")
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="erf, linear, or relu, of which there is the simulation alone. Default: erf.")
    ] = None,
    lr: Annotated[str | None, typer.Option(help="Of the first layer, one or several. Default: 0.5.")] = None,
    lr_output: Annotated[
        float | None, typer.Option(help="Of the second where it is trained. Default: as the first.", show_default=False)
    ] = None,
    noise: Annotated[float | None, typer.Option(help="Standard deviation of the labels'. Default: 0.1.")] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="The part of a weight taken off in N steps. Default: 0.")
    ] = None,
    train: Annotated[str | None, typer.Option(help="The first layer, both, or first,both. Default: first.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="random, small, informed (at the teacher) or denoiser (copies of it), for all or for each of --train. "
            "Default: random."
        ),
    ] = None,
    dimension: Annotated[int | None, typer.Option(help="N, of the inputs. Default: 400.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each curve. Default: 5.")] = None,
    time: Annotated[float | None, typer.Option(help="Steps over N of each run. Default: 100.")] = None,
    folder: Folder = None,
) -> int:
    """A two-layer student of a two-layer teacher: how its error falls, and which of its units becomes whose.

    Prediction, by the equations for inputs of many dimensions, and simulation of SGD, an example a step. The same
    command again simulates nothing twice.
    """
    from steepest.theory.experiments.committee import PRESETS, Settings, run_committee
    from steepest.theory.experiments.committee_page import story_of

    if preset is not None and _listed(preset, {name: found.claim for name, found in PRESETS.items()}):
        return 0
    claim, settings = PRESETS[preset] if preset else ("", Settings())
    given: dict[str, Any] = {
        "teacher": teacher,
        "student": None if student is None else _wholes("student", student),
        "activation": activation,
        "lr": None if lr is None else _numbers("lr", lr),
        "lr_output": lr_output,
        "noise": noise,
        "weight_decay": weight_decay,
        "train": None if train is None else tuple(train.split(",")),
        "start": None if start is None else tuple(start.split(",")),
        "dimension": dimension,
        "seeds": seeds,
        "time": time,
    }
    where = folder or Path("theory", f"committee-{preset or 'own'}")
    with Bar() as bar:
        found = run_committee(_changed(settings, given), where, bar.show)
    return tell(where, story_of(found, claim))


def _changed(settings: Any, given: Mapping[str, Any]) -> Any:
    """Change the settings that were given."""
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def _listed(preset: str, claims: Mapping[str, str]) -> bool:
    """List the presets if that was asked for.

    Raises:
        InputError: there is none of this name.
    """
    if preset == "list":
        for name, claim in claims.items():
            out().print(f"{name:<16} {claim}", highlight=False)
        return True
    if preset not in claims:
        raise InputError(f"{argument('preset')} must be list or one of {', '.join(claims)}, got {preset!r}")
    return False


def _numbers(name: str, text: str) -> tuple[float, ...]:
    """Read numbers between commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{argument(name)} must be numbers with commas between them, got {text!r}") from error


def _wholes(name: str, text: str) -> tuple[int, ...]:
    """Read whole numbers between commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{argument(name)} must be whole numbers with commas between them, got {text!r}") from error
