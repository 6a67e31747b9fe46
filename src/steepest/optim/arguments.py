"""What an argument of the family may be, and the sentence for one that it may not be."""

import math
import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

NOT_NEGATIVE = "a finite number of at least 0"
POSITIVE = "a finite number above 0"
BELOW_ONE = "in [0, 1)"
_HOLDS: dict[str, Callable[[Any], bool]] = {
    NOT_NEGATIVE: lambda value: 0 <= value < math.inf,
    POSITIVE: lambda value: 0 < value < math.inf,
    BELOW_ONE: lambda value: 0 <= value < 1,
}


def check_number(name: str, value: Any, wanted: str, *, or_none: bool = False) -> None:
    """Raise unless the value is a real number (of Python or NumPy, not a bool) in its range.

    Raises:
        ValueError: the sentence names the argument, the range and the value.

    Example:
        >>> check_number("lr", "1e-3", NOT_NEGATIVE)
        Traceback (most recent call last):
        ValueError: lr must be a finite number of at least 0, got '1e-3'
    """
    if or_none and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not _HOLDS[wanted](value):
        raise ValueError(f"{name} must be {'None or ' if or_none else ''}{wanted}, got {value!r}")


def check_lr(value: Any) -> None:
    """Raise unless the value is a learning rate: a number, or a real tensor of one element.

    Raises:
        ValueError: it is not, or it is negative or not finite.
    """
    if not isinstance(value, Tensor):
        check_number("lr", value, NOT_NEGATIVE)
        return
    if value.numel() != 1:
        raise ValueError(f"lr must be a number or a tensor of one element, got a tensor of shape {tuple(value.shape)}")
    if value.is_complex() or value.dtype == torch.bool or not (value.is_meta or 0 <= float(value) < math.inf):
        raise ValueError(f"lr must be {NOT_NEGATIVE}, got {value!r}")


def check_flag(name: str, value: Any, *, or_none: bool = False) -> None:
    """Raise unless the value is ``True`` or ``False``, which a string from a file is not.

    Raises:
        ValueError: the sentence names the argument and the value.
    """
    if not (isinstance(value, bool) or (or_none and value is None)):
        raise ValueError(f"{name} must be True{', False or None' if or_none else ' or False'}, got {value!r}")
