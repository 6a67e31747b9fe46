"""What a run came to, and what was seen on its way."""

import math
from dataclasses import dataclass, field


@dataclass
class Curve:
    """What was seen at each evaluation; lists of equal length."""

    gradient_evaluations: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)  # mean since the evaluation before
    validation_loss: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)


@dataclass
class Outcome:
    """The result of a run.

    ``gradient_evaluations`` counts gradients of one batch; ``samples`` the training samples behind them, each as often
    as it was evaluated; ``evaluations_to_target`` is ``None`` if the validation metric never reached the target.
    ``sharpness`` is ``None`` if it was not asked for or could not be measured; ``sharpness_note`` says why, or that the
    value is only near. ``pruned``: it was stopped before its budget was spent, and was not tested. ``weights``: it
    began from these, as :func:`~.run.initial_weights` has them.
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
    sharpness: float | None = None
    sharpness_note: str | None = None
    pruned: bool = False
    weights: str | None = None


@dataclass(frozen=True)
class Progress:
    """What is known after a validation; ``fraction`` of the run is finished. ``train_loss`` is the mean since the
    validation before."""

    fraction: float
    gradient_evaluations: int
    validation_metric: float
    validation_loss: float = math.nan
    train_loss: float = math.nan
