"""What simulating momentum SGD costs: streaming PCA in d = 4, and of what a step's time is made.

    python benchmarks/theory_momentum.py [--threads 2] [--replicas 1000] [--steps 100000]

Prints seconds, microseconds for a step and the process' peak of memory, of the whole simulation; and the parts of a
step by themselves: normal numbers, the gradient, and `scaled_step`, beside the same update written in place. Asserts
nothing.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import torch

from steepest.optim.step import scaled_step
from steepest.theory.momentum import StreamingPCA
from steepest.theory.momentum.simulation import draws
from steepest.theory.momentum.streaming_pca import _gradient

EIGENVALUES = [4.0, 3.0, 2.0, 1.0]


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def microseconds(call: Callable[[], Any], repetitions: int = 2000) -> float:
    for _ in range(100):
        call()
    began = time.perf_counter()
    for _ in range(repetitions):
        call()
    return (time.perf_counter() - began) / repetitions * 1e6


def print_parts(replicas: int) -> None:
    noise = draws(0, 4, replicas, lambda normal: normal.mul_(2.0))
    v, x = next(noise).clone() / 4, next(noise).clone()
    slope, buffer = _gradient(v, x), torch.zeros_like(v)

    def step() -> None:
        scaled_step(
            v, slope, buffer, scale=None, lr=1e-4, momentum=0.9, weight_decay=0.0,
            decay="after_scaling", nesterov=False,
        )  # fmt: skip

    def in_place() -> None:
        buffer.mul_(0.9).add_(slope)
        v.add_(buffer, alpha=-1e-12)

    parts = {
        "normal numbers": lambda: next(noise),
        "gradient": lambda: _gradient(v, x),
        "scaled_step": step,
        "the same in place, not used": in_place,
    }
    for name, call in parts.items():
        print(f"{name:30}{microseconds(call):8.1f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--replicas", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=100_000)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_parts(arguments.replicas)
    for momentum, exits in ((0.9, None), (0.0, None), (0.9, (1, 0.3))):
        theory, before = StreamingPCA(EIGENVALUES, 1e-4, momentum), peak()
        found = theory.simulate(arguments.replicas, arguments.steps, seed=0, start=2, exits=exits)
        print(f"momentum {momentum}, exits {exits!s:9} {found.seconds:6.1f} s, ", end="")
        print(
            f"{found.seconds / arguments.steps * 1e6:6.1f} us a step, peak {before:.0f} -> {peak():.0f} MiB", flush=True
        )


if __name__ == "__main__":
    main()
