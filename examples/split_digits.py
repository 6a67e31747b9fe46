"""Five tasks, two digits each, one after the other: how much of the first is left after the last?

    steepest compare examples/split_digits.py:split_digits --methods sgd,sngm,adamw --schedule constant

The images are scikit-learn's. Every task has all ten outputs, and a model is not told which task an image is of: the
hardest of the three usual settings. A model that has a method ``set_task`` would be told.
"""

from pathlib import Path

from torch import nn

from steepest.compare import Workload
from steepest.data import Split, Splits, Tasks, digits


def tasks(data_dir: Path | None = None) -> Tasks:
    """The digits 0 and 1, then 2 and 3, and so on to 8 and 9."""
    whole = digits()

    def pair(split: Split, first: int) -> Split:
        rows = (split.targets == first) | (split.targets == first + 1)
        return Split(split.inputs[rows], split.targets[rows])

    return Tasks([Splits(*(pair(split, first) for split in whole)) for first in range(0, 10, 2)])


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


split_digits = Workload(
    "split-digits",
    tasks,
    mlp,
    batch_size=16,
    epochs=4,
    target=0.3,
    description="five tasks of two digits, one after the other",
)
