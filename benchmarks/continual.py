"""Forgetting on tasks one after the other, at the settings of the paper behind the cost per synapse.

    python benchmarks/continual.py split-mnist --out FOLDER [--seeds 5] [--lr 0.001] [--epochs 10] [--methods a,b]
        [--data-dir D] [--trials 6] [--jobs 2] [--device cuda]

Every method has the same lr, constant, without momentum, and batches of 10, as the paper has it; a penalty's strength
is searched over its range by so many trials, on validation data of seed 1000, by shorter runs of a third of the epochs.
What FOLDER has is not computed again, `--jobs` runs are computed at a time, and a run that was interrupted goes on from
its checkpoint. Prints, for each method, means over the seeds with half of their 95 % intervals: test accuracy after the
last task, forgetting on validation data, and the paired difference in accuracy to the first method; then the matrix of
each. Asserts nothing.

Other than in the paper, a tenth of the training images is held out to search on.
"""

import argparse
import functools
import json
import statistics
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student_t

from steepest._files import write_atomically
from steepest._machine import device_named
from steepest.compare import Range
from steepest.data.splits import as_splits
from steepest.spiking.continual.methods import METHODS
from steepest.training.code.lookup import find_workload
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.train import train

SEARCHED_ON = 1000


def interval(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.1f}"
    off = student_t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.fmean(values):.1f} ± {off:.1f}"


def forgotten(matrix: list[list[float]]) -> float:
    *earlier, last = matrix
    return statistics.fmean(max(row[task] for row in earlier) - last[task] for task in range(len(last) - 1))


class Runs:
    """Runs in a folder, by a process that keeps the data."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked, self.folder = asked, asked.out
        self.workload = find_workload(asked.workload)
        self.splits = as_splits(self.workload.data(asked.data_dir)).to(torch.device(device_named(asked.device)))

    def find(self, name: str, values: dict[str, float], seed: int, epochs: int) -> dict[str, Any]:
        tried = "-".join(f"{key}{value:.4g}" for key, value in values.items())
        path = self.folder / f"{self.workload.name}-{name}-{tried}-{epochs}-{seed}.json"
        if not path.exists():
            assignment = Assignment(
                self.workload, METHODS[name], self.splits, values, seed, epochs, self.workload.batch_size,
                SCHEDULES["constant"],
            )  # fmt: skip
            checkpoint = Checkpoint(self.folder / "checkpoints" / f"{path.stem}.pt")
            outcome = train(assignment, with_test=True, checkpoint=checkpoint)
            kept = {key: value for key, value in asdict(outcome).items() if key not in ("curve", "weights")}
            write_atomically(path, json.dumps(kept))
            checkpoint.remove()
        found: dict[str, Any] = json.loads(path.read_text())
        return found


Given = tuple[tuple[str, Any], ...]


@functools.cache
def open_runs(given: Given) -> Runs:
    torch.set_num_threads(1)
    return Runs(argparse.Namespace(**dict(given)))


def find(given: Given, name: str, values: dict[str, float], seed: int, epochs: int) -> dict[str, Any]:
    return open_runs(given).find(name, values, seed, epochs)


def choose(
    names: list[str], asked: argparse.Namespace, submit: Callable[..., Future[Any]]
) -> dict[str, dict[str, float]]:
    """Of each method the lr asked for, and the best strength of the trials."""
    searched = {name: METHODS[name].space.get("strength") for name in names}
    trials = {
        name: {
            strength: {"lr": asked.lr, "strength": strength}
            for strength in np.geomspace(r.low, r.high, asked.trials).tolist()
        }
        for name, r in searched.items()
        if isinstance(r, Range)
    }
    waiting = {
        name: {
            strength: submit(name, values, SEARCHED_ON, max(1, asked.epochs // 3)) for strength, values in tried.items()
        }
        for name, tried in trials.items()
    }
    chosen = {name: {"lr": asked.lr} for name in names}
    for name, futures in waiting.items():
        scores = {}
        for strength, future in futures.items():
            one = future.result()
            scores[strength] = -1.0 if one["diverged"] else one["validation_metric"]
            print(f"{name}, strength {strength:.3g}: {100 * scores[strength]:.1f} on validation data", flush=True)
        chosen[name] = trials[name][max(scores, key=lambda strength: scores[strength])]
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("workload")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    names = asked.methods.split(",")
    asked.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        given = tuple(vars(asked).items())

        def submit(*run: Any) -> Future[Any]:
            return pool.submit(find, given, *run)

        chosen = choose(names, asked, submit)
        waiting = [(s, n, submit(n, chosen[n], s, asked.epochs)) for s in range(asked.seeds) for n in names]
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for seed, name, future in waiting:
            found[name].append(one := future.result())
            test = "diverged" if one["diverged"] else f"{100 * float(str(one['test_metric'])):.1f}"
            print(f"seed {seed}, {name}: {test}", flush=True)
    whole = {name: [one for one in runs if not one["diverged"]] for name, runs in found.items()}
    first = [100 * one["test_metric"] for one in whole[names[0]]]
    print(f"\n{'':26}{'strength':>10}{'test':>14}{'forgotten':>14}{'difference':>14}")
    for name, runs in whole.items():
        tests = [100 * one["test_metric"] for one in runs]
        lost = [100 * forgotten(one["task_matrix"]) for one in runs]
        pairs = [a - b for a, b in zip(tests, first, strict=False)]
        strength = f"{chosen[name]['strength']:.3g}" if "strength" in chosen[name] else ""
        print(f"{name:26}{strength:>10}{interval(tests):>14}{interval(lost):>14}{interval(pairs):>14}")
    for name, runs in whole.items():
        print(f"\n{name}, validation accuracy after each task (row) on every task")
        matrix = np.mean([one["task_matrix"] for one in runs], axis=0)
        for row in matrix:
            print("".join(f"{100 * value:8.1f}" for value in row))


if __name__ == "__main__":
    main()
