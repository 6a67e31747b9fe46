"""A regression with two inputs: the sum of two handwritten digits. From the repository's root:

steepest compare examples/two_inputs.py:sums --methods sgd,adamw,sngm
"""

import torch
from sklearn.datasets import load_digits
from sklearn.metrics import r2_score
from torch import Tensor, nn

from steepest.compare import Workload


def pairs(data_dir: object) -> list[list[tuple[dict[str, Tensor], Tensor]]]:
    """Pairs of images by chance, of different images in each part."""
    images, labels = (torch.tensor(x, dtype=torch.float32) for x in load_digits(return_X_y=True))
    found, generator = [], torch.Generator().manual_seed(0)
    for part in torch.split(torch.randperm(1797, generator=generator), [1197, 300, 300]):
        chosen = part[torch.randint(len(part), (2 * len(part), 2), generator=generator)]
        found.append([({"left": images[a] / 16, "right": images[b] / 16}, labels[a] + labels[b]) for a, b in chosen])
    return found


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        found: Tensor = self.one(left) + self.one(right)
        return found.squeeze(1)


def evaluate(model: nn.Module, batch: tuple[dict[str, Tensor], Tensor]) -> dict[str, Tensor]:
    outputs = model(**batch[0])
    return {"loss": nn.functional.mse_loss(outputs, batch[1]), "outputs": outputs, "targets": batch[1]}


sums = Workload(
    "sums", pairs, Sum, batch_size=50, epochs=5, target=0.8, metric_name="R2", percent=False,
    training_step=lambda model, batch: nn.functional.mse_loss(model(**batch[0]), batch[1]), evaluation_step=evaluate,
    metrics={"R2": lambda outputs, targets: r2_score(targets, outputs)}, description="pairs of digits, a shared MLP",
)  # fmt: skip
