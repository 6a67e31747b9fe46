"""What rounding takes from a weight that is moved and moved back, kept in about a byte."""

from typing import NamedTuple

import torch
from torch import Tensor

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Rest(NamedTuple):
    """What is missing of a weight once its noise is subtracted again: a small integer, or the weight itself."""

    steps: Tensor  # int8, in units of the last place
    far: Tensor  # flat indices of the elements that are further off
    values: Tensor  # their weights


def rest_of(weight: Tensor, nearly: Tensor) -> Rest:
    """What ``nearly`` lacks of ``weight``, counted in steps from one number to the next; both real, of one shape."""
    bits = _BITS[weight.element_size()]
    steps = weight.contiguous().view(bits) - nearly.contiguous().view(bits)  # wraps around, and so does the way back
    far = ((steps > 127) | (steps < -128)).flatten().nonzero().squeeze(1)
    return Rest(steps.to(torch.int8), far, weight.flatten()[far])


def undo(weight: Tensor, nearly: Tensor, rest: Rest) -> None:
    """Write into ``weight`` what :func:`rest_of` was given, bit for bit, from the same ``nearly``.

    Example:
        >>> weight = torch.tensor([1.0, 1e-9])
        >>> moved = weight + 0.3
        >>> rest = rest_of(weight, moved - 0.3)
        >>> undo(moved, moved - 0.3, rest)
        >>> torch.equal(moved, weight)
        True
    """
    bits = _BITS[weight.element_size()]
    exact = (nearly.contiguous().view(bits) + rest.steps).view(weight.dtype)
    exact.view(-1)[rest.far] = rest.values
    weight.copy_(exact)
