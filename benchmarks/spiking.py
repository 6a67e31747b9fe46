"""What spiking features by STDP are worth, and what it depends on: accuracy over several seeds, by one variant after
the other.

    python benchmarks/spiking.py TABLE --out FOLDER [--seeds 5] [--data-dir D] [--set epochs=5 train_images=12000]

TABLE is `features` (STDP's filters, as they begin, random ones, and pixels alone, with the same classifier and seeds),
`networks` (the binary classifier, ReLU and sigmoid units, on features and on pixels), or what is varied alone:
`surrogate`, `maps`, `threshold`, `radius`, `homeostasis`, `images`. `--set` gives settings of `steepest spiking`, the
data set among them (`dataset=emnist`). The seed is that of features and classifier. What FOLDER has is not computed
again. Prints the mean test accuracy with half of its 95 % interval, and the paired difference of each row to the first,
with its own. Asserts nothing.
"""

import argparse
import ast
import statistics
from dataclasses import fields
from pathlib import Path
from typing import Any

from scipy.stats import t as student_t

from steepest.spiking.experiments.experiment import Settings, Trained, recognize

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
    parser.add_argument("--set", nargs="*", default=[])
    asked = parser.parse_args()
    given, rows = given_settings(asked.set), TABLES[asked.table]
    found: dict[str, list[Trained]] = {name_of(row): [] for row in rows}
    for seed in range(asked.seeds):
        for row in rows:
            settings = Settings(**{**given, "feature_seed": seed, "seed": seed, **row})
            folder = asked.out / f"{asked.table}-{name_of(row).replace(', ', '-').replace(' ', '-')}-{seed}"
            folder.parent.mkdir(parents=True, exist_ok=True)
            one = recognize(settings, folder, asked.data_dir)
            found[name_of(row)].append(one)
            print(f"seed {seed}, {name_of(row)}: {100 * one.test:.2f} %, {one.seconds:.0f} s", flush=True)
    first = [100 * one.test for one in found[name_of(rows[0])]]
    print(f"\n{'':36}{'test':>16}{'difference':>16}{'validation':>12}{'active':>9}{'w(1-w)':>9}{'seconds':>9}")
    for name, runs in found.items():
        test = [100 * one.test for one in runs]
        pairs = zip(test, first, strict=True)
        apart = "" if name == name_of(rows[0]) else interval([a - b for a, b in pairs])
        left = [one.learnt.convergence[-1] for one in runs if one.learnt is not None]
        print(
            f"{name:36}{interval(test):>16}{apart:>16}{statistics.fmean(100 * one.validation for one in runs):12.2f}"
            f"{100 * statistics.fmean(one.active for one in runs):8.1f}%{statistics.fmean(left) if left else 0:9.4f}"
            f"{statistics.fmean(one.seconds for one in runs):9.0f}"
        )


if __name__ == "__main__":
    main()
