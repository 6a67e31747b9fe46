"""How near a planted optimum the searches of each sampler come, by their number of trials.

python benchmarks/samplers.py
"""

import math
import statistics
import time
from typing import Any

from steepest.compare.analysis.tpe import ask
from steepest.compare.points import before_asking, quasi_random_points
from steepest.compare.records.record import Record
from steepest.training import Choice, Range

SPACE: dict[str, Range | Choice] = {
    "lr": Range(1e-4, 1.0),
    "nesterov": Choice(True, False),
    "momentum": Range(0.5, 0.99, log=False, when={"nesterov": True}),
    "layers": Range(1, 8, log=False, integer=True),
}
SEEDS = 16


def planted(point: dict[str, Any]) -> float:
    """A score of at most 0.9: a peak of lr at 0.02, with nesterov, momentum 0.9 and 6 layers."""
    found: float = 0.9 - 0.05 * math.log10(point["lr"] / 0.02) ** 2 - 0.01 * abs(point["layers"] - 6)
    return float(found - (abs(point["momentum"] - 0.9) if point["nesterov"] else 0.2))


def by_tpe(trials: int, seed: int) -> list[dict[str, Any]]:
    """The points of a search, each asked for once the score of all before it is known."""
    points = quasi_random_points(SPACE, before_asking(SPACE, trials), seed)
    while len(points) < trials:
        ended = [
            Record("planted", "m", "tune", i, 0, point, "finished", 0.0, 0.0, validation_metric=planted(point))
            for i, point in enumerate(points)
        ]
        points.append(ask(SPACE, ended, seed, higher_is_better=True))
    return points


def main() -> None:
    print("trials  quasi-random     TPE  TPE better")
    for trials in (8, 16, 24, 48):
        chance = [max(map(planted, quasi_random_points(SPACE, trials, seed))) for seed in range(SEEDS)]
        asked = [max(map(planted, by_tpe(trials, seed))) for seed in range(SEEDS)]
        better = sum(a > b for a, b in zip(asked, chance, strict=True))
        print(
            f"{trials:6}  {statistics.fmean(chance):12.3f}  {statistics.fmean(asked):6.3f}  {better:3} of {SEEDS} seeds"
        )
    began = time.perf_counter()
    by_tpe(32, SEEDS)
    print(f"a point after 8 to 31 others: {1000 * (time.perf_counter() - began) / 24:.0f} ms")


if __name__ == "__main__":
    main()
