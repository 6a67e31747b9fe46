"""The training samples that instruments look at."""

import torch
from torch import Tensor

from steepest._errors import InputError
from steepest.data.items import Items
from steepest.data.splits import Split

BATCH = 250  # a graph that is differentiated twice is kept for each


def batches_of(split: Split, samples: int, batch: int | None = None) -> list[tuple[Tensor, Tensor]]:
    """So many samples of a split, always the same: drawn at random, since data may come sorted by class.

    Raises:
        InputError: they have no inputs and targets.
    """
    if isinstance(split, Items):
        raise InputError("it is of outputs and targets, and this workload has a training_step of its own")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:samples].to(split.inputs.device)
    return [(split.inputs[chunk], split.targets[chunk]) for chunk in torch.split(order, batch or BATCH)]


def say_samples(used: int, there: int) -> str:
    """Which training samples were looked at, in words.

    Example:
        >>> say_samples(2000, 1000), say_samples(256, 55000)
        ('all 1,000 training samples', 'the same 256 of 55,000 training samples')
    """
    return f"all {there:,} training samples" if used >= there else f"the same {used:,} of {there:,} training samples"
