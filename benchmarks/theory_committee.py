"""What `steepest.theory.committee` costs: the equations by solver, and a step of SGD for some runs at once.

    python benchmarks/theory_committee.py [--rounds 5] [--n 784] [--seeds 5]

The equations start at random weights and go to time 100, without noise. A step of SGD is measured over times to 5, and
in it the library's own step, against one that overwrites the weights. Memory is the peak of what Python and numpy
hold beyond what was there before, for the equations; of the whole process, for SGD. Prints figures, asserts nothing.
"""

import argparse
import resource
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from steepest.theory.committee import Committee
from steepest.theory.committee.ode import METHODS
from steepest.theory.committee.simulation import _descend

LAYERS: tuple[Literal["first", "both"], ...] = ("first", "both")
SIZES: tuple[tuple[int, int, Literal["first", "both"]], ...] = (
    (2, 3, "first"),
    (4, 4, "first"),
    (4, 4, "both"),
    (8, 8, "both"),
    (4, 16, "both"),
)


def seconds(run: Callable[[], Any], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def peak(run: Callable[[], Any]) -> float:
    """Megabytes."""
    tracemalloc.start()
    run()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 2**20


def equations(rounds: int) -> None:
    print(f"{'equations to time 100':26}{'method':>8}{'seconds':>10}{'evaluations':>13}{'peak MB':>9}")
    for m, k, train in SIZES:
        for method in METHODS:
            theory = Committee(m, k, lr=0.5 if k < 16 else 0.1, train=train)

            def solve(theory: Committee = theory, method: Any = method) -> Any:
                return theory.predict([100.0], method=method)

            taken, evaluations = seconds(solve, rounds), solve().evaluations
            print(f"M {m}, K {k:2}, train {train:8}{method:>8}{taken:10.3f}{evaluations:13}{peak(solve):9.2f}")


def simulation(rounds: int, n: int, seeds: int) -> None:
    print(f"\n{f'SGD, N {n}, {seeds} runs':26}{'us a step':>10}")
    for k in (3, 8):
        for train in LAYERS:
            theory = Committee(2, k, lr=0.1, noise=0.1, train=train)
            run = theory.simulate(n, seeds, times=[5])
            print(f"M 2, K {k:2}, train {train:8}{run.seconds / run.steps * 1e6:10.0f}")
    weights, gradient = (torch.randn(seeds, 3, n, dtype=torch.float64) for _ in range(2))
    ways: dict[str, Callable[[], Tensor]] = {
        "library's step": lambda: _descend(weights, gradient, 0.1, 0.0),
        "in place": lambda: weights.sub_(gradient, alpha=0.1),
    }
    for name, way in ways.items():
        taken = seconds(lambda way=way: [way() for _ in range(1000)], rounds)  # type: ignore[misc]
        print(f"{'  of which the ' + name:26}{taken * 1e3:10.1f}")
    print(f"\npeak of the whole process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n", type=int, default=784)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    equations(arguments.rounds)
    simulation(arguments.rounds, arguments.n, arguments.seeds)


if __name__ == "__main__":
    main()
