"""What the harness costs: samples per second of a run inside `steepest compare` over those of a bare torch loop.

    python benchmarks/harness.py --data-dir DIR [--workload fashion-cnn] [--device cuda] [--jobs 4]

Both train `fashion-mlp`, or another workload, with SGD at the same batch size on one thread. The run of `compare` is a
whole one, in its own worker process, with its schedule, its validation after every epoch and its records; the bare loop
only trains. With `--jobs`, so many runs go on at a time, and so many bare loops, each in a process of its own. They are
interleaved, and the median of each is compared. Prints figures, asserts nothing.
"""

import argparse
import os
import statistics
import time
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from steepest.compare.records.record import Job
from steepest.compare.running.processes import ProcessPool
from steepest.compare.running.setting import Setting
from steepest.compare.study.freeze import freeze_study
from steepest.compare.study.request import Request
from steepest.compare.study.values import ALL
from steepest.data import Split
from steepest.training.builtin import WORKLOADS
from steepest.training.code.lookup import load_data
from steepest.training.definitions.workload import Workload


def run_bare(train: Split, workload: Workload, epochs: int, lr: float) -> None:
    """The loop that a user would write, with its data on the model's device."""
    device, batch_size = train.inputs.device, workload.batch_size
    model = workload.model().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(train), device=device), batch_size):
            if len(batch) < batch_size:
                break
            loss = workload.loss(model(train.inputs[batch]), train.targets[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()


def serve_bare(asked: argparse.Namespace, calls: Connection) -> None:
    """A process that runs the loop whenever it is called, and answers when it has ended."""
    torch.set_num_threads(1)
    workload = WORKLOADS[asked.workload]
    train = load_data(workload, asked.data_dir).train.to(asked.device)
    run_bare(train, workload, 1, lr=0.05)
    while calls.recv():
        run_bare(train, workload, asked.epochs, lr=0.05)
        calls.send(True)


class Bare:
    """So many bare loops at a time."""

    def __init__(self, asked: argparse.Namespace) -> None:
        context = get_context("spawn")
        pipes = [context.Pipe() for _ in range(asked.jobs)]
        self._ends = [end for end, _ in pipes]
        self._processes = [context.Process(target=serve_bare, args=(asked, end), daemon=True) for _, end in pipes]
        for process in self._processes:
            process.start()

    def seconds(self) -> float:
        started = time.perf_counter()
        for end in self._ends:
            end.send(True)
        for end in self._ends:
            end.recv()
        return time.perf_counter() - started

    def __enter__(self) -> "Bare":
        self.seconds()  # the first time loads the data
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data-dir", type=Path, help="folder with fashion-mnist/; default: STEEPEST_DATA, or the hub")
    parser.add_argument("--epochs", type=int, default=5, help="default: 5, the workload's own")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workload", choices=sorted(WORKLOADS), default="fashion-mlp")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()

    workload, jobs = WORKLOADS[asked.workload], asked.jobs
    train = load_data(workload, asked.data_dir).train
    request = Request([workload.name], ["sgd"], epochs={ALL: asked.epochs}, device=asked.device)
    setting = Setting(freeze_study(request, asked.data_dir), asked.data_dir)
    samples = jobs * asked.epochs * (len(train) // workload.batch_size) * workload.batch_size
    bare: list[float] = []
    harness: list[float] = []
    with ExitStack() as opened:
        pool, loops = opened.enter_context(ProcessPool(jobs, setting)), opened.enter_context(Bare(asked))
        for i in range(asked.rounds + 1):
            seconds = loops.seconds()
            started = time.perf_counter()
            for job in range(jobs):
                pool.submit(Job(workload.name, "sgd", "final", i * jobs + job, i * jobs + job, {"lr": 0.05}))
            while pool.running:
                list(pool.events(1.0))
            if i > 0:  # the first round starts the processes and loads the data
                bare.append(samples / seconds)
                harness.append(samples / (time.perf_counter() - started))
    ratios = [h / b for h, b in zip(harness, bare, strict=True)]
    print(f"{workload.name}, {jobs} at a time, torch {torch.__version__}")
    print(f"bare loop         {statistics.median(bare):10,.0f} samples/s (median of {len(bare)})")
    print(f"steepest compare  {statistics.median(harness):10,.0f} samples/s")
    print(f"ratio             {statistics.median(ratios):10.3f} (median; {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
