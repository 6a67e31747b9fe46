"""Training data that never ends: two spirals, drawn as they are needed. From the repository's root:

steepest compare examples/stream.py:spirals --methods sgd,adamw,sngm
"""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from steepest.compare import Workload
from steepest.training import accuracy


class Spirals(torch.utils.data.IterableDataset[tuple[Tensor, Tensor]]):
    """Its random numbers are the run's: the same for every method, and after kill -9."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            label, far = torch.randint(2, ()), torch.rand(()).sqrt()
            angle = 3 * math.pi * far + math.pi * label
            yield torch.stack([angle.cos(), angle.sin()]) * far + 0.02 * torch.randn(2), label

    def __len__(self) -> int:
        return 4000  # what counts as an epoch


def data(data_dir: object) -> list[object]:
    torch.manual_seed(0)
    return [Spirals(), *(list(itertools.islice(Spirals(), 1000)) for _ in range(2))]


def evaluate(model: nn.Module, batch: list[Tensor]) -> dict[str, Tensor]:
    outputs = model(batch[0])
    return {"loss": nn.functional.cross_entropy(outputs, batch[1]), "accuracy": accuracy(outputs, batch[1])}


spirals = Workload(
    "spirals", data, lambda: nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2)),
    batch_size=100, epochs=5, target=0.95, evaluation_step=evaluate, description="an endless stream, an MLP",
    training_step=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
)  # fmt: skip
