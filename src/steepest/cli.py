"""The command line: arguments in, text out; the work is done in `steepest.compare`."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from steepest._errors import InputError, StudyError
from steepest._version import __version__
from steepest.compare import flags
from steepest.compare.analysis.summary import summarize_study
from steepest.compare.builtin import DEFAULT_METHODS
from steepest.compare.options import is_file
from steepest.compare.progress import ProgressDisplay
from steepest.compare.pruners import PRUNERS
from steepest.compare.report.events import write_events
from steepest.compare.report.exports import export_csv
from steepest.compare.report.wording import count
from steepest.compare.running.drive import finished_records
from steepest.compare.running.pool import ENGINES
from steepest.compare.running.ranks import STRATEGIES
from steepest.compare.schedule import SCHEDULES
from steepest.compare.study import Study
from steepest.compare.terminal import all_lost, print_methods, print_plan, print_result, print_workloads, write
from steepest.compare.watch import serve

app = typer.Typer(
    name="steepest",
    help="Better stochastic gradient descent for PyTorch, with the evidence.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Newer typers carry a copy of click, older ones use the package: this is the base class of either's usage errors.
_UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")
_err = Console(stderr=True) if sys.stderr.isatty() else Console(stderr=True, soft_wrap=True)
# Off a terminal lines are not broken, and a table is as wide as it needs to be.
_out = Console() if sys.stdout.isatty() else Console(width=200, soft_wrap=True)


class _InterruptedError(Exception):
    """A study was stopped in good order."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code: 0 done, 1 no result, 2 bad input, 130 interrupted."""
    try:
        code = app(list(arguments), standalone_mode=False)
    except _UsageError as error:
        return _fail(_usage_sentence(error), 2)
    except InputError as error:
        return _fail(error.spelled(_flag), 2)
    except StudyError as error:
        return _fail(error.spelled(_flag), 1)
    except _InterruptedError as error:
        return _fail(str(error), 130)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:  # newer typers make this of a KeyboardInterrupt
        return _fail("interrupted", 130)
    return code if isinstance(code, int) else 0


def _flag(argument: str) -> str:
    return "--" + argument.replace("_", "-")


def _usage_sentence(error: Exception) -> str:
    message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    details = getattr(error.__cause__, "errors", None)  # of pydantic, which does not print the value
    value = f", got {details()[0].get('input')!r}" if callable(details) else ""
    return message.rstrip(".") + value


def _fail(sentence: str, code: int) -> int:
    end = "" if sentence.endswith((".", "?", ")")) else "."
    _err.print(Text.assemble(("error: ", "bold red"), sentence + end))
    return code


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        _out.print(f"steepest {__version__}", highlight=False)
        raise typer.Exit
    if context.invoked_subcommand is None:
        _out.print(context.get_help(), markup=False, highlight=False)
        raise typer.Exit


@app.command()
def compare(
    workloads: Annotated[
        list[str],
        typer.Argument(
            help="Built-in names, path/to/file.py:name or package.module:name; or one study.toml, or the spec.json of "
            "a study, whose values the flags replace.",
            show_default=False,
        ),
    ],
    methods: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: built-in names, path/to/file.py:name or package.module:name; with a gradient "
            "estimator in front, such as ssgd+sngm ('steepest methods' lists both). Default: "
            f"{', '.join(DEFAULT_METHODS)}.",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Points of the search, the same number for every method. Default: 8.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Final runs of every method's best point. Default: 5.")] = None,
    epochs: Annotated[
        list[str] | None,
        typer.Option(help="Instead of the workload's own; WORKLOAD=N for one of several.", metavar="N"),
    ] = None,
    batch_size: Annotated[
        list[str] | None,
        typer.Option(help="Instead of the workload's own; N,N,... compares at each. Or WORKLOAD=N,N.", metavar="N"),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            help="X,X,... of the validation metric, instead of the workload's own; the first is the table's. Or "
            "WORKLOAD=X,X.",
            metavar="X",
        ),
    ] = None,
    lr_range: Annotated[
        list[str] | None,
        typer.Option(help="METHOD=LOW:HIGH, instead of the method's own range; repeat for more.", metavar="RANGE"),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            help="METHOD.NAME=LOW:HIGH, to search a hyperparameter, logarithmically or with :linear at the end; repeat "
            "for more.",
            metavar="RANGE",
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help=f"Of the learning rate, for all methods: {', '.join(SCHEDULES)}. Default: linear."),
    ] = None,
    sharpness: Annotated[
        bool | None,
        typer.Option(
            "--sharpness/--no-sharpness",
            help="Measure the largest Hessian eigenvalue of the training loss after every final run. Default: no.",
        ),
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(help=f"Stop hopeless runs of the search: {', '.join(PRUNERS)}. Default: none."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Runs at a time, one thread each. Default: all cores, or 1 on a GPU; with Ray, what it has room for."
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help=f"{' or '.join(STRATEGIES)}: the processes of torchrun do every run together, as in "
            "'torchrun --nproc-per-node 2 -m steepest compare WORKLOAD --strategy ddp'. Default: none.",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help=f"Where runs happen: {' or '.join(ENGINES)}. Ray is the cluster of RAY_ADDRESS or of 'ray start', or "
            "else one that is started for the study. Default: processes.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda, cuda:1, mps, or auto: the GPU if there is one. Default: auto."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder. Default: studies/WORKLOAD.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="postgresql://USER:PASSWORD@HOST/DATABASE, where the runs are kept instead of in the folder, so that "
            "any number of hosts can run the same command, each with a folder of its own.",
            metavar="URL",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option("--study", help="The study's name in the storage. Default: the workloads' names.", metavar="NAME"),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where data files lie. Default: the environment variable STEEPEST_DATA.")
    ] = None,
    checkpoint_seconds: Annotated[
        float | None,
        typer.Option(help="Between two checkpoints of a run, from which it goes on. Default: 30."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what the study would cost, and run nothing of it but a few steps.")
    ] = False,
) -> int:
    """Compare optimizers: tune each on the same budget, re-run the best on fresh seeds, report.

    The same command again goes on where it stopped.
    """
    given: dict[str, Any] = {
        "methods": None if methods is None else [name.strip() for name in methods.split(",") if name.strip()],
        "trials": trials,
        "seeds": seeds,
        "epochs": flags.by_workload("--epochs", epochs, flags.integer),
        "batch_size": flags.by_workload("--batch-size", batch_size, flags.listed(flags.integer)),
        "targets": flags.by_workload("--targets", targets, flags.listed(flags.number)),
        "space": flags.spaces(lr_range or [], space or []),
        "schedule": schedule,
        "sharpness": sharpness,
        "pruner": pruner,
        "device": device,
        "jobs": jobs,
        "strategy": strategy,
        "engine": engine,
        "out": out,
        "data_dir": data_dir,
        "checkpoint_seconds": checkpoint_seconds,
        "storage": storage,
        "study": study,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    files = [text for text in workloads if is_file(text)]
    if files and len(workloads) > 1:
        raise InputError(f"a study's file stands alone, got {' '.join(workloads)}")
    comparison = Study.from_file(files[0], **changes) if files else Study(workloads, **changes)
    if comparison.follows:
        if not plan:
            comparison.run()
        return 0
    if plan:
        print_plan(
            _out, comparison.plan(), with_sharpness=any(c.sharpness_samples for c in comparison.spec.comparisons)
        )
        return 0
    with ProgressDisplay(_err) as display:
        finished = comparison.run(listener=display, command=_command())
    summaries = comparison.summaries()
    if finished and all(row.chosen is None for summary in summaries for row in summary.rows):
        raise StudyError(all_lost(summaries, write(comparison.folder, summaries)))
    print_result(_out, comparison.folder, summaries)
    if not finished:
        done, planned = (sum(getattr(s, name) for s in summaries) for name in ("finished", "planned"))
        raise _InterruptedError(
            f"interrupted with {done} of {count(planned, 'run')} finished; the same command goes on from there"
        )
    return 0


def _command() -> str:
    """What the user typed."""
    by_torchrun = ["torchrun", "--nproc-per-node", os.environ.get("LOCAL_WORLD_SIZE", ""), "-m"]
    return shlex.join([*(by_torchrun if "TORCHELASTIC_RUN_ID" in os.environ else []), "steepest", *sys.argv[1:]])


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a study, finished or not.", metavar="DIR")],
    csv: Annotated[Path | None, typer.Option(help="Write the tables into this folder as CSV files too.")] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write every run's curves into this folder for TensorBoard too.")
    ] = None,
) -> None:
    """Write a study's report anew from its records, and print the result."""
    study, records = finished_records(folder)
    summaries = summarize_study(study, records)
    print_result(_out, folder, summaries)
    if csv is not None:
        _out.print(Text(f"Tables: {', '.join(map(str, export_csv(summaries, csv)))}"))
    if tensorboard is not None:
        _out.print(Text(f"TensorBoard: {count(write_events(summaries, tensorboard), 'run')} in {tensorboard}"))


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="The folder of a study, running or not.", metavar="DIR")],
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 0,
    host: Annotated[str, typer.Option(help="Who reaches this address can read the page.")] = "127.0.0.1",
) -> None:
    """Serve a study's report while it runs; the page renews itself. Nothing is written. Ctrl-C ends it."""

    def tell(address: str) -> None:
        _out.print(f"{address} shows the study; Ctrl-C ends.", highlight=False)

    serve(folder, port, host, ready=tell)


@app.command("methods")
def list_methods() -> None:
    """List the built-in methods with their search spaces, and the gradient estimators that go in front of them."""
    print_methods(_out)


@app.command("workloads")
def list_workloads() -> None:
    """List the built-in workloads, and those that are made from data of yours."""
    print_workloads(_out)
