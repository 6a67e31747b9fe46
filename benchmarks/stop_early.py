"""What ``--stop-early`` costs, and whether a second study agrees: whole studies on other tuning and final seeds.

    python benchmarks/stop_early.py digits-mlp --trials 16 --seeds 10 --studies 5 --out FOLDER [--data-dir DIR]
    python benchmarks/stop_early.py ... --in-full --choice best

Study n searches on a tuning seed, a scramble and final seeds of its own. A folder that is there is gone on with. Prints
the gradient evaluations of each, in parts of those of the same trials and seeds in full, and its verdicts; then the
mean, and how often two of the studies give a method the same verdict.
"""

import argparse
import itertools
import os
import statistics
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from steepest.compare import Study
from steepest.compare.analysis.summary import Summary
from steepest.compare.points import quasi_random_points
from steepest.compare.spec import Spec, StudySpec


def moved(spec: Spec, number: int) -> Spec:
    """The same comparison on the seeds and the points of study ``number``."""
    tuning = 10_000 * number
    methods = tuple(replace(m, points=tuple(quasi_random_points(m.space, spec.trials, tuning))) for m in spec.methods)
    seeds = tuple(tuning + 1 + i for i in range(len(spec.seeds)))
    further = tuple(seed + tuning for seed in spec.more_tuning_seeds)
    return replace(spec, methods=methods, tuning_seed=tuning, seeds=seeds, more_tuning_seeds=further)


def share_spent(summary: Summary) -> float:
    """Gradient evaluations, in parts of those of all trials and seeds in full."""
    spec = summary.spec
    runs = [record for row in summary.rows for record in (*row.runs_of_search, *row.finals)]
    full = sum((spec.trials + spec.seeds_asked) * spec.spent(method) for method in spec.methods)
    return sum(record.gradient_evaluations or 0 for record in runs) / full


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("workload")
    parser.add_argument("--methods")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--tuning-seeds", type=int, default=1)
    parser.add_argument("--choice")
    parser.add_argument("--in-full", action="store_true")
    parser.add_argument("--studies", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    options = {
        "trials": arguments.trials,
        "seeds": arguments.seeds,
        "epochs": arguments.epochs,
        "tuning_seeds": arguments.tuning_seeds,
        "choice": arguments.choice,
        "stop_early": not arguments.in_full,
        "jobs": arguments.jobs,
        "data_dir": arguments.data_dir,
        **({"methods": arguments.methods.split(",")} if arguments.methods else {}),
    }
    shares: list[float] = []
    verdicts: list[dict[str, str]] = []
    for number in range(arguments.studies):
        study = Study(arguments.workload, out=arguments.out / str(number), **options)
        study.__dict__["spec"] = StudySpec(tuple(moved(spec, number) for spec in study.spec.comparisons))
        study.run(progress=False)
        (summary,) = study.summaries()
        shares.append(share_spent(summary))
        verdicts.append({row.method.name: row.comparison.verdict for row in summary.rows})
        said = ", ".join(
            f"{row.method.name} {row.comparison.verdict} ({row.seeds} seeds, lr {row.chosen.hyperparameters['lr']:.3g})"
            for row in summary.rows
            if row.chosen is not None
        )
        print(f"study {number}: {shares[-1]:.3f} of the evaluations; {said}", flush=True)
    print(f"mean {statistics.fmean(shares):.3f}")
    same = [a[name] == b[name] for a, b in itertools.combinations(verdicts, 2) for name in a if a[name] != "baseline"]
    if same:
        print(f"two studies agree on a method in {statistics.fmean(same):.2f} of {len(same)} cases")


if __name__ == "__main__":
    main()
