"""``steepest compare``."""

import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from steepest._errors import InputError, spelled_by
from steepest.cli.options import DATA_DIR
from steepest.cli.streams import err, out
from steepest.compare.names import (
    CHOICES,
    DEFAULT_METHODS,
    ENGINES,
    PRECISIONS,
    PRUNERS,
    SAMPLERS,
    SCHEDULES,
    STRATEGIES,
    TRACKERS,
)
from steepest.compare.running.spares import one_early

if TYPE_CHECKING:
    from steepest.compare.study.study import Study


class StoppedError(Exception):
    """A study was stopped in good order."""


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
    baseline: Annotated[
        str | None,
        typer.Option(help="The method that the others are told against. Default: sgd, or else the first."),
    ] = None,
    winner: Annotated[
        bool | None,
        typer.Option("--winner/--no-winner", help="Say which methods may be the best of all. Default: no."),
    ] = None,
    pairs: Annotated[
        bool | None,
        typer.Option("--pairs/--no-pairs", help="Compare every two methods as well. Default: no."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Points of the search, the same number for every method. Default: 8.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Final runs of every method's best point. Default: 5.")] = None,
    tuning_seeds: Annotated[
        int | None,
        typer.Option(
            help="Seeds that the finalists of a search run on before one is chosen: the best quarter of its points, at "
            "least four. Default: 1.",
        ),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option(
            help="The same study once more, from 1 to 100: other points, tuning and final seeds than those of any "
            "other number, to see whether its verdicts hold. Default: 0.",
            metavar="N",
        ),
    ] = None,
    stop_early: Annotated[
        bool | None,
        typer.Option(
            "--stop-early/--no-stop-early",
            help="The same verdicts from fewer runs: short runs first, the best quarter in full; final runs end once a "
            "method is found to be better or worse, or next to no chance is left that it will be. Default: no.",
        ),
    ] = None,
    cover_search: Annotated[
        bool | None,
        typer.Option(
            "--cover-search/--no-cover-search",
            help="A search of its own for every final seed, so that verdicts speak of searches as well. Default: no.",
        ),
    ] = None,
    epochs: Annotated[
        list[str] | None,
        typer.Option(help="Instead of the workload's own; WORKLOAD=N for one of several.", metavar="N"),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="In what a run's is counted: evaluations of gradients, samples, steps, or seconds, as many as the "
            "epochs take the baseline by steps that are timed before the study begins. Default: evaluations.",
            metavar="UNIT",
        ),
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
            help="METHOD.NAME=LOW:HIGH, to search a hyperparameter, logarithmically or with :linear at the end, and of "
            "whole numbers with :integer; METHOD.NAME=VALUE,VALUE to choose from; with ' if NAME=VALUE' behind it only "
            "there. NAME@PATTERN is that of some parameters, such as lr_scale@head.*; repeat for more.",
            metavar="RANGE",
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help=f"Of the points of a search: {' or '.join(SAMPLERS)}. By Optuna's TPE a method's points are asked for "
            "one after another, as many for every method. Default: quasi-random.",
        ),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            help="Hyperparameters of every method that are taken without a search: a TOML, JSON or CSV file, or the "
            "folder of a study, for what it has chosen.",
            metavar="FILE",
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help=f"Of the learning rate, for all methods: {', '.join(SCHEDULES)}. Default: linear."),
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Share of a run in which the lr rises from 0. Default: 0.", metavar="SHARE")
    ] = None,
    clip: Annotated[
        float | None, typer.Option(help="Largest norm of the whole gradient. Default: none.", metavar="NORM")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Pieces that every batch is evaluated in, to save memory. Default: 1.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help=f"Of forward and backward passes: {', '.join(PRECISIONS)}. Default: float32."),
    ] = None,
    compile: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Train through torch.compile. Default: no.")
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(help="Decay of a moving average of the weights, which is then tested. Default: none."),
    ] = None,
    keep_best: Annotated[
        bool | None,
        typer.Option(
            "--keep-best/--no-keep-best", help="Test the weights of the best validation as well. Default: no."
        ),
    ] = None,
    choice: Annotated[
        str | None,
        typer.Option(
            help=f"How the point of a search is chosen: {' or '.join(CHOICES)}. By a response that is fitted to all "
            "scores, or by the best single score. Default: fitted; for a study that has begun, as it began.",
        ),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated instruments: built-in names ('steepest instruments' lists them), "
            "path/to/file.py:name or package.module:name. Default: none.",
            metavar="NAMES",
        ),
    ] = None,
    sharpness: Annotated[
        bool | None,
        typer.Option(
            "--sharpness/--no-sharpness",
            help="Short for --measure sharpness: the largest Hessian eigenvalue of the training loss, after every "
            "final run. Default: no.",
        ),
    ] = None,
    diagnose: Annotated[
        bool | None,
        typer.Option(
            "--diagnose/--no-diagnose",
            help="Short for --measure noise-scale,top-eigenvalue: how noisy the gradient and how curved the loss is, "
            "after every validation of the final runs. Default: no.",
        ),
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(
            help=f"Prune unpromising runs of the search: {', '.join(PRUNERS)}. Default: all run to their end."
        ),
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
            "'torchrun --nproc-per-node 2 -m steepest compare WORKLOAD --strategy ddp'. Default: a process for each "
            "run.",
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
    out: Annotated[
        str | None,
        typer.Option(
            help="The study's folder. Default: studies/WORKLOAD, or studies/WORKLOAD-replication-N.", metavar="DIR"
        ),
    ] = None,
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
    log: Annotated[
        str | None,
        typer.Option(
            help=f"Comma-separated trackers that every run is entered into: {', '.join(TRACKERS)}. Default: none.",
            metavar="NAMES",
        ),
    ] = None,
    save_weights: Annotated[
        bool | None,
        typer.Option(
            "--save-weights/--no-save-weights",
            help="Keep the weights of every final run as safetensors, in the study's folder. Default: no.",
        ),
    ] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    checkpoint_seconds: Annotated[
        float | None,
        typer.Option(help="Between two checkpoints of a run, from which it resumes. Default: 30."),
    ] = None,
    retry_failed: Annotated[
        bool | None,
        typer.Option(
            "--retry-failed/--no-retry-failed", help="Run again what failed in an earlier call. Default: yes."
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what the study would cost, and run nothing of it but a few steps.")
    ] = False,
) -> int:
    """Compare optimizers: tune each on the same budget, re-run the best on fresh seeds, report.

    The same command again resumes where it stopped.
    """
    given = {name: x for name, x in locals().items() if x not in (None, []) and name not in ("workloads", "plan")}
    with one_early(not plan and strategy is None and engine in (None, "processes")):
        from steepest.cli import flags
        from steepest.compare.study.options import is_file
        from steepest.compare.study.study import Study

        changes = flags.values(given)
        files = [text for text in workloads if is_file(text)]
        if files and len(workloads) > 1:
            raise InputError(f"a study's file stands alone, got {' '.join(workloads)}")
        with spelled_by(flags.spelling(lr_range or [], space or [])):
            comparison = Study.from_file(files[0], **changes) if files else Study(workloads, **changes)
            return (
                _follow(comparison, plan)
                if comparison.follows
                else _show_plan(comparison)
                if plan
                else _run(comparison)
            )


def _follow(comparison: "Study", plan: bool) -> int:
    """Do what a rank other than the first does."""
    if not plan:
        comparison.run()
    return 0


def _show_plan(comparison: "Study") -> int:
    from rich.markup import escape

    from steepest.cli.messages import print_plan

    with err().status("planning") as shown:
        plan = comparison.plan(lambda doing: shown.update(escape(doing)))
    print_plan(out(), plan, measured=[instrument.name for instrument in comparison.spec.shared.instruments])
    return 0


def _run(comparison: "Study") -> int:
    from steepest.cli.messages import print_result
    from steepest.compare.study.progress import ProgressDisplay
    from steepest.page.text import count

    with ProgressDisplay(err()) as display:
        finished = comparison.run(listener=display, command=_spell_command())
    summaries = comparison.summaries()
    print_result(out(), comparison.folder, summaries)
    done, planned = (sum(getattr(s, name) for s in summaries) for name in ("finished", "planned"))
    if display.before:
        nothing = "; nothing was run" if display.before == done else ""
        out().print(f"{display.before} of {count(planned, 'run')} had ended before{nothing}.", highlight=False)
    if not finished:
        raise StoppedError(
            f"interrupted with {done} of {count(planned, 'run')} finished; the same command resumes there"
        )
    return 0


def _spell_command() -> str:
    """Spell the command as the user typed it."""
    by_torchrun = ["torchrun", "--nproc-per-node", os.environ.get("LOCAL_WORLD_SIZE", ""), "-m"]
    return shlex.join([*(by_torchrun if "TORCHELASTIC_RUN_ID" in os.environ else []), "steepest", *sys.argv[1:]])
