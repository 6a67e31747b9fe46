"""The toy of Gadetsky and others (arXiv 1911.10036): how much gradients through permutations vary, and where they lead.

    python benchmarks/permutations.py variance [--samples 100000]
    python benchmarks/permutations.py search [--evaluations 50000] [--seeds 10] [--estimators reinforce,rebar]

f is the squared distance of a permutation matrix from a fixed matrix that is nearly flat, d = 8: the identity has
6.222857, the mean over all orders is 7.022857. `variance` prints each estimator's total variance for one sample with
all logits at 0, critics trained for 2,000 steps of Adam there, too. `search` minimises by Adam, lr 0.01, from logits 0,
and prints f at the mode in the end: the mean over seeds with its 95 % interval, and how many reached the least f.
Prints figures, asserts nothing.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from scipy.stats import t as student_t
from torch import Tensor

from steepest.gradients.permutations import (
    REBAR,
    RELAX,
    OrderGradient,
    PlackettLuce,
    RelaxedSort,
    ScoreFunction,
    permutation_matrix,
)

D = 8
TARGET = torch.full((D, D), (1 - 1 / D - 0.05) / (D - 1), dtype=torch.float64)
TARGET.fill_diagonal_(1 / D + 0.05)
LEAST = 6.222857
Make = Callable[[Tensor, torch.Generator], OrderGradient]

ESTIMATORS: dict[str, tuple[Make, int]] = {
    "reinforce": (lambda t, g: ScoreFunction(t, generator=g), 1),
    "leave-one-out": (lambda t, g: ScoreFunction(t, "leave-one-out", g), 4),
    "rebar": (lambda t, g: REBAR(t, distance, g), 1),
    "relax": (lambda t, g: RELAX(t, distance, generator=g), 1),
    "relax-free": (lambda t, g: RELAX(t, generator=g), 1),
    "neural-sort": (lambda t, g: RelaxedSort(t, distance, "neural-sort", generator=g), 1),
    "straight-through": (lambda t, g: RelaxedSort(t, distance, "straight-through", generator=g), 1),
    "gumbel-sinkhorn": (lambda t, g: RelaxedSort(t, distance, "gumbel-sinkhorn", generator=g), 1),
}


def distance(matrices: Tensor) -> Tensor:
    """The squared distance from the target, of matrices (n, d, d)."""
    return (matrices - TARGET).square().sum(dim=(-2, -1))


def of_orders(orders: Tensor) -> Tensor:
    return distance(permutation_matrix(orders, torch.float64))


def start() -> Tensor:
    return torch.zeros(D, dtype=torch.float64, requires_grad=True)


def total_variance(estimator: OrderGradient, samples: int) -> float:
    drawn = estimator.draw(samples)
    return float(estimator.terms(drawn, of_orders(drawn.orders)).var(dim=0).sum())


def variance(samples: int) -> None:
    print(f"{'one sample, all logits 0':24}{'total variance':>16}{'after 2,000 steps of the critic':>34}")
    for name, (make, _) in ESTIMATORS.items():
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        estimator = make(start(), generator)
        if name == "leave-one-out":  # of 4 samples, times 4: what it costs for one
            found = [estimator.backward(of_orders, 4).gradient for _ in range(samples // 4)]
            first = float(torch.stack(found).var(dim=0).sum()) * 4
        else:
            first = total_variance(estimator, samples)
        trained = ""
        if parameters := list(estimator.parameters()):
            optimizer = torch.optim.Adam(parameters, lr=0.01)
            for _ in range(2000):
                optimizer.zero_grad()
                estimator.backward(of_orders)
                optimizer.step()
            trained = f"{total_variance(estimator, samples):.3f}"
        print(f"{name:24}{first:16.3f}{trained:>34}", flush=True)


def search(evaluations: int, seeds: int, names: list[str]) -> None:
    print(f"{'estimator':18}{'samples':>8}{'f at the mode':>16}{'95 %':>8}{'least':>8}{'us an evaluation':>18}")
    for name in names:
        make, samples = ESTIMATORS[name]
        reached, began = [], time.perf_counter()
        for seed in range(seeds):
            torch.manual_seed(seed)
            logits = start()
            estimator = make(logits, torch.Generator().manual_seed(seed))
            optimizer = torch.optim.Adam([logits, *estimator.parameters()], lr=0.01)
            for _ in range(evaluations // samples):
                optimizer.zero_grad()
                estimator.backward(of_orders, samples)
                optimizer.step()
            reached.append(float(of_orders(PlackettLuce(logits.detach()).mode[None])))
        taken = (time.perf_counter() - began) / seeds / evaluations * 1e6
        off = student_t.ppf(0.975, seeds - 1) * statistics.stdev(reached) / seeds**0.5 if seeds > 1 else float("nan")
        least = sum(value < LEAST + 1e-4 for value in reached)
        mean = statistics.mean(reached)
        print(f"{name:18}{samples:8}{mean:16.4f}{off:8.4f}{f'{least}/{seeds}':>8}{taken:18.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=["variance", "search"])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--evaluations", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--estimators", default=",".join(ESTIMATORS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "variance":
        variance(arguments.samples)
    else:
        search(arguments.evaluations, arguments.seeds, arguments.estimators.split(","))


if __name__ == "__main__":
    main()
