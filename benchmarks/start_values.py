"""Where the rules for the first learning rate point, and where the best one lies.

    python benchmarks/start_values.py --data-dir DIR [--seeds 3]

Fashion-MNIST, MLP 784-256-10, batch 128, two epochs, lr linearly to 0, momentum 0.9; validation accuracy, mean over the
seeds. Beside SGD and AdamW stands the lr at which docs/migration.md would start SNGM. A few minutes on one core.
"""

import argparse
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.data import Splits, images
from steepest.training.builtin.models import mlp

MOMENTUM = 0.9
Make = Callable[[Iterable[Any], float], torch.optim.Optimizer]


class Run(NamedTuple):
    accuracy: float
    gradient_norm: float  # mean over the first tenth of the run
    distance: float  # moved in a step, the same mean


METHODS: dict[str, tuple[Make, list[float]]] = {
    "SGD": (lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=MOMENTUM), [0.01, 0.03, 0.1, 0.2]),
    "AdamW": (lambda p, lr: torch.optim.AdamW(p, lr=lr), [3e-4, 1e-3, 3e-3, 1e-2]),
    "SNGM": (lambda p, lr: SNGM(p, lr=lr, momentum=MOMENTUM), [0.01, 0.03, 0.1, 0.3, 1.0]),
    "BNG ratio 0.02": (
        lambda p, lr: BlockNormalizedSGD(p, lr=lr, momentum=MOMENTUM, ratio=0.02),
        [0.03, 0.1, 0.3, 1.0, 3.0],
    ),
    "LARS": (lambda p, lr: LARS(p, lr=lr, momentum=MOMENTUM), [1.0, 3.0, 10.0, 30.0]),
}


def train(make: Make, lr: float, seed: int, data: Splits, epochs: int = 2, batch_size: int = 128) -> Run:
    torch.manual_seed(seed)
    model = mlp(784, 256, 10)
    params = list(model.parameters())
    optimizer = make(model.named_parameters(), lr)
    steps = epochs * len(data.train) // batch_size
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    norms: list[float] = []
    distances: list[float] = []
    for step in range(steps):
        rows = torch.randint(len(data.train), (batch_size,))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(data.train.inputs[rows]), data.train.targets[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        if step >= steps // 10:
            optimizer.step()
        else:
            norms.append(length([p.grad for p in params if p.grad is not None]))
            before = [p.detach().clone() for p in params]
            optimizer.step()
            distances.append(length([p.detach() - q for p, q in zip(params, before, strict=True)]))
        schedule.step()
    with torch.no_grad():
        right = model(data.validation.inputs).argmax(dim=1) == data.validation.targets
    return Run(right.float().mean().item(), statistics.mean(norms), statistics.mean(distances))


def length(tensors: list[Tensor]) -> float:
    return torch.nn.utils.get_total_norm(tensors).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = images("fashion-mnist", arguments.data_dir)
    for name, (make, learning_rates) in METHODS.items():
        for lr in learning_rates:
            runs = [train(make, lr, seed, data) for seed in range(arguments.seeds)]
            accuracy, norm, distance = (statistics.mean(values) for values in zip(*runs, strict=True))
            start = {"SGD": lr * norm, "AdamW": distance * (1 - MOMENTUM**2) ** 0.5}.get(name)
            suggestion = "" if start is None else f"   SNGM would start at {start:.3f}"
            print(f"{name:16}lr {lr:<8g}{100 * accuracy:6.2f} %{suggestion}", flush=True)


if __name__ == "__main__":
    main()
