"""What a run may spend, in gradient evaluations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steepest._errors import InputError

if TYPE_CHECKING:
    from steepest.training.definitions.method import Method


def steps_per_epoch(train_size: int, batch_size: int) -> int:
    """Whole batches in an epoch; the samples left over are not used in that epoch.

    Raises:
        InputError: not one batch fits.
    """
    if batch_size > train_size:
        raise InputError(f"batch size must be at most the {train_size} training samples, got {batch_size}")
    return train_size // batch_size


def steps_in(budget: int, method: "Method") -> int:
    """Steps that a method can pay for; calls of its closure, where these are counted.

    Raises:
        InputError: not one.
    """
    if budget < method.unit:
        raise InputError(
            f"{method.name} pays {method.unit} gradient evaluations a step, and a run has {budget}; give more epochs "
            "or a smaller batch size"
        )
    return budget // method.unit


def over_epochs(method: "Method", batches: Sequence[int]) -> "Method":
    """The method where the epochs of its tasks, most often one, have so many batches.

    Raises:
        InputError: a step takes all of an epoch, and they differ.
    """
    if method.batches_per_step == "epoch" and len(set(batches)) > 1:
        raise InputError(f"{method.name} takes all batches of an epoch for a step, and the tasks have {list(batches)}")
    return method.over(batches[0])


def share_of(budget: int, parts: int, cost: int) -> int:
    """One of so many parts of a budget, and what pays for a step at least, as far as the budget does.

    Example:
        >>> share_of(480, 8, 1), share_of(12, 8, 2), share_of(1, 8, 2)
        (60, 2, 1)
    """
    return budget if parts == 1 else min(budget, max(budget // parts, cost))
