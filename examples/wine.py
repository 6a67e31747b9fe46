"""Your own workload and method. From the repository's root:

steepest compare examples/wine.py:wine --methods sgd,sngm,examples/wine.py:rmsprop
"""

import torch
from sklearn.datasets import load_wine
from torch import nn

from steepest.compare import Method, Range, Workload
from steepest.data import Split, Splits, hold_out, standardize


def load(data_dir: object) -> Splits:
    """Called once with the folder of --data-dir, or None. Must return the same splits every time."""
    inputs, targets = load_wine(return_X_y=True)
    everything = Split(torch.tensor(inputs, dtype=torch.float32), torch.tensor(targets))
    rest, test = hold_out(everything, 0.3)
    train, validation = hold_out(rest, 0.3)
    return standardize(Splits(train, validation, test))  # column by column, by the training rows alone


wine = Workload(
    name="wine",
    data=load,
    model=lambda: nn.Sequential(nn.Linear(13, 32), nn.Tanh(), nn.Linear(32, 3)),
    batch_size=16,
    epochs=20,
    target=0.95,
    description="scikit-learn's 178 wines, a small MLP",
)
rmsprop = Method("rmsprop", torch.optim.RMSprop, space={"lr": Range(1e-4, 1e-1)})
