"""``steepest continual``: tasks one after the other, and what stands against forgetting."""

from typing import Annotated

import typer

from steepest.cli.options import DATA_DIR

METHODS = (
    "naive", "blocks", "cost-per-synapse", "cost-per-synapse-replay", "replay", "ewc", "si", "blocks-ewc", "blocks-si",
    "joint",
)  # fmt: skip


def continual(
    dataset: Annotated[
        str, typer.Argument(help="digits, mnist or emnist, split by class.", show_default=False, metavar="DATASET")
    ],
    methods: Annotated[
        str, typer.Option(help="Comma-separated; any of 'steepest compare' as well, such as sngm or ssgd+sgd.")
    ] = ",".join(METHODS),
    baseline: Annotated[
        str | None, typer.Option(help="The method that the others are told against. Default: the first.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Points of the search, the same number for every method.")] = 6,
    seeds: Annotated[int, typer.Option(help="Final runs of every method's best point.")] = 5,
    epochs: Annotated[
        int | None, typer.Option(help="Of each task. Default: the workload's.", show_default=False)
    ] = None,
    schedule: Annotated[str, typer.Option(help="Of the learning rate, anew for each task.")] = "constant",
    jobs: Annotated[
        int | None, typer.Option(help="Runs at a time, one thread each. Default: all cores.", show_default=False)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps. Default: auto.", show_default=False)
    ] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    folder: Annotated[
        str | None, typer.Option("--out", help="The study's folder. Default: studies/split-DATASET.", metavar="DIR")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what the study would cost, and run nothing of it but a few steps.")
    ] = False,
) -> int:
    """Learn classes task by task with the penalties against forgetting as methods: 'steepest compare split-DATASET'.

    The same command again resumes where it stopped.
    """
    from steepest._errors import InputError
    from steepest.cli.compare import compare

    if dataset not in ("digits", "mnist", "emnist"):
        raise InputError(f"DATASET must be one of digits, mnist, emnist, got {dataset!r}")
    return compare(
        [f"split-{dataset}"],
        methods=methods,
        baseline=baseline or methods.split(",")[0].strip(),
        trials=trials,
        seeds=seeds,
        epochs=None if epochs is None else [str(epochs)],
        schedule=schedule,
        jobs=jobs,
        device=device,
        data_dir=data_dir,
        out=folder,
        plan=plan,
    )
