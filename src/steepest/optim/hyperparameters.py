"""What the hyperparameters that methods have in common may be."""

import math
from typing import Any

import torch
from torch import Tensor

from steepest.optim.arguments import check_flag, check_number

_NOT_NEGATIVE = "a finite number of at least 0"


def check_common(group: dict[str, Any]) -> None:
    """Raise unless ``lr``, ``momentum``, ``weight_decay`` and the flags of a group are what they may be.

    Raises:
        ValueError: the sentence names the argument, what it may be, and its value.
    """
    check_lr(group["lr"])
    check_number("momentum", group["momentum"], "in [0, 1)", lambda momentum: 0 <= momentum < 1)
    check_number("weight_decay", group["weight_decay"], _NOT_NEGATIVE, lambda decay: 0 <= decay < math.inf)
    for name in ("nesterov", "decoupled_weight_decay", "maximize", "kahan_sum"):
        check_flag(name, group[name])
    for name in ("foreach", "fused"):
        if group[name] is not None and not isinstance(group[name], bool):
            raise ValueError(f"{name} must be True, False or None, got {group[name]!r}")


def check_lr(lr: Any) -> None:
    """Raise unless it is a learning rate: a number, or a real tensor of one element.

    Raises:
        ValueError: it is not, or it is negative or not finite.

    Example:
        >>> check_lr("1e-3")
        Traceback (most recent call last):
        ...
        ValueError: lr must be a finite number of at least 0, got '1e-3'
    """
    if not isinstance(lr, Tensor):
        check_number("lr", lr, _NOT_NEGATIVE, lambda value: 0 <= value < math.inf)
        return
    if lr.numel() != 1:
        raise ValueError(f"lr must be a number or a tensor of one element, got a tensor of shape {tuple(lr.shape)}")
    if lr.is_complex() or lr.dtype == torch.bool or not (lr.is_meta or 0 <= float(lr) < math.inf):
        raise ValueError(f"lr must be {_NOT_NEGATIVE}, got {lr!r}")


def check_positive(name: str, value: object) -> None:
    """Raise unless the value is finite and above 0.

    Raises:
        ValueError: the sentence names the argument and the value.
    """
    check_number(name, value, "a finite number above 0", lambda number: 0 < number < math.inf)
