"""What is trained: model, data, loss, metric and the size of a run."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Generator, Tensor, nn

from steepest.training.definitions import fields


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of rows whose largest output is the target's: ``outputs`` (N, classes), ``targets`` (N,) integers.

    Example:
        >>> import torch
        >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
        tensor(0.5000)
    """
    return (outputs.argmax(dim=-1) == targets).float().mean()


@dataclass(frozen=True)
class Workload:
    """A training problem on which optimizers are compared.

    Args:
        name: shown in the report, and the study's folder.
        data: called with the folder of ``--data-dir`` or ``STEEPEST_DATA``, or ``None``. Returns training, validation
            and test data, always the same: three :class:`steepest.data.Split`, pairs of tensors or map-style datasets.
        model: builds a fresh model; its random initial weights come from torch's global generator, which the run seeds.
        batch_size: samples per gradient evaluation.
        epochs: passes over the training data that one run may pay for, in gradient evaluations.
        target: value of the validation metric whose first reaching is counted.
        loss: ``loss(outputs, targets)``, the mean over the batch, a 0-dim tensor.
        metric: ``metric(outputs, targets)``, the mean over the batch.
        metric_name: its name in the report.
        higher_is_better: the direction of the metric.
        percent: show the metric times 100, with a percent sign.
        description: one line.
        augment: ``augment(inputs, generator)``, the inputs of a training batch changed at random, by numbers from
            ``generator`` alone: it lies on the device of the inputs, and the run seeds it.
        evaluation_batch: samples that are evaluated at a time; a question of memory only.

    What a model keeps from step to step belongs into parameters and buffers, or into attributes that are numbers or
    strings, so that a run that is interrupted can resume.

    Raises:
        ValueError: a field is not what it must be: a number below 1, an empty name, a model in the place of a function.
    """

    name: str
    data: Callable[[Path | None], Iterable[object]]
    model: Callable[[], nn.Module]
    batch_size: int
    epochs: int
    target: float
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    metric: Callable[[Tensor, Tensor], Tensor] = accuracy
    metric_name: str = "accuracy"
    higher_is_better: bool = True
    percent: bool = True
    description: str = ""
    augment: Callable[[Tensor, Generator], Tensor] | None = None
    evaluation_batch: int = 2000

    def __post_init__(self) -> None:
        fields.named("a workload's name", self.name)
        of = f"workload {self.name!r}: "
        for name in ("batch_size", "epochs", "evaluation_batch"):
            object.__setattr__(self, name, fields.positive(f"{of}{name}", getattr(self, name)))
        object.__setattr__(self, "target", fields.number(f"{of}target", self.target))
        fields.function(f"{of}data", self.data, "of the data folder that returns three parts")
        fields.maker(f"{of}model", self.model)
        for name in ("loss", "metric"):
            fields.function(f"{of}{name}", getattr(self, name), "of outputs and targets")
        if self.augment is not None:
            fields.function(f"{of}augment", self.augment, "of inputs and a generator")
        for name in ("metric_name", "description"):
            fields.text(f"{of}{name}", getattr(self, name))
        for name in ("higher_is_better", "percent"):
            fields.flag(f"{of}{name}", getattr(self, name))
