"""What the harness costs: samples per second of a run inside `steepest compare` over those of a bare torch loop.

    python benchmarks/harness.py --data-dir DIR [--workload fashion-cnn] [--device cuda]

Both train `fashion-mlp`, or another workload, with SGD at the same batch size on one thread. The run of `compare` is a
whole one, in its own worker process, with its schedule, its validation after every epoch and its records; the bare loop
only trains. They are interleaved, and the median of each is compared. Prints figures, asserts nothing.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import nn

from steepest.compare.records.record import Job
from steepest.compare.running.processes import ProcessPool
from steepest.compare.running.setting import Setting
from steepest.compare.study.freeze import freeze_study
from steepest.compare.study.request import Request
from steepest.compare.study.values import ALL
from steepest.data import Split
from steepest.training.builtin import WORKLOADS
from steepest.training.code.lookup import load_data


def bare_loop(train: Split, model: nn.Module, batch_size: int, epochs: int, lr: float) -> float:
    """Seconds of the loop that a user would write, with its data on the model's device."""
    device = train.inputs.device
    started = time.perf_counter()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(train), device=device), batch_size):
            if len(batch) < batch_size:
                break
            loss = nn.functional.cross_entropy(model(train.inputs[batch]), train.targets[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data-dir", type=Path, help="folder with fashion-mnist/; default: STEEPEST_DATA, or the hub")
    parser.add_argument("--epochs", type=int, default=5, help="default: 5, the workload's own")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workload", choices=sorted(WORKLOADS), default="fashion-mlp")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    workload = WORKLOADS[arguments.workload]
    train = load_data(workload, arguments.data_dir).train.to(arguments.device)
    batch_size, epochs = workload.batch_size, arguments.epochs
    request = Request([workload.name], ["sgd"], epochs={ALL: epochs}, device=arguments.device)
    setting = Setting(freeze_study(request, arguments.data_dir), arguments.data_dir)
    samples = epochs * (len(train) // batch_size) * batch_size
    bare: list[float] = []
    harness: list[float] = []
    with ProcessPool(1, setting) as pool:
        for i in range(arguments.rounds + 1):
            seconds = bare_loop(train, workload.model().to(arguments.device), batch_size, epochs, lr=0.05)
            started = time.perf_counter()
            pool.submit(Job(workload.name, "sgd", "final", i, i, {"lr": 0.05}))
            while pool.running:
                list(pool.events(1.0))
            if i > 0:  # the first round starts the process and loads the data
                bare.append(samples / seconds)
                harness.append(samples / (time.perf_counter() - started))
    ratios = [h / b for h, b in zip(harness, bare, strict=True)]
    print(f"bare loop         {statistics.median(bare):10,.0f} samples/s (median of {len(bare)})")
    print(f"steepest compare  {statistics.median(harness):10,.0f} samples/s")
    print(f"ratio             {statistics.median(ratios):10.3f} (median; {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
