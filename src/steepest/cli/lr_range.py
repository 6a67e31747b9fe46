"""``steepest lr-range``."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from steepest._errors import InputError, argument
from steepest.cli.options import DATA_DIR
from steepest.cli.streams import err, out


def lr_range(
    workload: Annotated[
        str,
        typer.Argument(
            help="A built-in name, path/to/file.py:name or package.module:name; the list is that of 'steepest "
            "workloads'.",
            show_default=False,
        ),
    ],
    method: Annotated[
        str, typer.Option(help="A built-in name, path/to/file.py:name or package.module:name. Default: sgd.")
    ] = "sgd",
    start_lr: Annotated[float, typer.Option(help="The lowest rate. Default: 1e-6.")] = 1e-6,
    end_lr: Annotated[float, typer.Option(help="The highest rate. Default: 10.")] = 10.0,
    num_iter: Annotated[int, typer.Option(help="Steps of the sweep. Default: 100.")] = 100,
    mode: Annotated[str, typer.Option(help="exp, equal ratios, or linear, equal differences. Default: exp.")] = "exp",
    restart: Annotated[
        bool,
        typer.Option(
            "--restart/--no-restart",
            help="Every rate from the same weights, ten steps each, instead of one sweep. Default: no.",
        ),
    ] = False,
    refine_iter: Annotated[
        int | None,
        typer.Option(
            help="Steps beside these at seven rates around what the sweep suggests, each from the start. Default: what "
            "an epoch has beyond --num-iter, at most 210.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of initial weights and data order. Default: 0.")] = 0,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto: the GPU if there is one. Default: auto.")
    ] = "auto",
    data_dir: Annotated[str | None, DATA_DIR] = None,
    into: Annotated[
        str | None,
        typer.Option("--out", help="Where the page goes. Default: studies/lr-range-WORKLOAD-METHOD.", metavar="DIR"),
    ] = None,
) -> None:
    """Find the bounds of the learning rate, and one to start a search with, in one sweep; writes a page."""
    from rich.progress import BarColumn, Progress, TextColumn

    from steepest.compare.study import values
    from steepest.diagnose.lr_range import sentences, sweep
    from steepest.diagnose.lr_range_page import write

    values.one_of("mode", mode, ("exp", "linear"))
    folder = None if into is None else values.path("out", into)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(f"{argument('out')} must be a folder, got {into!r}")
    bar = Progress(
        TextColumn("[bold]{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), console=err()
    )
    bar.live.transient = True
    task = bar.add_task("lr-range", total=None)
    with bar:
        swept = sweep(
            workload,
            method,
            start_lr=start_lr,
            end_lr=end_lr,
            num_iter=num_iter,
            mode="linear" if mode == "linear" else "exp",
            restart=restart,
            refine_iter=refine_iter,
            seed=seed,
            device=device,
            data_dir=None if data_dir is None else values.path("data_dir", data_dir),
            progress=lambda expected: bar.update(task, total=expected, advance=1),
        )
    if folder is None:
        name = re.sub(r"[^\w.+-]+", "-", f"lr-range-{swept.workload.name}-{swept.method.name}")
        folder = Path("studies", name)
    page = write(folder, swept, ["steepest", *sys.argv[1:]])
    for sentence in sentences(swept):
        out().print(Text(sentence))
    out().print(Text(f"Page: {page}"))
