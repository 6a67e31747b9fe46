"""What is measured in a run beside its loss and metric."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer

from steepest.data.splits import Splits
from steepest.training.definitions import fields
from steepest.training.definitions.outcome import CURVE
from steepest.training.definitions.workload import Workload


@dataclass(frozen=True)
class RunView:
    """A run as an instrument sees it, between two steps; ``model`` is in training mode, with its weights as they are
    evaluated."""

    workload: Workload
    splits: Splits
    model: nn.Module
    optimizer: Optimizer
    step: int
    gradient_evaluations: int
    task: int = 0  # of a sequence of tasks, ``splits.tasks``, counted from 0


@dataclass(frozen=True)
class Reading:
    """What an instrument says: ``value`` is ``None`` where there is none, and ``note`` says why, or that it is only
    near."""

    value: float | None
    note: str | None = None


def _without_caption(workload: Workload, splits: Splits) -> str:
    return ""


@dataclass(frozen=True)
class Instrument:
    """Something that is measured in a run beside its loss and metric; it brings its own column, or its own figure.

    What it costs is charged neither in gradient evaluations nor in seconds. It must leave the run as it was: the
    generators and the weights are put back behind it.

    Args:
        name: what a user writes after ``--measure``, and the name of its column or series.
        measure: called as ``measure(view)`` with a :class:`RunView`, on the first rank only; returns a number, a
            :class:`Reading`, or ``None`` for no value. An exception costs the value, not the run, and is told.
        when: ``"end"``: once, after a final run that neither diverged nor failed; the results have a column of it, with
            the median over the seeds. ``"validation"``: after every validation; the report has a figure of it.
        label: what the column or figure is called, if not by the name.
        number: how a value is written, as ``format`` takes it.
        description: one line.
        caption: called as ``caption(workload, splits)`` when a study is frozen: a sentence or two for the report.
        check: called as ``check(workload, splits)`` before a study begins; raises whatever says that the workload
            cannot be measured.
        in_search: whether the runs of the search are measured too, for those of every validation.
        whole_weights: whether it needs all weights, which no rank has with ``--strategy fsdp2``.

    Raises:
        ValueError: a field is not what it must be.

    Example:
        >>> def norm(view):
        ...     return sum(p.square().sum().item() for p in view.model.parameters()) ** 0.5
        >>> Instrument("weight-norm", norm, label="norm of the weights").when
        'end'
    """

    name: str
    measure: Callable[[RunView], float | Reading | None]
    when: Literal["end", "validation"] = "end"
    label: str = ""
    number: str = ".3g"
    description: str = ""
    caption: Callable[[Workload, Splits], str] = _without_caption
    check: Callable[[Workload, Splits], object] | None = None
    in_search: bool = False
    whole_weights: bool = True

    def __post_init__(self) -> None:
        fields.named("an instrument's name", self.name)
        if self.name in CURVE:
            raise ValueError(f"an instrument's name must be none of {', '.join(CURVE)}, got {self.name!r}")
        of = f"instrument {self.name!r}: "
        fields.function(f"{of}measure", self.measure, "of a steepest.compare.RunView")
        if not isinstance(self.when, str) or self.when not in ("end", "validation"):
            raise ValueError(f"{of}when must be 'end' or 'validation', got {self.when!r}")
        for name in ("label", "description"):
            fields.text(f"{of}{name}", getattr(self, name))
        try:
            format(0.0, fields.text(f"{of}number", self.number))
        except ValueError as error:
            raise ValueError(f"{of}number must be a format of a number, such as '.3g', got {self.number!r}") from error
        fields.function(f"{of}caption", self.caption, "of a workload and its splits")
        if self.check is not None:
            fields.function(f"{of}check", self.check, "of a workload and its splits")
        for name in ("in_search", "whole_weights"):
            fields.flag(f"{of}{name}", getattr(self, name))
        if self.in_search and self.when == "end":
            raise ValueError(f"{of}in_search needs when='validation'; at its end only a final run is measured")

    def read(self, view: RunView) -> Reading:
        """What it says now; whatever goes wrong in it is the note of a reading without value."""
        try:
            found: Any = self.measure(view)
            reading = found if isinstance(found, Reading) else Reading(found)
            value = None if reading.value is None else fields.number(f"what {self.name} measures", reading.value)
        except Exception as error:  # whatever a user's instrument raises: no reason to lose the run
            return Reading(None, f"{type(error).__name__}: {error}")
        if value is not None and not math.isfinite(value):
            return Reading(None, reading.note or f"it is {value}")
        return Reading(value, reading.note)
