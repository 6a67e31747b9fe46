"""``steepest diagnose``."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steepest._errors import InputError
from steepest.cli.options import DATA_DIR
from steepest.cli.streams import err, out
from steepest.compare.names import SCHEDULES

if TYPE_CHECKING:
    from steepest.training.definitions.outcome import Progress

STAGES = {
    "start": "looking at the initial weights",
    "train": "training",
    "end": "spectra at the end",
    "surface": "the plane of the path",
    "page": "writing the page",
}


def diagnose(
    workload: Annotated[
        str, typer.Argument(help="A built-in name, path/to/file.py:name or package.module:name.", show_default=False)
    ],
    method: Annotated[
        str, typer.Option(help="A method as compare takes it; with a gradient estimator in front, such as ssgd+sngm.")
    ] = "sgd",
    lr: Annotated[
        float | None, typer.Option(help="The learning rate. Default: the middle of the method's range.")
    ] = None,
    hyperparameter: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="NAME=VALUE, another hyperparameter of the method's space; repeat for more.", metavar="NAME=X"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of initial weights and order of data.")] = 1,
    epochs: Annotated[int | None, typer.Option(help="Instead of the workload's own.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Instead of the workload's own.")] = None,
    schedule: Annotated[str, typer.Option(help=f"Of the learning rate: {', '.join(SCHEDULES)}.")] = "linear",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto: the GPU if there is one.")] = "auto",
    folder: Annotated[
        Path | None, typer.Option("--out", help="The folder. Default: diagnoses/WORKLOAD-METHOD.", metavar="DIR")
    ] = None,
    data_dir: Annotated[Path | None, DATA_DIR] = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Between two checkpoints of the run, from which it resumes.")
    ] = 30.0,
) -> int:
    """Train one run with the instruments on: gradient noise, curvature, updates, the plane of the path; on a page.

    The same command again resumes where it stopped.
    """
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    from steepest.diagnose.diagnosis import diagnose as run
    from steepest.diagnose.sentences import headline_of, sentences_of

    chosen = _read_settings(hyperparameter or [])
    if lr is not None:
        chosen["lr"] = lr
    console = err()
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(STAGES["start"], total=1.0)

        def show(stage: str, seen: "Progress | None") -> None:
            bars.update(task, description=STAGES[stage], completed=0.9 * seen.fraction if seen else None)

        found = run(
            workload,
            method,
            hyperparameters=chosen,
            seed=seed,
            epochs=epochs,
            batch_size=batch_size,
            schedule=schedule,
            device=device,
            data_dir=data_dir,
            out=folder,
            checkpoint_seconds=checkpoint_seconds,
            progress=show,
            command=shlex.join(["steepest", *sys.argv[1:]]),
        )
    printed = out()
    printed.print(f"{found.settings['method']} on {found.settings['workload']}: {headline_of(found)}", highlight=False)
    for sentence in sentences_of(found):
        printed.print(sentence, highlight=False)
    printed.print(f"{found.page}", highlight=False, soft_wrap=True)
    return 0


def _read_settings(given: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE pairs."""
    from steepest.training.definitions.conditions import scalar

    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InputError(f"--set must be NAME=VALUE, such as momentum=0.9, got {text!r}")
        found[name] = scalar(value)
    return found
