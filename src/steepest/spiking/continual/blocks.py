"""An output layer that grows by a block of classes for each task, and a network with it."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steepest.optim.arguments import check_choice, check_integer

Centre = Literal["block", "input", "none"]


class OutputBlocks(nn.Linear):
    r"""A linear layer whose outputs are split into a block for each task: logits (N, C) of all classes.

    In training mode only the block of the task that was set last has finite logits, and it counts as seen from then on.
    In evaluation mode the task is not told, whatever was set: all seen blocks together, each less its mean, and classes
    not yet seen 1 below the smallest of these, so that they never win and a loss stays finite. Before any task has been
    seen all logits are 0.

    The weight (C, features) is one parameter. The gradient of the other blocks is 0: SGD without momentum and weight
    decay leaves them alone, and other optimizers may still move them by what they remember.

    Args:
        features: of the inputs (N, features).
        classes: the labels of each task, which no other task has. C is the largest label plus 1.
        centre: what is subtracted where blocks are put together: ``"block"``, the mean of a block's whole weight, and
            that of its biases; ``"input"``, the mean over its classes for each input feature and for the biases;
            ``"none"``, nothing.
        apart: whether there are blocks at all; without, until it is set, the layer is plain.
        device, dtype: of the parameters.

    Raises:
        ValueError: an argument is out of range, or a label is negative or named twice.

    Source: Maltoni, Lomonaco, "Continuous learning in single-incremental-task scenarios", Neural Networks 116 (2019),
    arXiv 1806.08568: CWR+.

    Example:
        >>> layer = OutputBlocks(4, [(0, 1), (2, 3)])
        >>> layer.set_task(1)
        >>> layer(torch.zeros(1, 4)).isinf()
        tensor([[ True,  True, False, False]])
        >>> layer.eval()(torch.zeros(1, 4)).argmax().item() in (2, 3)
        True
    """

    seen: Tensor
    """(tasks,): of which blocks have been trained."""

    def __init__(
        self,
        features: int,
        classes: Sequence[Sequence[int]],
        centre: Centre = "block",
        apart: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_integer("features", features, "an integer of at least 1")
        check_choice("centre", centre, ("block", "input", "none"))
        found = check_classes(classes)
        super().__init__(features, 1 + max(map(max, found)), device=device, dtype=dtype)
        self.labels, self.centre, self.apart = [list(labels) for labels in found], centre, apart
        self.register_buffer("seen", torch.zeros(len(found), dtype=torch.bool, device=device))
        self.task = 0
        self.together = False

    def set_task(self, task: int) -> None:
        """Train the block of this task from now on."""
        if not 0 <= task < len(self.labels):
            raise ValueError(f"task must be from 0 to {len(self.labels) - 1}, got {task!r}")
        self.task = task

    @contextmanager
    def all_seen(self) -> Iterator[None]:
        """While held, training mode has all seen blocks together, centred as they are evaluated; the others are -inf.
        Gradients go through the means."""
        before, self.together = self.together, True
        try:
            yield
        finally:
            self.together = before

    def forward(self, x: Tensor) -> Tensor:
        if not self.apart:
            return super().forward(x)
        if self.training and not self.together:
            self.seen[self.task] = True
            own = self.labels[self.task]
            return self._spread(own, F.linear(x, self.weight[own], self.bias[own]), -torch.inf)
        tasks = [task for task, seen in enumerate(self.seen.tolist()) if seen]
        if not tasks:
            return x.new_zeros(len(x), self.out_features)
        logits = torch.cat([F.linear(x, *self._centred(task)) for task in tasks], dim=1)
        below = -torch.inf if self.training else logits.detach().amin(dim=1, keepdim=True) - 1
        return self._spread([label for task in tasks for label in self.labels[task]], logits, below)

    def _centred(self, task: int) -> tuple[Tensor, Tensor]:
        weight, bias = self.weight[self.labels[task]], self.bias[self.labels[task]]
        if self.centre == "none":
            return weight, bias
        return weight - (weight.mean() if self.centre == "block" else weight.mean(dim=0)), bias - bias.mean()

    def _spread(self, labels: list[int], logits: Tensor, others: Tensor | float) -> Tensor:
        """Put the logits of some blocks to their labels, and ``others`` (N, 1) to all else."""
        every = logits.new_full((len(logits), self.out_features), 0.0) + others
        return every.index_copy(1, torch.tensor(labels, dtype=torch.int64, device=logits.device), logits)


class ContinualNet(nn.Module):
    """One hidden layer of ReLU units, and an output layer that is plain or has blocks: ``hidden`` and ``output``.

    With the same seed both have the same weights.

    Args:
        features: of an input, whatever its shape; it may be bool.
        hidden: units.
        classes: the labels of each task.
        blocks: whether the output layer has blocks; else, until :meth:`use_blocks`, it is plain.
        centre: of the blocks.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> net = ContinualNet(4, 8, [(0, 1), (2, 3)])
        >>> net(torch.zeros(5, 2, 2)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        classes: Sequence[Sequence[int]],
        blocks: bool = False,
        centre: Centre = "block",
    ) -> None:
        super().__init__()
        check_integer("features", features, "an integer of at least 1")
        check_integer("hidden", hidden, "an integer of at least 1")
        self.hidden = nn.Linear(features, hidden)
        self.output = OutputBlocks(hidden, classes, centre, apart=blocks)

    def use_blocks(self) -> None:
        """Split the output layer into blocks."""
        self.output.apart = True

    def set_task(self, task: int) -> None:
        """Tell the blocks which of them is trained."""
        self.output.set_task(task)

    def all_seen(self) -> AbstractContextManager[None]:
        """While held, train over all seen blocks, as :meth:`OutputBlocks.all_seen`; a plain layer always does."""
        return self.output.all_seen()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.hidden(x.flatten(1).to(self.hidden.weight.dtype)).relu()
        logits: Tensor = self.output(hidden)
        return logits


def check_classes(classes: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """The labels of each task, as tuples.

    Raises:
        ValueError: there is no task, a task has no label, or a label is negative, no integer, or named twice.
    """
    found = tuple(tuple(labels) for labels in classes)
    flat = [label for labels in found for label in labels]
    if not found or not all(found):
        raise ValueError(f"classes must hold at least one label for each of at least one task, got {found}")
    for label in flat:
        check_integer("classes", label, "labels, integers of at least 0")
        if label < 0 or flat.count(label) > 1:
            raise ValueError(f"classes must hold each label once, none below 0, got {label} in {found}")
    return found
