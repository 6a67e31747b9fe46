"""What a gradient estimator costs: a training step of ResNet-20 with it over the same with `torch.optim.SGD`.

    python benchmarks/estimators.py [--rounds 31] [--threads 1] [--device cuda] [--batch 128]

Forward, backward and step on a batch of random images of 32x32 pixels. All take turns in one process; printed are the
medians of the ratios of neighbours. Asserts nothing; run it on a quiet machine.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from resnet20 import resnet20, training_step
from timing import machine, ratios_to
from torch import Tensor, nn

from steepest import SymmetricNoise, calibrate
from steepest.gradients.calibrators import Calibrator


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)


def noisy(
    x: Tensor, y: Tensor, *, split: bool, sides: Literal[1, 2] = 2, memory: Literal["copy", "regenerate"] = "copy"
) -> Callable[[], None]:
    """A step of S-SGD: on the two halves of the batch, or on all of it at both points."""
    model = resnet20().to(x.device)
    optimizer = sgd(model)
    noise = SymmetricNoise(model.parameters(), sides=sides, memory=memory)
    inputs, targets = (x.chunk(2), y.chunk(2)) if split else ((x, x), (y, y))

    def step() -> None:
        optimizer.zero_grad()
        with noise.plus():
            (F.cross_entropy(model(inputs[0]), targets[0]) / sides).backward()  # type: ignore[no-untyped-call]
        if sides == 2:
            with noise.minus():
                (F.cross_entropy(model(inputs[1]), targets[1]) / 2).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def plain(x: Tensor, y: Tensor) -> Callable[[], None]:
    model = resnet20().to(x.device)
    return training_step(model, sgd(model), x, y)


def calibrated(x: Tensor, y: Tensor, calibrator: Calibrator) -> Callable[[], None]:
    model = resnet20().to(x.device)
    optimizer = sgd(model)
    calibrate(model, calibrator, optimizer=optimizer)
    return training_step(model, optimizer, x, y)


def halves(x: Tensor, y: Tensor) -> Callable[[], None]:
    """SGD that accumulates the two halves: what splitting costs without noise."""
    model = resnet20().to(x.device)
    optimizer = sgd(model)

    def step() -> None:
        optimizer.zero_grad()
        for inputs, targets in zip(x.chunk(2), y.chunk(2), strict=True):
            (F.cross_entropy(model(inputs), targets) / 2).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = arguments.device
    x = torch.randn(arguments.batch, 3, 32, 32, device=device)
    y = torch.randint(0, 10, (arguments.batch,), device=device)
    contenders = {
        "SGD on the two halves, no noise": halves(x, y),
        "S-SGD, split batch": noisy(x, y, split=True),
        "S-SGD, split batch, noise regenerated": noisy(x, y, split=True, memory="regenerate"),
        "S-SGD, whole batch twice": noisy(x, y, split=False),
        "one-sided noise": noisy(x, y, split=False, sides=1),
        "calibrated, bernoulli": calibrated(x, y, "bernoulli"),
        "calibrated, lipschitz": calibrated(x, y, "lipschitz"),
        "calibrated, learned": calibrated(x, y, "learned"),
    }
    base, ratios = ratios_to(plain(x, y), contenders, arguments.rounds, device)
    print(
        f"ResNet-20, batch {arguments.batch}, {device} ({machine(device)}), {arguments.threads} thread(s), "
        f"torch {torch.__version__}: SGD {base * 1e3:.1f} ms a step; {arguments.rounds} interleaved rounds"
    )
    for name, values in ratios.items():
        low, median, high = statistics.quantiles(values, n=4)
        print(f"{name:40}{median:7.3f}  ({low:.3f}-{high:.3f})")


if __name__ == "__main__":
    main()
