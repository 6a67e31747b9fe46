"""What a study would cost, before anything of it runs."""

import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from steepest.compare.analysis.expected import Expected, expected_finals
from steepest.compare.records.errors import summary
from steepest.compare.spec import Spec, StudySpec
from steepest.data import Split, Splits
from steepest.training.code.lookup import Given, load_data, the_method, the_workload
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.method import Method
from steepest.training.definitions.recipe import Recipe
from steepest.training.definitions.schedule import SCHEDULES, Schedule
from steepest.training.definitions.workload import Workload
from steepest.training.loop.evaluate import evaluate
from steepest.training.process.state import ProcessState
from steepest.training.train import train

_FEWEST_STEPS = 4  # that are timed
_ENOUGH_SECONDS = 0.5
_BETWEEN_RUNS = 0.01  # of the command, which writes a record down and hands out the next run


@dataclass(frozen=True)
class MethodPlan:
    """One method's share in a comparison. ``seconds`` of a run, with its validations, are measured over a few steps;
    ``None`` where they fail, with why. ``test_seconds`` come on top of a final run.

    Where a study stops early, ``screens`` are short runs, of ``short`` gradient evaluations each, ``finals`` the most
    that there can be, ``fewest`` the least, and ``expected`` how many there are in the mean. In full the study would
    have ``in_full`` runs.
    """

    workload: str
    name: str
    trials: int
    finals: int
    steps: int  # of a run
    batch_size: int
    per_run: int  # gradient evaluations
    in_full: int
    seconds: float | None
    test_seconds: float = 0.0
    failure: str | None = None
    screens: int = 0
    short: int = 0
    fewest: int | None = None
    expected: Expected | None = None
    searches: int = 1

    @property
    def runs(self) -> int:
        """At most."""
        return self.screens + self.trials + self.finals

    @property
    def gradient_evaluations(self) -> int:
        """Of all runs, at most."""
        return self.with_finals(self.finals)

    @property
    def fewest_evaluations(self) -> int:
        """Of all runs, at least."""
        return self.with_finals(self.finals if self.fewest is None else self.fewest)

    def with_finals(self, finals: float) -> int:
        """The gradient evaluations with so many final runs, which have searches of their own if the verdict covers
        them."""
        share = finals / self.finals if self.searches > 1 else 1.0
        return round(share * (self.screens * self.short + self.trials * self.per_run) + finals * self.per_run)


@dataclass(frozen=True)
class Plan:
    """What a study would cost. Before its first run it takes ``startup`` seconds, for imports and data."""

    methods: Sequence[MethodPlan]
    jobs: int
    startup: float = 0.0

    @property
    def runs(self) -> int:
        return sum(method.runs for method in self.methods)

    @property
    def gradient_evaluations(self) -> int:
        return sum(method.gradient_evaluations for method in self.methods)

    @property
    def fewest_evaluations(self) -> int:
        return sum(method.fewest_evaluations for method in self.methods)

    @property
    def evaluations_in_full(self) -> int:
        """Of the same search and seeds, were nothing short and nothing stopped."""
        return sum(method.in_full * method.per_run for method in self.methods)

    @property
    def samples(self) -> int:
        return sum(method.gradient_evaluations * method.batch_size for method in self.methods)

    @property
    def seconds(self) -> float:
        """Of the whole study, if its jobs do not slow each other; of the methods that could be timed."""
        timed = [method for method in self.methods if method.seconds is not None]
        in_runs = sum(
            (m.screens * m.short / m.per_run + m.trials + m.finals) * (m.seconds or 0.0) + m.finals * m.test_seconds
            for m in timed
        )
        return self.startup + in_runs / self.jobs + _BETWEEN_RUNS * sum(m.runs for m in timed)


def make_plan(study: StudySpec, *, jobs: int, data_dir: Path | None, given: Given | None = None) -> Plan:
    """Count the study's runs, and time a few steps of every method in this process.

    Raises:
        InputError: the data cannot be loaded.
    """
    before = ProcessState()
    found: list[MethodPlan] = []
    startup = _seconds_of_imports()
    try:
        for spec in study.comparisons:
            workload = the_workload(spec.workload.reference, given)
            began = time.perf_counter()
            splits = load_data(workload, data_dir).to(spec.device)
            startup += 2 * (time.perf_counter() - began)  # by the command, and again by its workers
            expected = expected_finals(spec) if spec.stopping else None
            for method in spec.methods:
                before.restore()
                torch.set_num_threads(study.shared.threads)
                found.append(_method_plan(spec, workload, splits, method.name, given, expected))
    finally:
        before.restore()
    return Plan(found, jobs, startup)


def _seconds_of_imports() -> float:
    """Measure what the command and its workers, one after the other, need before they can do anything, in seconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch._dynamo"], capture_output=True, check=False)
    return 2 * (time.perf_counter() - began)


def _method_plan(
    spec: Spec, workload: Workload, splits: Splits, name: str, given: Given | None, expected: Expected | None
) -> MethodPlan:
    frozen = spec.method(name)
    method = the_method(frozen.reference, given)
    steps = spec.steps(frozen)
    plan = MethodPlan(
        workload=spec.name,
        name=name,
        trials=spec.most("tune"),
        finals=len(spec.seeds),
        steps=steps,
        batch_size=spec.batch_size,
        per_run=spec.spent(frozen),
        in_full=(spec.seeds_asked if spec.cover_search else 1) * spec.trials + spec.seeds_asked,
        seconds=None,
        screens=spec.most("screen"),
        short=spec.spent(frozen, "screen"),
        fewest=spec.stopping.looks[0] if spec.stopping else None,
        expected=expected,
        searches=spec.searches,
    )
    point = spec.given(frozen) or spec.points(frozen)[0]
    try:
        seconds, test_seconds = _time_run(spec, workload, splits, method, point, steps)
        return replace(plan, seconds=seconds, test_seconds=test_seconds)
    except Exception:  # whatever the user's code raises: the study's runs would fail alike
        return replace(plan, failure=summary(traceback.format_exc()).removeprefix("steepest._errors."))


def _time_run(
    spec: Spec, workload: Workload, splits: Splits, method: Method, point: dict[str, Any], steps: int
) -> tuple[float, float]:
    """Measure the seconds of a run without a test, and of the test."""

    recipe = Recipe(**spec.recipe)
    whole = Assignment(workload, method, splits, point, spec.tuning_seed, spec.epochs, spec.batch_size)
    method = whole.method
    schedule = _begin_as_in(whole.legs[0].stop, method.schedule or SCHEDULES[spec.schedule])

    def timed(count: int) -> float:
        """Time a run of so many steps, with one validation."""
        samples = torch.arange(
            count * method.cost * spec.batch_size, dtype=torch.int64, device=splits.train.inputs.device
        )
        few = splits.train.at(samples % len(splits.train))
        outcome = train(
            Assignment(
                workload,
                replace(method, schedule=schedule),
                Splits(few, splits.validation, splits.test),
                point,
                seed=spec.tuning_seed,
                epochs=1,
                batch_size=spec.batch_size,
                recipe=recipe,
            ),
            with_test=False,
        )
        return outcome.seconds

    timed(1)  # libraries start up
    once = min(timed(1) for _ in range(3))
    most = max(_FEWEST_STEPS, len(splits.train) // (method.cost * spec.batch_size))
    more, took = _FEWEST_STEPS, timed(_FEWEST_STEPS)
    while took < _ENOUGH_SECONDS and more < most:
        more = min(2 * more, most)
        took = timed(more)
    step = max(0.0, took - once) / (more - 1)
    model = workload.model().to(splits.train.inputs.device)
    validation, test = (_seconds_of_evaluation(workload, model, split) for split in (splits.validation, splits.test))
    return once + (steps - 1) * step + (min(spec.epochs, steps) - 1) * validation, test


def _begin_as_in(steps: int, schedule: Schedule) -> Schedule:
    """Make a schedule whose controller is told of so many steps, whatever the run has."""
    make = schedule.controller
    return schedule if make is None else replace(schedule, controller=lambda optimizer, _: make(optimizer, steps))


def _seconds_of_evaluation(workload: Workload, model: nn.Module, split: Split) -> float:
    began = time.perf_counter()
    evaluate(workload, model, split)
    return time.perf_counter() - began
