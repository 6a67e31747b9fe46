"""What a rule that chooses the point of a search does to verdicts, replayed on curves of real runs.

    python benchmarks/choice.py CURVES.jsonl [...]
    python benchmarks/choice.py --train digits-mlp --points 16 --seeds 8 --out CURVES.jsonl

A file of curves has every method at every point on several seeds: a line each, [method, point, seed, epochs, diverged,
test metric, test loss, validation metrics, validation losses, hyperparameters]; --train makes one. A search takes one
seed's scores; two searches of one method differ in nothing but that. Final runs are normal draws around the chosen
point's mean over seeds. Prints, for each rule: how often two studies on different tuning seeds give a method the same
verdict at 10 seeds; how far the chosen points lie below the best, and apart, in standard deviations of a run; how often
some verdict contradicts the mean over searches; the share of methods that a verdict is found for; and the largest shift
of a (method - baseline) against the best single score.
"""

import argparse
import itertools
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import scipy.special
from numpy.typing import NDArray

from steepest.compare.analysis.choice import choose
from steepest.compare.records.record import Record
from steepest.compare.spec import MethodSpec, Spec, WorkloadSpec
from steepest.training.definitions.range import Range

SEEDS = 10  # of the final runs
DRAWS = 150  # studies for every set of chosen points
SMALLEST_SPREAD = 2e-4  # a run that always counts alike still has a spread
Array = NDArray[np.float64]
Rule = Callable[[str, Sequence[int]], int]  # method and tuning seeds to the number of a point


@dataclass(frozen=True)
class Luck:
    """What a rule does, as the module says it. ``shift`` is per method, of (method - baseline)."""

    agree: float
    below: float
    apart: float
    contradicted: float
    found: float
    gaps: Array


class Curves:
    """A population of runs: ``mean`` and ``spread`` of the test metric are the truth that final runs are drawn from."""

    def __init__(self, lines: Sequence[str]) -> None:
        rows = [json.loads(line) for line in lines]
        self.methods = list(dict.fromkeys(row[0] for row in rows))
        self.points = 1 + max(row[1] for row in rows)
        whole = max(row[3] for row in rows)
        self._rows = {(row[0], row[1], row[2]): row for row in rows if row[3] == whole}
        self.seeds = min(sum((m, 0, s) in self._rows for s in range(1 + max(r[2] for r in rows))) for m in self.methods)
        test = np.array([[self._tests(m, i) for i in range(self.points)] for m in self.methods])
        means = np.nan_to_num(np.nanmean(test, -1)) if np.isfinite(test).any() else np.zeros(test.shape[:2])
        best = [np.argsort(-row)[: self.points // 4] for row in means]
        variances = [np.nanmean(np.nanvar(t[b], ddof=1, axis=-1)) for t, b in zip(test, best, strict=True)]
        self.spread = np.maximum(np.sqrt(variances), SMALLEST_SPREAD)
        self.mean = np.array([self._shrunk(m, x, s) for m, x, s in zip(self.methods, means, self.spread, strict=True)])

    def _tests(self, method: str, point: int) -> list[float]:
        rows = [self._rows[method, point, seed] for seed in range(self.seeds)]
        return [math.nan if row[4] or row[5] is None else row[5] for row in rows]

    def _shrunk(self, method: str, means: Array, spread: float) -> Array:
        """Move the means of the best points towards their neighbours', as far as the noise of so few seeds explains
        that they differ."""
        order = np.argsort([self._rows[method, i, 0][9]["lr"] for i in range(self.points)])
        x = means[order]
        y = x.copy()
        y[1:-1] = 0.25 * x[:-2] + 0.5 * x[1:-1] + 0.25 * x[2:]
        best = np.argsort(-x)[: max(5, self.points // 3)]
        kept = max(0.0, 1 - 0.375 * spread**2 / self.seeds / max(float(np.mean((x - y)[best] ** 2)), 1e-12))
        found = means.copy()
        found[order] = np.where(np.isin(np.arange(self.points), best), y + kept * (x - y), x)
        return found

    def tuned(self, method: str, seeds: Sequence[int]) -> list[Record]:
        """The search of a method, each score the mean over tuning seeds."""
        return [self._record(method, i, [self._rows[method, i, seed] for seed in seeds]) for i in range(self.points)]

    def _record(self, method: str, point: int, rows: Sequence[Any]) -> Record:
        diverged = any(row[4] or row[7][-1] is None for row in rows)
        losses = [row[8][-1] for row in rows]
        return Record(
            workload="replayed",
            method=method,
            phase="tune",
            trial=point,
            seed=0,
            hyperparameters=rows[0][9],
            started=0.0,
            finished=0.0,
            status="diverged" if diverged else "finished",
            validation_metric=None if diverged else float(np.mean([row[7][-1] for row in rows])),
            validation_loss=None if diverged or None in losses else float(np.mean(losses)),
        )

    def spec(self, choice: str) -> Spec:
        """As much of a comparison as choosing needs."""
        methods = tuple(
            MethodSpec(
                reference=name, name=name, description="", optimizer="", fixed={}, evaluations_per_step=1,
                space={h: Range(1e-9, 1e9) for h in self._rows[name, 0, 0][9]}, source_sha256=None,
            )
            for name in self.methods
        )  # fmt: skip
        workload = WorkloadSpec(
            reference="", name="replayed", description="", train_samples=1, validation_samples=1, test_samples=1,
            target=1.0, metric_name="metric", higher_is_better=True, percent=True, source_sha256=None, data_sha256="",
        )  # fmt: skip
        return Spec(
            methods=methods, baseline=self.methods[0], trials=self.points, tuning_seed=0, seeds=(), device="cpu",
            choice=choice, name="replayed", workload=workload, epochs=1, batch_size=1, targets=(1.0,),
        )  # fmt: skip

    def rule(self, choice: str) -> Rule:
        """That of ``steepest compare --choice``."""
        spec = self.spec(choice)

        def point(method: str, seeds: Sequence[int]) -> int:
            chosen = choose(spec, self.tuned(method, seeds))
            return 0 if chosen is None else chosen.record.trial

        return point

    def luck(self, rule: Rule, *, tuning_seeds: int = 1, seeds: Sequence[int] | None = None) -> Luck:
        """What a rule does with so many tuning seeds a search, of all seeds or of some."""
        of = list(range(self.seeds)) if seeds is None else list(seeds)
        sets = [[of[(i + r) % len(of)] for r in range(tuning_seeds)] for i in range(len(of))]
        pairs = [(a, b) for a, b in itertools.combinations(range(len(of)), 2) if not set(sets[a]) & set(sets[b])]
        chosen = np.array([[rule(method, own) for method in self.methods] for own in sets])
        means = self.mean[np.arange(len(self.methods)), chosen]
        expected = means.mean(0) - means.mean(0)[0]
        rng = np.random.default_rng(6)
        verdicts = [self._verdicts(row, rng) for row in means]
        return Luck(
            agree=float(np.mean([(verdicts[a] == verdicts[b]).mean() for a, b in pairs])),
            below=float(np.mean((self.mean.max(1) - means) / self.spread)),
            apart=float(np.mean([np.abs(means[a] - means[b]) / self.spread for a, b in pairs])),
            contradicted=float(np.mean([(v == -np.sign(expected[1:])).any(-1).mean() for v in verdicts])),
            found=float(np.mean([(v != 0).mean() for v in verdicts])),
            gaps=expected[1:] / np.sqrt((self.spread[1:] ** 2 + self.spread[0] ** 2) / 2),
        )

    def _verdicts(self, means: Array, rng: np.random.Generator) -> Array:
        """Draw final runs, and judge: +1, -1 or 0 for every draw and method but the baseline."""
        runs = means[:, None] + self.spread[:, None] * rng.normal(size=(DRAWS, len(means), SEEDS))
        differences = runs[:, 1:] - runs[:, :1]
        t = differences.mean(-1) / differences.std(-1, ddof=1) * math.sqrt(SEEDS)
        p = 2 * scipy.special.stdtr(SEEDS - 1, -np.abs(t))
        order = np.argsort(p, -1)
        rejected = np.take_along_axis(p, order, -1) <= 0.05 / np.arange(p.shape[-1], 0, -1)  # Holm's steps
        found = np.zeros_like(p)
        np.put_along_axis(found, order, np.logical_and.accumulate(rejected, -1).astype(float), -1)
        signed: Array = found * np.sign(t)
        return signed


def train_curves(name: str, points: int, seeds: int, out: Path, data_dir: Path | None) -> None:
    """Train every method of a default study at every point on every seed; a file that is there is gone on with."""
    import torch

    from steepest.compare.names import DEFAULT_METHODS
    from steepest.compare.points import quasi_random_points
    from steepest.training.builtin import METHODS, WORKLOADS
    from steepest.training.code.lookup import load_data
    from steepest.training.definitions.assignment import Assignment
    from steepest.training.train import train

    torch.set_num_threads(1)
    workload = WORKLOADS[name]
    splits = load_data(workload, data_dir)
    done = {tuple(json.loads(line)[:3]) for line in out.read_text().splitlines()} if out.exists() else set()
    with out.open("a") as file:
        for seed, method in itertools.product(range(seeds), DEFAULT_METHODS):
            for i, point in enumerate(quasi_random_points(METHODS[method].space, points)):
                if (method, i, seed) in done:
                    continue
                run = train(
                    Assignment(workload, METHODS[method], splits, point, seed, workload.epochs, workload.batch_size),
                    with_test=True,
                )
                curve = [
                    [x if math.isfinite(x) else None for x in run.curve[f"validation_{k}"]] for k in ("metric", "loss")
                ]
                row = [method, i, seed, workload.epochs, run.diverged, run.test_metric, run.test_loss, *curve, point]
                file.write(json.dumps(row) + "\n")
                file.flush()
            print(f"seed {seed}, {method}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("curves", nargs="*", type=Path)
    parser.add_argument("--train", metavar="WORKLOAD")
    parser.add_argument("--points", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    if arguments.train:
        if arguments.out is None:
            parser.error("--train needs --out")
        train_curves(arguments.train, arguments.points, arguments.seeds, arguments.out, arguments.data_dir)
    for path in [*arguments.curves, *([arguments.out] if arguments.out else [])]:
        curves = Curves(path.read_text().splitlines())
        half = curves.seeds // 2
        print(f"\n{path.name}: {len(curves.methods)} methods, {curves.points} points, {curves.seeds} seeds")
        print("rule      seeds              agree  below  apart  contradicted  found  largest shift")
        for choice in ("best", "fitted"):
            every = range(curves.seeds)
            for tuning_seeds, own, said in (
                (1, every, "all"),
                (1, every[:half], "first half"),
                (1, every[half:], "second half"),
                (3, every, "all, 3 a search"),
            ):
                if len(own) < 2 * tuning_seeds:
                    continue
                luck = curves.luck(curves.rule(choice), tuning_seeds=tuning_seeds, seeds=own)
                today = curves.luck(curves.rule("best"), tuning_seeds=tuning_seeds, seeds=own)
                shift = np.abs(luck.gaps - today.gaps).max()
                print(
                    f"{choice:9s} {said:18s} {luck.agree:5.2f} {luck.below:6.2f} {luck.apart:6.2f} "
                    f"{luck.contradicted:13.2f} {luck.found:6.2f} {shift:14.2f}"
                )


if __name__ == "__main__":
    main()
