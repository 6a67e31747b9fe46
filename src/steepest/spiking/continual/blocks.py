"""An output layer that grows by a block of classes for each task, and a network with it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steepest.optim.arguments import check_choice, check_integer

Centre = Literal["block", "input", "none"]


class OutputBlocks(nn.Module):
    r"""One linear block of outputs for each task: logits (N, C) of all classes, at their own label numbers.

    In training mode only the block of the task that was set last has finite logits, and it counts as seen from then on.
    In evaluation mode the task is not told, whatever was set: all seen blocks together, each less its mean, and classes
    not yet seen 1 below the smallest of these, so that they never win and a loss stays finite. Before any task has been
    seen all logits are 0.

    Args:
        features: of the inputs (N, features).
        classes: the labels of each task, which no other task has. C is the largest label plus 1.
        centre: what is subtracted where blocks are put together: ``"block"``, the mean of a block's whole weight, and
            that of its biases; ``"input"``, the mean over its classes for each input feature and for the biases;
            ``"none"``, nothing.
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
    labels: Tensor
    """The labels in the order of the blocks."""

    def __init__(
        self,
        features: int,
        classes: Sequence[Sequence[int]],
        centre: Centre = "block",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_integer("features", features, "an integer of at least 1")
        check_choice("centre", centre, ("block", "input", "none"))
        self.sizes = [len(labels) for labels in check_classes(classes)]
        flat = [label for labels in classes for label in labels]
        self.centre, self.count = centre, max(flat) + 1
        self.blocks = nn.ModuleList(nn.Linear(features, size, device=device, dtype=dtype) for size in self.sizes)
        self.register_buffer("seen", torch.zeros(len(self.sizes), dtype=torch.bool, device=device))
        self.register_buffer("labels", torch.tensor(flat, dtype=torch.int64, device=device), persistent=False)
        self.task = 0
        self.together = False

    def set_task(self, task: int) -> None:
        """Train the block of this task from now on."""
        if not 0 <= task < len(self.sizes):
            raise ValueError(f"task must be from 0 to {len(self.sizes) - 1}, got {task!r}")
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
        if self.training and not self.together:
            self.seen[self.task] = True
            return self._spread([self.task], self.blocks[self.task](x), -torch.inf)
        tasks = [task for task, seen in enumerate(self.seen.tolist()) if seen]
        if not tasks:
            return x.new_zeros(len(x), self.count)
        logits = torch.cat([F.linear(x, *self._centred(task)) for task in tasks], dim=1)
        below = -torch.inf if self.training else logits.detach().amin(dim=1, keepdim=True) - 1
        return self._spread(tasks, logits, below)

    def _centred(self, task: int) -> tuple[Tensor, Tensor]:
        block = cast(nn.Linear, self.blocks[task])
        weight, bias = block.weight, block.bias
        if self.centre == "none":
            return weight, bias
        return weight - (weight.mean() if self.centre == "block" else weight.mean(dim=0)), bias - bias.mean()

    def _spread(self, tasks: Sequence[int], logits: Tensor, others: Tensor | float) -> Tensor:
        """Put the logits of some blocks to their labels, and ``others`` (N, 1) to all else."""
        every = logits.new_full((len(logits), self.count), 0.0) + others
        split = torch.split(self.labels, self.sizes)
        return every.index_copy(1, torch.cat([split[task] for task in tasks]), logits)


class ContinualNet(nn.Module):
    """One hidden layer of ReLU units, then a plain linear layer, or blocks: ``hidden`` and ``output``.

    The blocks begin at the rows of the plain layer, so that with the same seed both networks have the same weights.

    Args:
        features: of an input, whatever its shape; it may be bool.
        hidden: units.
        classes: the labels of each task.
        blocks: whether the output layer is an :class:`OutputBlocks`; else, until :meth:`use_blocks`, it is plain.
        centre: of the blocks.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> net = ContinualNet(4, 8, [(0, 1), (2, 3)])
        >>> net(torch.zeros(5, 2, 2)).shape
        torch.Size([5, 4])
    """

    output: nn.Module

    def __init__(
        self,
        features: int,
        hidden: int,
        classes: Sequence[Sequence[int]],
        blocks: bool = False,
        centre: Centre = "block",
    ) -> None:
        super().__init__()
        check_integer("hidden", hidden, "an integer of at least 1")
        check_choice("centre", centre, ("block", "input", "none"))
        self.classes = check_classes(classes)
        self.centre = centre
        self.hidden = nn.Linear(features, hidden)
        self.output = nn.Linear(hidden, 1 + max(max(labels) for labels in self.classes))
        if blocks:
            self.use_blocks()

    @torch.no_grad()
    def use_blocks(self) -> None:
        """Cut the plain output layer into blocks. Call it before an optimizer is made."""
        if not isinstance(plain := self.output, nn.Linear):
            return
        weight, bias = plain.weight, plain.bias
        made = OutputBlocks(plain.in_features, self.classes, self.centre, weight.device, weight.dtype)
        for block, labels in zip(made.blocks, self.classes, strict=True):
            own = cast(nn.Linear, block)
            own.weight.copy_(weight[list(labels)])
            own.bias.copy_(bias[list(labels)])
        self.output = made

    def set_task(self, task: int) -> None:
        """Tell the blocks which of them is trained; a plain layer does not want to know."""
        if isinstance(self.output, OutputBlocks):
            self.output.set_task(task)

    @contextmanager
    def all_seen(self) -> Iterator[None]:
        """While held, train over all seen blocks, as :meth:`OutputBlocks.all_seen`; a plain layer always does."""
        if isinstance(self.output, OutputBlocks):
            with self.output.all_seen():
                yield
        else:
            yield

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(self.hidden(x.flatten(1).to(self.hidden.weight.dtype)).relu())
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
