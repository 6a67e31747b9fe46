"""What a study would cost, before anything of it runs."""

import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from steepest.compare.records.errors import summary
from steepest.compare.spec import Spec, StudySpec
from steepest.data import Split, Splits
from steepest.training.code.lookup import Given, load_data, the_method, the_workload
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.method import Method
from steepest.training.definitions.schedule import SCHEDULES
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
    ``None`` where they fail, with why. ``test_seconds`` come on top of a final run."""

    workload: str
    name: str
    trials: int
    finals: int
    steps: int  # of a run
    batch_size: int
    gradient_evaluations: int  # of all runs
    seconds: float | None
    test_seconds: float = 0.0
    failure: str | None = None

    @property
    def runs(self) -> int:
        return self.trials + self.finals


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
    def samples(self) -> int:
        return sum(method.gradient_evaluations * method.batch_size for method in self.methods)

    @property
    def seconds(self) -> float:
        """Of the whole study, if its jobs do not slow each other; of the methods that could be timed."""
        timed = [method for method in self.methods if method.seconds is not None]
        in_runs = sum(m.runs * (m.seconds or 0.0) + m.finals * m.test_seconds for m in timed)
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
            for method in spec.methods:
                before.restore()
                torch.set_num_threads(study.shared.threads)
                found.append(_method_plan(spec, workload, splits, method.name, given))
    finally:
        before.restore()
    return Plan(found, jobs, startup)


def _seconds_of_imports() -> float:
    """Measure what the command and its workers, one after the other, need before they can do anything, in seconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch._dynamo"], capture_output=True, check=False)
    return 2 * (time.perf_counter() - began)


def _method_plan(spec: Spec, workload: Workload, splits: Splits, name: str, given: Given | None) -> MethodPlan:
    frozen = spec.method(name)
    method = the_method(frozen.reference, given)
    steps = spec.steps(frozen)
    runs = spec.trials + len(spec.seeds)
    plan = MethodPlan(
        workload=spec.name,
        name=name,
        trials=spec.trials,
        finals=len(spec.seeds),
        steps=steps,
        batch_size=spec.batch_size,
        gradient_evaluations=runs * steps * method.cost,
        seconds=None,
    )
    point = spec.points(frozen)[0]
    try:
        seconds, test_seconds = _time_run(spec, workload, splits, method, point, steps)
        return replace(plan, seconds=seconds, test_seconds=test_seconds)
    except Exception:  # whatever the user's code raises: the study's runs would fail alike
        return replace(plan, failure=summary(traceback.format_exc()).removeprefix("steepest._errors."))


def _time_run(
    spec: Spec, workload: Workload, splits: Splits, method: Method, point: dict[str, float], steps: int
) -> tuple[float, float]:
    """Measure the seconds of a run without a test, and of the test."""

    def timed(count: int) -> float:
        """Time a run of so many steps, with one validation."""
        samples = torch.arange(
            count * method.cost * spec.batch_size, dtype=torch.int64, device=splits.train.inputs.device
        )
        few = Split(*(tensor[samples % len(splits.train)] for tensor in (splits.train.inputs, splits.train.targets)))
        outcome = train(
            Assignment(
                workload,
                method,
                Splits(few, splits.validation, splits.test),
                point,
                seed=spec.tuning_seed,
                epochs=1,
                batch_size=spec.batch_size,
                schedule=SCHEDULES[spec.schedule],
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


def _seconds_of_evaluation(workload: Workload, model: nn.Module, split: Split) -> float:
    began = time.perf_counter()
    evaluate(workload, model, split)
    return time.perf_counter() - began
