"""What a study costs beyond its runs, and what a second job gains.

    python benchmarks/scheduling.py --data-dir DIR [--workload fashion-cnn] [--device cuda] [--jobs 2 4]

The same runs of `fashion-mlp` (SGD with either momentum, one thread each) over and over: in a plain loop of one
process, in a study with one job, and in studies with two or more; interleaved, medians of the rounds. Prints ratios,
asserts nothing:

- *scheduling*: the time that a study with one job spends outside of training, less that of the plain loop, over the
  study's time. Both read the data; the study does so twice, starts a worker, and keeps every record. Time within the
  runs is left out, since it differs by more from one minute to the next than all of that takes;
- *between runs*: the part of the study's time in which its one worker waits, from its first run's start to its last
  run's end;
- *more jobs*: the study with one job over that with more.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from steepest.compare import Study
from steepest.compare.policy.queue import jobs_left
from steepest.training.builtin import METHODS, WORKLOADS
from steepest.training.code.lookup import load_data
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.train import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data-dir", type=Path, help="folder with fashion-mnist/; default: STEEPEST_DATA, or the hub")
    parser.add_argument("--runs", type=int, default=24, help="in all; four are final ones")
    parser.add_argument("--epochs", type=int, default=5, help="default: 5, the workload's own")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workload", choices=sorted(WORKLOADS), default="fashion-mlp")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, nargs="+", default=[2], help="beside one; default: 2")
    parser.add_argument("--storage", help="postgresql://..., instead of a file in the study's folder")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    workload = WORKLOADS[arguments.workload]

    def study(jobs: int) -> Study:
        out = Path(tempfile.mkdtemp()) / "study"
        where = {"storage": arguments.storage, "study": out.parent.name} if arguments.storage else {}
        return Study(
            workload.name, methods=["sgd", "nesterov"], trials=arguments.runs // 2 - 2, seeds=2,
            epochs=arguments.epochs, device=arguments.device, data_dir=arguments.data_dir, jobs=jobs, out=out, **where,
        )  # fmt: skip

    def plain() -> tuple[float, float]:
        """Seconds in all, and of them outside of training."""
        spec = study(1).spec
        jobs = jobs_left(spec, [])
        comparison = spec.comparisons[0]
        started = time.perf_counter()
        splits = load_data(workload, arguments.data_dir).to(arguments.device)
        training = 0.0
        for job in [*jobs, *jobs[:4]]:  # as many more as there will be final ones
            assignment = Assignment(
                workload, METHODS[job.method], splits, job.hyperparameters, job.seed, comparison.epochs,
                comparison.batch_size, SCHEDULES[comparison.schedule],
            )  # fmt: skip
            training += train(assignment, with_test=False).seconds
        seconds = time.perf_counter() - started
        return seconds, seconds - training

    waited: list[float] = []

    def managed(jobs: int) -> tuple[float, float]:
        one = study(jobs)
        started = time.perf_counter()
        one.run(progress=False)
        seconds = time.perf_counter() - started
        records = one.records()
        if jobs == 1:
            span = max(r.finished for r in records) - min(r.started for r in records)
            waited.append(1 - sum(r.finished - r.started for r in records) / span)
        return seconds, seconds - sum(r.seconds or 0.0 for r in records)

    rounds = [(plain(), managed(1), [managed(jobs)[0] for jobs in arguments.jobs]) for _ in range(arguments.rounds)]
    for (loop, loops_own), (one, ones_own), several in rounds:
        more = "".join(f"; {jobs} jobs {took:.1f} s" for jobs, took in zip(arguments.jobs, several, strict=True))
        print(
            f"  plain loop {loop:.1f} s, {loops_own:.2f} s outside of training; one job {one:.1f} s, {ones_own:.2f} s "
            f"outside{more}"
        )
    overhead = statistics.median((own - loops_own) / one for (_, loops_own), (one, own), _ in rounds)
    between = statistics.median(waited)
    print(f"scheduling costs {100 * overhead:.1f} %, {100 * between:.2f} % between runs")
    for i, jobs in enumerate(arguments.jobs):
        gain = statistics.median(one / several[i] for _, (one, _), several in rounds)
        print(f"{jobs} jobs are {gain:.2f} times sooner than one")


if __name__ == "__main__":
    main()
