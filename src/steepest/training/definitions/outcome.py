"""What a run came to, and what was seen on its way."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CURVE = ("gradient_evaluations", "train_loss", "validation_loss", "validation_metric")


class Curve(dict[str, list[Any]]):
    """Named series: what was seen at each validation, in lists of equal length.

    ``gradient_evaluations``, ``train_loss`` (the mean since the validation before), ``validation_loss`` and
    ``validation_metric`` are always there; instruments add theirs, in which ``None`` stands for no value.
    """

    def __init__(self, series: Mapping[str, Sequence[Any]] | Iterable[tuple[str, Sequence[Any]]] = ()) -> None:
        super().__init__({name: [] for name in CURVE})
        self.update({name: list(values) for name, values in dict(series).items()})

    def note(self, **seen: float | None) -> None:
        """Add what was seen at a validation.

        Example:
            >>> curve = Curve()
            >>> curve.note(gradient_evaluations=5, train_loss=0.7, validation_loss=0.8, validation_metric=0.6, lr=0.1)
            >>> curve["validation_metric"], curve["lr"]
            ([0.6], [0.1])
        """
        for name, value in seen.items():
            self.setdefault(name, []).append(value)


@dataclass
class Outcome:
    """The result of a run.

    ``gradient_evaluations`` counts gradients of one batch; ``samples`` the training samples behind them, each as often
    as it was evaluated; ``evaluations_to_target`` is ``None`` if the validation metric never reached the target.
    ``measures`` is what instruments measured at its end, ``None`` for no value; ``notes`` says why, or that a value is
    only near, by the instrument's name. In a sequence of tasks ``task_matrix`` is the validation metric after each task
    (row) on all of them (columns), and ``test_metrics`` the test metric on each at the end. ``pruned``: it was stopped
    before its budget was spent, and was not tested. ``weights``: it began from these, as
    :func:`~.run.initial_weights` has them. ``other_metrics`` are those on the test data beside the study's own, by
    their names. Where a recipe keeps the best weights, ``best_at`` are the gradient evaluations at the best validation,
    and ``best_test_metric`` is the test metric there.
    """

    diverged: bool
    gradient_evaluations: int
    samples: int
    evaluations_to_target: int | None
    validation_loss: float | None
    validation_metric: float | None
    test_loss: float | None
    test_metric: float | None
    curve: Curve
    seconds: float
    measures: dict[str, float | None] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    task_matrix: list[list[float]] | None = None
    test_metrics: list[float] | None = None
    pruned: bool = False
    weights: str | None = None
    other_metrics: dict[str, float] = field(default_factory=dict)
    best_at: int | None = None
    best_test_metric: float | None = None


@dataclass(frozen=True)
class Progress:
    """What is known after a validation; ``fraction`` of the run is finished. ``train_loss`` is the mean since the
    validation before."""

    fraction: float
    gradient_evaluations: int
    validation_metric: float
    validation_loss: float = math.nan
    train_loss: float = math.nan
    validations: int = 0  # so far, this one among them
