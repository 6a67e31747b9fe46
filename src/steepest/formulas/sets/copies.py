"""Near-duplicates among symbols, turned copies included; and parts of a set that have none in common."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from steepest._errors import InputError
from steepest.formulas.sets.symbol_set import SymbolSet
from steepest.formulas.sets.turning import rotations, transform

ALIKE = 0.96
TURNS = tuple(range(-9, 10, 3))
"""Degrees that a copy may be turned by."""
_AT_A_TIME = 64


def group_copies(images: NDArray[np.uint8], alike: float = ALIKE) -> NDArray[np.int64]:
    """The group (N,) of each image: 0, 1, ... in the order of their first.

    The first image that is in no group makes one, with all that are left and look like it: blurred over 5 pixels, as
    they are or with it turned by up to 9 degrees, the cosine of the angle between them is at least ``alike``. Strokes
    as simple as "-" are alike without being copies; they too make groups.

    Args:
        images: ``uint8`` (N, 28, 28) of 0 and 1.

    Example:
        >>> one, other = np.zeros((2, 28, 28), dtype=np.uint8)
        >>> one[:, 9:19], other[9:19] = 1, 1
        >>> group_copies(np.stack([one, other, one])).tolist()
        [0, 1, 0]
    """
    count = len(images)
    pixels = torch.as_tensor(images, dtype=torch.float64, device="cpu")
    flat = _blurred(pixels)
    maps = rotations(torch.tensor(TURNS, dtype=pixels.dtype, device=pixels.device))
    groups = np.full(count, -1, dtype=np.int64)
    found = 0
    for start in range(0, count, _AT_A_TIME):
        leaders = start + np.flatnonzero(groups[start : start + _AT_A_TIME] < 0)
        if not len(leaders):
            continue
        turned = transform(pixels[leaders].repeat_interleave(len(maps), dim=0), maps.repeat(len(leaders), 1, 1))
        cosines = (_blurred(turned) @ flat[start:].T).view(len(leaders), len(maps), -1).amax(dim=1)
        near = (cosines >= alike).numpy()
        for leader, its in zip(leaders.tolist(), near, strict=True):
            if groups[leader] < 0:
                rest = groups[start:]
                rest[its & (rest < 0)] = found
                groups[leader] = found
                found += 1
    return groups


def _blurred(images: Tensor) -> Tensor:
    """Blur twice by 1 2 1 both ways; returns rows (N, pixels) of norm 1."""
    for _ in range(2):
        x = F.pad(images, [1] * 4)
        x = x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]
        images = x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]
    return F.normalize(images.flatten(1), dim=1)


def folds(symbols: SymbolSet, count: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """The fold (N,) of each symbol, 0 to ``count - 1``: copies in the same one, every class spread over all.

    Raises:
        ValueError: ``count`` is not from 2 to the number of symbols.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> some = SymbolSet((rng.random((10, 28, 28)) < 0.5).astype(np.uint8), ["a", "b"] * 5)
        >>> [sorted(some.labels[i] for i in np.flatnonzero(folds(some) == k)) for k in range(5)]
        [['a', 'b'], ['a', 'b'], ['a', 'b'], ['a', 'b'], ['a', 'b']]
    """
    if type(count) is not int or not 2 <= count <= len(symbols):
        raise ValueError(f"count must be an integer from 2 to the {len(symbols)} symbols, got {count!r}")
    rng = np.random.default_rng(seed)
    fold = np.zeros(len(symbols), dtype=np.int64)
    whole = np.zeros(count, dtype=np.int64)
    for members in groups_by_class(symbols).values():
        filled = np.zeros(count, dtype=np.int64)
        for k in _in_random_order(members, rng):
            least = np.lexsort((whole, filled))[0]
            fold[members[k]] = least
            filled[least] += len(members[k])
            whole[least] += len(members[k])
    return fold


def hold_out_symbols(symbols: SymbolSet, share: float, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the rest, and of about ``share`` of each class with all copies of what is in it.

    Of a class whose symbols are all copies of one another nothing is held out.

    Raises:
        InputError: there is no class of which something can be held out.
    """
    rng = np.random.default_rng(seed)
    out = np.zeros(len(symbols), dtype=bool)
    for members in groups_by_class(symbols).values():
        wanted, size = max(1, round(share * sum(map(len, members)))), sum(map(len, members))
        held = 0
        for k in _in_random_order(members, rng)[::-1]:  # the smallest groups first
            if held < wanted and held + len(members[k]) < size and (held == 0 or held + len(members[k]) <= wanted):
                out[members[k]] = True
                held += len(members[k])
    if not out.any():
        raise InputError(
            f"a set to train on must hold, of one class at least, two symbols that are no copies of each other, got "
            f"{len(symbols)} symbols"
        )
    return np.flatnonzero(~out), np.flatnonzero(out)


def groups_by_class(symbols: SymbolSet) -> dict[str, list[NDArray[np.int64]]]:
    """Of each class its groups of copies, as indices."""
    was = np.array(symbols.labels, dtype="U1")
    found = {}
    for label in symbols.counts():
        its = np.flatnonzero(was == label)
        groups = group_copies(symbols.images[its])
        found[label] = [its[groups == k] for k in range(groups.max() + 1)]
    return found


def _in_random_order(members: Sequence[NDArray[np.int64]], rng: np.random.Generator) -> list[int]:
    """Order groups at random, the largest first."""
    return sorted(rng.permutation(len(members)).tolist(), key=lambda k: -len(members[k]))
