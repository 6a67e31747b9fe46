"""What `steepest compare --diagnose` adds: runs with its instruments over the same runs without, and peak memory.

    python benchmarks/diagnose.py [--workload fashion-cnn] [--rounds 3] [--device cuda] [--threads 1] [--data-dir DIR]

Runs as a study has them, at the workload's own batch size and epochs, with the instruments that `--diagnose` stands
for; with and without take turns in one process. Prints ratios of neighbours, asserts nothing; run it on a quiet
machine.
"""

import argparse
import functools
import resource
import statistics
from pathlib import Path

import torch
from timing import machine, seconds

from steepest.training.builtin import INSTRUMENTS, METHODS, WORKLOADS
from steepest.training.code.lookup import load_data
from steepest.training.definitions.assignment import Assignment
from steepest.training.train import train

ASKED = tuple(INSTRUMENTS[name] for name in ("noise-scale", "top-eigenvalue"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--workload", default="fashion-cnn", choices=sorted(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data-dir", type=Path, help="folder with fashion-mnist/; default: STEEPEST_DATA, or the hub")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    workload = WORKLOADS[arguments.workload]
    splits = load_data(workload, arguments.data_dir).to(torch.device(arguments.device))

    def run(*, diagnosed: bool, epochs: int = workload.epochs) -> None:
        assignment = Assignment(workload, METHODS["sgd"], splits, {"lr": 0.05}, 1, epochs, workload.batch_size)
        train(assignment, with_test=True, instruments=ASKED if diagnosed else ())

    run(diagnosed=True, epochs=1)  # libraries start up
    print(f"{machine(arguments.device)}, {arguments.threads} threads, {workload.name}, {workload.epochs} epochs")
    peaks: dict[bool, int] = {}
    ratios = []
    for turn in range(arguments.rounds):
        took = {}
        for diagnosed in (False, True) if turn % 2 == 0 else (True, False):
            if arguments.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            took[diagnosed] = seconds(functools.partial(run, diagnosed=diagnosed), arguments.device)
            if arguments.device == "cuda":
                peaks[diagnosed] = torch.cuda.max_memory_allocated()
        ratios.append(took[True] / took[False])
        print(f"without {took[False]:.2f} s, with {took[True]:.2f} s, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}")
    for diagnosed, peak in sorted(peaks.items()):
        print(f"peak memory {'with' if diagnosed else 'without'}: {peak / 2**20:.0f} MiB")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()
