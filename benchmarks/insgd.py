"""What tracking costs: a training step of ResNet-20 with INSGD over the same step with `torch.optim.SGD`.

    python benchmarks/insgd.py [--rounds 31] [--threads 1] [--device cuda] [--norm l1] [--patch] [--standardize]

Forward, backward and step on batches of 128 random images of 32x32 pixels; both have momentum. The two take turns in
one process, and the median of the ratios of neighbours is printed. Asserts nothing; run it on a quiet machine.
"""

import argparse
import itertools
import platform
import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from timing import seconds
from torch import Tensor, nn

from steepest import INSGD, track_input_power


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (He et al., 2015, option A)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride, self.extra = (1, 0) if inputs == outputs else (2, outputs - inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = F.pad(x[..., :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra // 2, self.extra // 2))
        return F.relu(inner + shortcut)


def resnet20() -> nn.Sequential:
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = [Block(i, o) for i, o in itertools.pairwise(widths)]
    stem = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--norm", choices=["l1", "l2"], default="l2")
    parser.add_argument("--patch", action="store_true")
    parser.add_argument("--standardize", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = arguments.device
    x, y = torch.randn(128, 3, 32, 32, device=device), torch.randint(0, 10, (128,), device=device)
    plain, tracked = resnet20().to(device), resnet20().to(device)
    track_input_power(tracked, norm=arguments.norm, patch=arguments.patch, standardize=arguments.standardize)
    rule = "released" if arguments.standardize else "log"
    sgd = training_step(plain, torch.optim.SGD(plain.parameters(), lr=1e-6, momentum=0.9), x, y)
    insgd = training_step(tracked, INSGD(tracked.parameters(), lr=1e-6, momentum=0.9, rule=rule), x, y)
    base: list[float] = []
    ratios: list[float] = []
    for turn in range(arguments.rounds + 3):
        # Which of the two goes first changes, lest one always finds the other's caches.
        first, second = (sgd, insgd) if turn % 2 else (insgd, sgd)
        took = {first: seconds(first, device), second: seconds(second, device)}
        if turn >= 3:
            base.append(took[sgd])
            ratios.append(took[insgd] / took[sgd])
    low, median, high = statistics.quantiles(ratios, n=4)
    machine = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    print(
        f"ResNet-20, batch 128, {device} ({machine}), {arguments.threads} thread(s), torch {torch.__version__}: "
        f"SGD {statistics.median(base) * 1e3:.1f} ms a step; INSGD {median:.3f} times that "
        f"(quartiles {low:.3f} to {high:.3f}, {arguments.rounds} interleaved rounds)"
    )


if __name__ == "__main__":
    main()
