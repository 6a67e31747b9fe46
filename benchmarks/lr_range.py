"""Which reading of a range test's curve to suggest: training at each, against the lr of a search.

    python benchmarks/lr_range.py [SEEDS]

On digits-mlp alone. A sweep of 100 steps and 210 steps from the start for every seed, and a run of 30 epochs on that
seed at what each rule reads from it; the lr of the search is that of `steepest compare digits-mlp --methods
sgd,adamw,sngm --trials 16 --seeds 5`. Takes about five minutes on a core.
"""

import math
import statistics
import sys
from collections.abc import Callable

import torch

from steepest.schedules import LRRange, lr_range_test
from steepest.training.builtin import METHODS, WORKLOADS
from steepest.training.code.lookup import load_data
from steepest.training.definitions.assignment import Assignment
from steepest.training.loop.batches import Batches
from steepest.training.train import train

WORKLOAD = WORKLOADS["digits-mlp"]
SPLITS = load_data(WORKLOAD, None)
SEARCHED = {"sgd": 0.229, "adamw": 0.0122, "sngm": 0.229}


def at_least(found: LRRange) -> int:
    """Where the smoothed loss is least."""
    return min(
        range(len(found.smoothed)), key=lambda i: math.inf if math.isnan(found.smoothed[i]) else found.smoothed[i]
    )


def fallen(found: LRRange, share: float) -> float:
    """Where so much of the smoothed loss's fall is behind."""
    start = statistics.median(found.smoothed[: len(found.smoothed) // 10])
    level = start - share * (start - found.smoothed[at_least(found)])
    return next(lr for lr, loss in zip(found.lr, found.smoothed, strict=True) if loss <= level)


def suggested(found: LRRange) -> float:
    assert found.suggestion is not None
    return found.suggestion


def steepest(found: LRRange) -> float:
    """Where the smoothed loss falls fastest in the logarithm of lr, before its least."""
    slopes = [found.smoothed[i + 1] - found.smoothed[i - 1] for i in range(1, at_least(found))]
    return found.lr[1 + slopes.index(min(slopes))]


def valley(found: LRRange) -> float:
    """In the middle of the second third of the longest descent, as fastai has it."""
    losses = found.smoothed
    longest = [1] * len(losses)
    for i in range(len(losses)):
        longest[i] = 1 + max((longest[j] for j in range(i) if losses[j] > losses[i]), default=0)
    end = longest.index(max(longest))
    return found.lr[end - longest[end] + 1 + longest[end] // 2]


def bounds(found: LRRange) -> tuple[float, float]:
    assert found.bounds is not None
    return found.bounds


RULES: dict[str, Callable[[LRRange], float]] = {
    "**half of the largest restart as good as the best**": suggested,
    "**half of where 0.95 of the fall is behind**": lambda found: fallen(found, 0.95) / 2,
    "half of the fall": lambda found: fallen(found, 0.5),
    "steepest fall": steepest,
    "a tenth of the least": lambda found: found.lr[at_least(found)] / 10,
    "a third of the least": lambda found: found.lr[at_least(found)] / 3,
    "valley": valley,
    "lr_max": lambda found: bounds(found)[1],
    "a third of lr_max": lambda found: bounds(found)[1] / 3,
    "middle of the bounds": lambda found: math.sqrt(math.prod(bounds(found))),
}


def sweep(method: str, seed: int) -> LRRange:
    torch.manual_seed(seed)
    model = WORKLOAD.model()
    optimizer = METHODS[method].build(model, {"lr": 0.1})
    batches = Batches(SPLITS.train, WORKLOAD.batch_size, seed)
    return lr_range_test(model, optimizer, WORKLOAD.loss, batches, refine_iter=210)


def accuracy(method: str, lr: float, seed: int) -> float:
    """In per cent, on test data; a run that diverged is as good as a guess."""
    assignment = Assignment(WORKLOAD, METHODS[method], SPLITS, {"lr": lr}, 100 + seed, WORKLOAD.epochs, 64)
    return 100 * (train(assignment, with_test=True).test_metric or 0.1)


def main(seeds: int) -> None:
    print("| rule | " + " | ".join(f"{method}: lr, accuracy" for method in SEARCHED) + " |\n|---|" + "---|" * 3)
    swept = {method: [sweep(method, seed) for seed in range(seeds)] for method in SEARCHED}
    cells = [f"{lr}, {statistics.fmean(accuracy(m, lr, s) for s in range(seeds)):.2f}" for m, lr in SEARCHED.items()]
    print(f"| search of 16 trials | {' | '.join(cells)} |", flush=True)
    for name, rule in RULES.items():
        cells = []
        for method, found in swept.items():
            lrs = [rule(one) for one in found]
            mean = statistics.fmean(accuracy(method, lr, seed) for seed, lr in enumerate(lrs))
            cells.append(f"{min(lrs):.2g} to {max(lrs):.2g}, {mean:.2f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
