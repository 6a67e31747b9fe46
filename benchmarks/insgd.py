"""What tracking costs: a training step of ResNet-20 with INSGD over the same step with `torch.optim.SGD`.

    python benchmarks/insgd.py [--rounds 31] [--threads 1] [--device cuda] [--norm l1] [--patch] [--standardize]

Forward, backward and step on batches of 128 random images of 32x32 pixels; both have momentum. The two take turns in
one process, and the median of the ratios of neighbours is printed. Asserts nothing; run it on a quiet machine.
"""

import argparse
import statistics

import torch
from resnet20 import resnet20, training_step
from timing import machine, ratios_to

from steepest import INSGD, track_input_power


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
    base, ratios = ratios_to(sgd, {"INSGD": insgd}, arguments.rounds, device)
    low, median, high = statistics.quantiles(ratios["INSGD"], n=4)
    print(
        f"ResNet-20, batch 128, {device} ({machine(device)}), {arguments.threads} thread(s), "
        f"torch {torch.__version__}: SGD {base * 1e3:.1f} ms a step; INSGD {median:.3f} times that "
        f"(quartiles {low:.3f} to {high:.3f}, {arguments.rounds} interleaved rounds)"
    )


if __name__ == "__main__":
    main()
