"""What a step and an evaluation take on this machine, measured over a few."""

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from steepest.compare.spec import MethodSpec, Spec
from steepest.compare.spec.paying import Prices
from steepest.data import Split, Splits
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.method import Method
from steepest.training.definitions.recipe import Recipe
from steepest.training.definitions.schedule import SCHEDULES, Schedule
from steepest.training.definitions.workload import Workload
from steepest.training.loop.evaluate import evaluate
from steepest.training.train import train

_FEWEST_STEPS = 4  # that are timed
_ENOUGH_SECONDS = 0.5
_ROUNDS = 5  # in which the steps of all methods are timed in turn


class StepTimer:
    """Times short runs of a method at the first point of its search, with one validation each."""

    def __init__(self, spec: Spec, workload: Workload, splits: Splits, method: Method, frozen: MethodSpec) -> None:
        self._spec, self._workload, self._splits = spec, workload, splits
        self._size, self._point = spec.batch_size_of(frozen), spec.given(frozen) or spec.points(frozen)[0]
        whole = Assignment(workload, method, splits, self._point, spec.tuning_seed, spec.epochs, self._size)
        schedule = _begin_as_in(whole.legs[0].stop, method.schedule or SCHEDULES[spec.schedule])
        self._method = replace(whole.method, schedule=schedule)
        self._steps = _FEWEST_STEPS
        self._one = self._many = math.inf

    def begin(self, *, of_an_epoch: bool = False) -> None:
        """Find how many steps are worth timing, if need be no more than an epoch has."""
        self._time(1)  # libraries start up
        samples = len(self._splits.train) if of_an_epoch else sys.maxsize
        most = max(_FEWEST_STEPS, samples // (self._method.cost * self._size))
        while self._time(self._steps) < _ENOUGH_SECONDS and self._steps < most:
            self._steps = min(2 * self._steps, most)

    def measure(self) -> None:
        """Time a run of one step and one of many; what counts are the shortest so far, which others disturbed least."""
        self._one, self._many = min(self._one, self._time(1)), min(self._many, self._time(self._steps))

    @property
    def once(self) -> float:
        """The seconds of a run of one step, with its validation."""
        return self._one

    @property
    def step(self) -> float:
        """The seconds of a step."""
        return max(0.0, self._many - self._one) / (self._steps - 1)

    def _time(self, count: int) -> float:
        train_split = self._splits.train
        device = train_split.inputs.device
        samples = torch.arange(count * self._method.cost * self._size, dtype=torch.int64, device=device)
        few = train_split.at(samples % len(train_split))
        outcome = train(
            Assignment(
                self._workload,
                self._method,
                Splits(few, self._splits.validation, self._splits.test),
                self._point,
                seed=self._spec.tuning_seed,
                epochs=1,
                batch_size=self._size,
                recipe=Recipe(**self._spec.recipe),
            ),
            with_test=False,
        )
        return outcome.seconds


def seconds_of_evaluation(workload: Workload, model: nn.Module, split: Split) -> float:
    """Measure a pass over a split."""
    began = time.perf_counter()
    evaluate(workload, model, split)
    return time.perf_counter() - began


def measure_prices(
    spec: Spec, workload: Workload, splits: Splits, methods: Mapping[str, Method], baseline: str
) -> Prices:
    """Measure what a step of every method takes, all in turn, several times; the budget is what the baseline takes.

    Raises:
        Exception: whatever a method raises when it is run.
    """
    timers = {m.name: StepTimer(spec, workload, splits, methods[m.name], m) for m in spec.methods}
    for timer in timers.values():
        timer.begin()
    for timer in _ROUNDS * list(timers.values()):
        timer.measure()
    steps = {name: timer.step for name, timer in timers.items()}
    if lost := [name for name, seconds in steps.items() if seconds == 0]:
        raise RuntimeError(f"a step of {lost[0]} is lost in what else this machine does; try again when it does less")
    frozen = spec.method(baseline)
    own = spec.gradient_evaluations * spec.batch_size // spec.batch_size_of(frozen)
    return Prices(own // spec.cost(frozen) * steps[baseline], steps)


def _begin_as_in(steps: int, schedule: Schedule) -> Schedule:
    """Make a schedule whose controller is told of so many steps, whatever the run has."""
    make = schedule.controller
    return schedule if make is None else replace(schedule, controller=lambda optimizer, _: make(optimizer, steps))
