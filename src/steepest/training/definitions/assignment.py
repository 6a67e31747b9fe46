"""What a run is: everything that its result depends on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch

from steepest._version import __version__
from steepest.data import Splits
from steepest.training.definitions.budget import over_epochs, share_of, steps_in, steps_per_epoch
from steepest.training.definitions.method import Method
from steepest.training.definitions.ranks import Ranks
from steepest.training.definitions.recipe import PLAIN, Recipe
from steepest.training.definitions.schedule import SCHEDULES, Schedule
from steepest.training.definitions.workload import Workload


class Leg(NamedTuple):
    """The part of a run that is spent on one task: steps ``start`` to ``stop``, with ``per_epoch`` batches an epoch and
    so many gradient evaluations between two validations.

    Where the calls of a closure are counted these are calls, and not steps.
    """

    splits: Splits
    start: int
    stop: int
    per_epoch: int
    between_validations: float


@dataclass(frozen=True)
class Assignment:
    """One run: a workload, a method at a point of its search space, a seed and a budget.

    The budget is ``epochs`` times the batches of an epoch, counted in gradient evaluations: a method that pays two
    a step takes half the steps, one that evaluates the two halves of a batch at two points pays one. In a sequence of
    tasks each has a budget of its own, and the schedule begins anew with it. ``budgets`` are others, task by task, each
    with as many validations as there are epochs.

    Args:
        splits: the workload's data, on the device to train on; the model goes there too.
        hyperparameters: a value for every name of the method's search space that is searched at this point.
        seed: fixes initial weights, dropout and the order of the data, whatever the method; estimators draw from
            generators of their own.
        batch_size: samples per gradient evaluation.
        schedule: of the learning rate, unless the method has one of its own.
        parts: the run gets one of so many parts of the budget, with a complete schedule of that length, and validates
            once on every task, at its end.
        recipe: how all methods are trained; see :attr:`own_recipe`.
        budgets: of its tasks, in gradient evaluations, where they are not those of so many epochs.
    """

    workload: Workload
    method: Method
    splits: Splits
    hyperparameters: Mapping[str, Any]
    seed: int
    epochs: int
    batch_size: int
    schedule: Schedule = SCHEDULES["linear"]
    parts: int = 1
    recipe: Recipe = PLAIN
    budgets: tuple[int, ...] | None = None

    @property
    def own_recipe(self) -> Recipe:
        """The recipe of all methods, with what this one says otherwise."""
        return self.recipe.with_changes(self.method.recipe)

    def __post_init__(self) -> None:
        if self.method.batches_per_step == "epoch":
            counts = [steps_per_epoch(len(task.train), self.batch_size) for task in self.splits.tasks]
            object.__setattr__(self, "method", over_epochs(self.method, counts))

    @property
    def lr_schedule(self) -> Schedule:
        """The method's own schedule, or else the one of all methods."""
        return self.method.schedule or self.schedule

    @cached_property
    def legs(self) -> tuple["Leg", ...]:
        """The run's way through the tasks of its workload, most often one, each with ``epochs`` of its own.

        Raises:
            InputError: in one of them not one batch fits, or not one step can be paid.
        """
        found: list[Leg] = []
        for task in self.splits.tasks:
            per_epoch = steps_per_epoch(len(task.train), self.batch_size)
            start = found[-1].stop if found else 0
            whole = self.epochs * per_epoch if self.budgets is None else self.budgets[len(found)]
            steps = steps_in(share_of(whole, self.parts, self.method.cost), self.method)
            found.append(Leg(task, start, start + steps, per_epoch, whole / self.epochs))
        return tuple(found)

    @property
    def steps(self) -> int:
        """Steps that the method can pay for.

        Raises:
            InputError: not one.
        """
        return self.legs[-1].stop

    def identity(self, ranks: Ranks, instruments: Sequence[str] = ()) -> str:
        """A digest of what a checkpoint must share with a run that resumes from it; ``instruments`` by their names."""
        sizes = [tuple(split.inputs.shape) for split in self.splits]
        names = [self.workload.name, self.method.name, dict(self.hyperparameters)]
        run = [*names, self.seed, self.epochs, self.batch_size, self.lr_schedule.name, sizes, *instruments]
        run += [[leg.stop for leg in self.legs]] if len(self.legs) > 1 or self.parts > 1 or self.budgets else []
        run += [self.own_recipe.changes()] if self.own_recipe != PLAIN else []
        versions = [__version__, torch.__version__, self.splits.train.inputs.device.type, ranks.name]
        return hashlib.sha256(json.dumps([run, versions], sort_keys=True).encode()).hexdigest()
