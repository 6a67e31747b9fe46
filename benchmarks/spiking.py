"""What spiking features by STDP are worth, and what it depends on: accuracy over several seeds, by one variant after
the other.

    python benchmarks/spiking.py TABLE --out FOLDER [--seeds 5] [--jobs 2] [--data-dir D]
        [--set epochs=5 train_images=12000 device=cuda]

TABLE is `features` (STDP's filters, as they begin, random ones, and pixels alone, with the same classifier and seeds),
`networks` (the binary classifier, ReLU and sigmoid units, on features and on pixels), or what is varied alone:
`surrogate`, `maps`, `threshold`, `radius`, `homeostasis`, `images`. `--set` gives settings of `steepest spiking`, the
data set among them (`dataset=emnist`). The seed is that of features and classifier. What FOLDER has is not computed
again, and `--jobs` of them are computed at a time. Prints the mean test accuracy with half of its 95 % interval, and
the paired difference of each row to the first, with its own. Asserts nothing.
"""

import argparse
import ast
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from scipy.stats import t as student_t

from steepest.spiking.experiments.experiment import Settings, recognize

ROW = dict[str, Any]
TABLES: dict[str, list[ROW]] = {
    "features": [{}, {"filters": "initial"}, {"filters": "random"}, {"pixels": True}],
    "networks": [
        {"activation": activation, "pixels": pixels}
        for pixels in (False, True)
        for activation in ("binary", "relu", "sigmoid")
    ],
    "surrogate": [
        {"surrogate": "box"}, {"surrogate": "two-sided"}, {"surrogate": "straight-through"}, {"surrogate": "relu"},
        {"surrogate": "sigmoid"}, {"surrogate": "arctan"}, {"activation": "relu"},
    ],
    "maps": [{"maps": n} for n in (30, 10, 20, 60)],
    "threshold": [{"threshold": n} for n in (15.0, 8.0, 11.0, 20.0)],
    "radius": [{"radius": n} for n in (5, 0, 2, 10)],
    "homeostasis": [{"history": n} for n in (5, 0)],
    "images": [{"train_images": n} for n in (12000, 500, 2000, 5000, 54000)],
}  # fmt: skip


class Result(NamedTuple):
    """Accuracies and the share of active features in percent, the mean of w (1 - w), and seconds of training."""

    test: float
    validation: float
    active: float
    left: float
    seconds: float


def run(settings: Settings, folder: Path, data_dir: Path | None) -> Result:
    torch.set_num_threads(1)
    one = recognize(settings, folder, data_dir)
    left = one.learnt.convergence[-1] if one.learnt is not None else 0.0
    return Result(100 * one.test, 100 * one.validation, 100 * one.active, left, one.seconds)


def given_settings(given: list[str]) -> dict[str, Any]:
    known = {field.name for field in fields(Settings)}
    found: dict[str, Any] = {"dataset": "mnist"}
    for text in given:
        name, _, value = text.partition("=")
        if name not in known:
            raise SystemExit(f"--set must name one of {', '.join(sorted(known))}, got {name!r}")
        try:
            found[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[name] = value
    return found


def interval(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    off = student_t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.fmean(values):.2f} ± {off:.2f}"


def name_of(row: ROW) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items()) or "STDP"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("table", choices=list(TABLES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[])
    asked = parser.parse_args()
    given, rows = given_settings(asked.set), TABLES[asked.table]
    asked.out.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, int], Result] = {}
    with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
        # The first row of every seed before the others: those with the same features find them in the cache.
        for several in (rows[:1], rows[1:]):
            waiting = {
                (name_of(row), seed): pool.submit(
                    run,
                    Settings(**{**given, "feature_seed": seed, "seed": seed, **row}),
                    asked.out / f"{asked.table}-{name_of(row).replace(', ', '-').replace(' ', '-')}-{seed}",
                    asked.data_dir,
                )
                for seed in range(asked.seeds)
                for row in several
            }
            for (name, seed), future in waiting.items():
                found[name, seed] = one = future.result()
                print(f"seed {seed}, {name}: {one.test:.2f} %, {one.seconds:.0f} s", flush=True)

    tests = {name_of(row): [found[name_of(row), seed].test for seed in range(asked.seeds)] for row in rows}
    first = tests[name_of(rows[0])]
    print(f"\n{'':36}{'test':>16}{'difference':>16}{'validation':>12}{'active':>9}{'w(1-w)':>9}{'seconds':>9}")
    for name, test in tests.items():
        apart = "" if name == name_of(rows[0]) else interval([a - b for a, b in zip(test, first, strict=True)])
        means = Result(*map(statistics.fmean, zip(*(found[name, seed] for seed in range(asked.seeds)), strict=True)))
        print(
            f"{name:36}{interval(test):>16}{apart:>16}{means.validation:12.2f}{means.active:8.1f}%{means.left:9.4f}"
            f"{means.seconds:9.0f}"
        )


if __name__ == "__main__":
    main()
