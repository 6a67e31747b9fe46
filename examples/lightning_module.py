"""A LightningModule as it is, compared. From the repository's root:

steepest compare examples/lightning_module.py:digits --methods sgd,adamw,sngm
"""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from steepest.compare import Workload


class Digits(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        outputs = self.net(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(outputs, batch[1]))
        self.log("val_acc", (outputs.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())  # a study brings its own


class Data(lightning.LightningDataModule):
    def setup(self, stage: str) -> None:
        x, y = (torch.tensor(values) for values in load_digits(return_X_y=True))
        parts = random_split(TensorDataset(x.float() / 16, y), [1197, 300, 300], torch.Generator().manual_seed(0))
        self.loaders = [DataLoader(part, batch_size=50, shuffle=part is parts[0]) for part in parts]

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self.loaders[0]

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self.loaders[1]

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return self.loaders[2]


digits = Workload.from_lightning(Digits, Data, name="lightning-digits", epochs=5, target=0.95)
