"""All samples of the data in one batch, in float64."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from steepest.diagnostics.lost_graph import widened
from steepest.diagnostics.samples import Samples


def in_double(samples: Samples) -> Samples:
    """The same samples, with float64 where there was lower precision."""
    inputs, targets = (tree_map(widened, part) for part in (samples.inputs, samples.targets))
    return Samples(inputs, targets, samples.count)


def joined(batches: Sequence[Samples]) -> Samples:
    """Batches as one.

    Raises:
        ValueError: their samples are not of one shape.
    """
    flat = [tree_flatten((b.inputs, b.targets)) for b in batches]
    structure = flat[0][1]
    has_rows = [place == 0 for place in tree_flatten(batches[0].per_sample)[0]]
    kinds = [[str(s), *map(_describe, found, has_rows)] for found, s in flat]
    for kind in kinds:
        if kind != kinds[0]:
            raise ValueError(f"data must give samples of one shape, got batches of {kinds[0][1:]} and {kind[1:]}")
    columns = zip(*(found for found, _ in flat), strict=True)
    whole = [torch.cat(column) if rows else column[0] for column, rows in zip(columns, has_rows, strict=True)]
    inputs, targets = tree_unflatten(whole, structure)
    return Samples(inputs, targets, sum(b.count for b in batches))


def picked(samples: Samples, rows: Tensor | slice, per_sample: tuple[Any, Any]) -> Samples:
    """Samples by their numbers; by a matrix of numbers, a matrix of samples. ``per_sample`` says what has rows."""
    inputs, targets = (
        tree_map(lambda leaf, place: leaf if place is None else leaf[rows], part, places)
        for part, places in zip((samples.inputs, samples.targets), per_sample, strict=True)
    )
    count = len(rows) if isinstance(rows, Tensor) else rows.stop - rows.start
    return Samples(inputs, targets, count)


def alone(inputs: Any, targets: Any, per_sample: tuple[Any, Any]) -> Samples:
    """One sample, as ``vmap`` gives it, as a batch of one."""
    one, its = (
        tree_map(lambda leaf, place: leaf if place is None else leaf.unsqueeze(0), part, places)
        for part, places in zip((inputs, targets), per_sample, strict=True)
    )
    return Samples(one, its, 1)


def _describe(leaf: Any, has_rows: bool) -> str:
    return f"{leaf.dtype} {tuple(leaf.shape[1:])}" if has_rows else str(leaf)
