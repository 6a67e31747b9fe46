"""What training at a range test's suggestion loses to training at the lr of a search.

    python benchmarks/lr_range_start.py [WORKLOAD ...] [--trials 16] [--seeds 5] [--device cpu] [--jobs 2]

A search and its final runs are a study, which is kept in `--out` and goes on from there; then, for every method and
every final seed, a sweep of 100 steps from that seed's initial weights and a run at what it suggests, paired with the
final run of that seed. Prints a table with the difference in test accuracy and its 95 % interval, asserts nothing.
"""

import argparse
import functools
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from steepest.compare import Study
from steepest.compare.analysis.statistics import student_interval
from steepest.compare.analysis.summary import Row
from steepest.diagnose.lr_range import sweep
from steepest.training.builtin import METHODS, WORKLOADS
from steepest.training.code.lookup import load_data
from steepest.training.definitions.assignment import Assignment
from steepest.training.train import train

GUESS = 0.1  # of ten classes


def train_at_suggestion(data_dir: Path | None, device: str, workload: str, method: str, seed: int) -> list[float]:
    """The suggestion, the test metric there, and the gradients and seconds of the sweep."""
    torch.set_num_threads(1)
    found = sweep(workload, method, seed=seed, device=device, data_dir=data_dir).found
    assert found.suggestion is not None, found.note
    task = WORKLOADS[workload]
    splits = load_data(task, data_dir).to(torch.device(device))
    lr = {"lr": found.suggestion}
    assignment = Assignment(task, METHODS[method], splits, lr, seed, task.epochs, task.batch_size)
    metric = train(assignment, with_test=True).test_metric
    return [found.suggestion, GUESS if metric is None else metric, found.gradient_evaluations, found.seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("workloads", nargs="*", default=["digits-mlp", "fashion-cnn", "toy-cnn-nobn"])
    parser.add_argument("--methods", nargs="*", default=["sgd", "adamw", "sngm"], choices=sorted(METHODS))
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("studies/lr-range-start"))
    parser.add_argument("--data-dir", type=Path, help="default: STEEPEST_DATA, or the hub")
    arguments = parser.parse_args()

    print("| workload, method | lr of the search | test, % | suggestions | test, % | difference, points | gradients |")
    print("|---|---|---|---|---|---|---|")
    options = {name: getattr(arguments, name) for name in ("methods", "trials", "seeds", "device", "jobs", "data_dir")}
    at_suggestion = functools.partial(train_at_suggestion, arguments.data_dir, arguments.device)
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        for workload in arguments.workloads:
            study = Study(workload, out=arguments.out / workload, **options)
            study.run(progress=False)
            rows = study.summaries()[0].rows
            asked = [(row.method.name, record.seed) for row in rows for record in row.finals]
            names, seeds = zip(*asked, strict=True)
            found = dict(zip(asked, pool.map(at_suggestion, [workload] * len(asked), names, seeds), strict=True))
            for row in rows:
                runs = [found[row.method.name, record.seed] for record in row.finals]
                print(say(workload, row, runs), flush=True)


def say(workload: str, row: Row, runs: list[list[float]]) -> str:
    """A line of the table; a run that diverged is as good as a guess."""
    assert row.chosen is not None
    lrs, metrics, gradients, _ = zip(*runs, strict=True)
    searched = [100 * (GUESS if record.test_metric is None else record.test_metric) for record in row.finals]
    suggested = [100 * metric for metric in metrics]
    apart = [b - a for a, b in zip(searched, suggested, strict=True)]
    interval = student_interval(apart)
    between = "" if interval is None else f" ({interval.low:+.2f} to {interval.high:+.2f})"
    return (
        f"| {workload}, {row.method.name} | {row.chosen.hyperparameters['lr']:.3g} | {statistics.fmean(searched):.2f} "
        f"| {min(lrs):.2g} to {max(lrs):.2g} | {statistics.fmean(suggested):.2f} "
        f"| {statistics.fmean(apart):+.2f}{between} | {max(gradients)} |"
    )


if __name__ == "__main__":
    main()
