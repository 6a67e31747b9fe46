"""What a rule that chooses the point of a search does to verdicts, replayed on curves of real runs.

    python benchmarks/choice.py CURVES.jsonl [...]
    python benchmarks/choice.py --train digits-mlp --points 16 --seeds 8 --out CURVES.jsonl

A file of curves has every method at every point on several seeds: a line each, [method, point, seed, epochs, diverged,
test metric, test loss, validation metrics, validation losses, hyperparameters]; --train makes one. A search takes one
seed's scores, and those of more for its finalists; two searches of one method differ in nothing but that. Where there
is a CURVES_short.jsonl of short runs beside it, searches that begin with those are replayed as well, with the length
that is nearest to an eighth. Final runs are normal draws around the chosen point's mean over seeds.

Prints, for each rule: the full runs that a search costs; how often two studies on different tuning seeds give a method
the same verdict at 10 seeds; how far the chosen points lie below the best, and apart, in standard deviations of a run;
how often some verdict contradicts the mean over searches; the share of methods that a verdict is found for; and the
largest shift of a (method - baseline) against the best single score.
"""

import argparse
import itertools
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import scipy.special
from numpy.typing import NDArray

from steepest.compare.analysis.search import search_of
from steepest.compare.names import CHOICES
from steepest.compare.records.record import Job, Record
from steepest.compare.spec import SCREEN, MethodSpec, Phase, Spec, WorkloadSpec, number_of_finalists
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

    def __init__(self, lines: Sequence[str], short: Sequence[str] = ()) -> None:
        rows = [json.loads(line) for line in lines]
        self.methods = list(dict.fromkeys(row[0] for row in rows))
        self.points = 1 + max(row[1] for row in rows)
        whole = max(row[3] for row in rows)
        shorts = [json.loads(line) for line in short]
        length = min({row[3] for row in shorts}, key=lambda epochs: abs(epochs - whole / SCREEN), default=0)
        self._short = {(row[0], row[1], row[2]): row for row in shorts if row[3] == length}
        self._rows = {(row[0], row[1], row[2]): row for row in rows if row[3] == whole}
        self.seeds = min(sum((m, 0, s) in self._rows for s in range(1 + max(r[2] for r in rows))) for m in self.methods)
        self._places = {m: [self._rows[m, i, 0][9] for i in range(self.points)] for m in self.methods}
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

    def run(self, job: Job) -> Record:
        """The run that a search asks for."""
        rows = self._short if job.phase == "screen" else self._rows
        row = rows[job.method, self._places[job.method].index(job.hyperparameters), job.seed]
        diverged = row[4] or row[7][-1] is None
        return Record(
            workload="replayed",
            method=job.method,
            phase=job.phase,
            trial=job.index,
            seed=job.seed,
            hyperparameters=job.hyperparameters,
            started=0.0,
            finished=0.0,
            status="diverged" if diverged else "finished",
            validation_metric=None if diverged else row[7][-1],
            validation_loss=None if diverged else row[8][-1],
        )

    def spec(self, choice: str, seeds: Sequence[int], screened: bool) -> Spec:
        """As much of a comparison as a search on these tuning seeds needs."""
        methods = tuple(
            MethodSpec(
                reference=name, name=name, description="", optimizer="", fixed={}, evaluations_per_step=1,
                space={h: Range(1e-9, 1e9) for h in self._places[name][0]}, source_sha256=None,
                points=tuple(self._places[name]),
            )
            for name in self.methods
        )  # fmt: skip
        workload = WorkloadSpec(
            reference="", name="replayed", description="", train_samples=1, validation_samples=1, test_samples=1,
            target=1.0, metric_name="metric", higher_is_better=True, percent=True, source_sha256=None, data_sha256="",
        )  # fmt: skip
        return Spec(
            methods=methods, baseline=self.methods[0], trials=self.points, tuning_seed=seeds[0], seeds=(), device="cpu",
            choice=choice, name="replayed", workload=workload, epochs=1, batch_size=1, targets=(1.0,),
            more_tuning_seeds=tuple(seeds[1:]), screen=SCREEN if screened else None,
            finalists=number_of_finalists(self.points) if screened or len(seeds) > 1 else None,
        )  # fmt: skip

    def rule(self, choice: str, screened: bool = False) -> Rule:
        """That of ``steepest compare --choice``, with as many ``--tuning-seeds`` as it is given; ``screened``: that of
        ``--stop-early``."""

        def point(name: str, seeds: Sequence[int]) -> int:
            spec = self.spec(choice, seeds, screened)
            method = spec.method(name)
            runs: dict[tuple[Phase, int], Record] = {}
            while not (search := search_of(spec, method, runs)).is_over:
                runs.update({(job.phase, job.index): self.run(job) for job in search.jobs})
            return 0 if search.chosen is None else self._places[name].index(search.chosen.hyperparameters)

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

    def covered(self, rule: Rule) -> tuple[float, float, float]:
        """Of studies that search anew for every final seed, as ``--cover-search`` does: how often two agree on a
        method, how often one has a verdict that contradicts the mean over searches, and the share of methods found."""
        chosen = np.array([[rule(method, [seed]) for method in self.methods] for seed in range(self.seeds)])
        means = self.mean[np.arange(len(self.methods)), chosen]
        expected = (means.mean(0) - means.mean(0)[0])[1:]
        rng = np.random.default_rng(7)
        searches = rng.integers(self.seeds, size=(2 * DRAWS * 10, SEEDS))  # of each pair, whatever was searched before
        verdicts = self._judged(means[searches].transpose(0, 2, 1), rng)
        agree = (verdicts[::2] == verdicts[1::2]).mean()
        contradicted = (verdicts == -np.sign(expected)).any(-1).mean()
        return float(agree), float(contradicted), float((verdicts != 0).mean())

    def _verdicts(self, means: Array, rng: np.random.Generator) -> Array:
        """Draw final runs at points with these means, and judge them."""
        return self._judged(np.broadcast_to(means[:, None], (DRAWS, len(means), SEEDS)), rng)

    def _judged(self, means: Array, rng: np.random.Generator) -> Array:
        """Draw a run for each of the means, by study, method and seed, and judge: +1, -1 or 0 for every study and
        method but the baseline."""
        runs = means + self.spread[:, None] * rng.normal(size=means.shape)
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
        beside = path.with_name(f"{path.stem}_short{path.suffix}")
        curves = Curves(path.read_text().splitlines(), beside.read_text().splitlines() if beside.exists() else ())
        every, half = range(curves.seeds), curves.seeds // 2
        finalists = number_of_finalists(curves.points)
        print(f"\n{path.name}: {len(curves.methods)} methods, {curves.points} points, {curves.seeds} seeds")
        print(f"{'rule':34s} {'seeds':9s} full runs  agree  below  apart  contradicted  found  largest shift")
        for choice in CHOICES:
            agree, contradicted, found = curves.covered(curves.rule(choice))
            said = f"{choice}, a search for each final seed"
            print(f"{said:34s} {'all':12s} {'':5s} {agree:6.2f} {'':6s} {'':6s} {contradicted:13.2f} {found:6.2f}")
        for screened, choice, number in itertools.product((False, True), CHOICES, (1, 2, 3)):
            runs = curves.points / SCREEN + finalists * number
            runs = runs if screened else curves.points + finalists * (number - 1)
            for own, said in ((every, "all"), (every[:half], "first half"), (every[half:], "second half")):
                if len(own) < 2 * number or (screened and not beside.exists()):
                    continue
                luck = curves.luck(curves.rule(choice, screened), tuning_seeds=number, seeds=own)
                today = curves.luck(curves.rule("best"), seeds=own)
                shift = np.abs(luck.gaps - today.gaps).max()
                rule = f"{choice}{', short first' if screened else ''}{f', {number} a search' if number > 1 else ''}"
                print(
                    f"{rule:34s} {said:12s} {runs:5.1f} {luck.agree:6.2f} {luck.below:6.2f} {luck.apart:6.2f} "
                    f"{luck.contradicted:13.2f} {luck.found:6.2f} {shift:14.2f}"
                )


if __name__ == "__main__":
    main()
