"""The model and the data of the tutorial:

steepest compare digits_cnn.py:digits --methods sgd,sngm,adamw
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from steepest.compare import Workload
from steepest.data import Split, Splits, hold_out, standardize


def load(data_dir: object) -> Splits:
    """The parts of the data: to train, to choose the learning rate, to report."""
    pixels, targets = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8)
    rest, test = hold_out(Split(images, torch.tensor(targets)), 0.3)
    train, validation = hold_out(rest, 0.2)
    return standardize(Splits(train, validation, test))  # by the training part


def model() -> nn.Module:
    """A new model; every run calls this once, after its seed is set."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


digits = Workload(
    name="digits-cnn",
    data=load,
    model=model,
    batch_size=256,
    epochs=10,
    target=0.95,
)
