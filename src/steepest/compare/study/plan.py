"""What a study would cost, before anything of it runs."""

import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from steepest.compare.analysis.expected import Expected, expected_finals
from steepest.compare.records.errors import summary
from steepest.compare.spec import Spec, StudySpec
from steepest.compare.study.timing import StepTimer, seconds_of_evaluation
from steepest.data import Splits
from steepest.training.code.lookup import Given, load_data, the_method, the_workload
from steepest.training.definitions.workload import Workload
from steepest.training.process.state import ProcessState

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


def make_plan(
    study: StudySpec,
    *,
    jobs: int,
    data_dir: Path | None,
    given: Given | None = None,
    progress: Callable[[str], object] | None = None,
) -> Plan:
    """Count the study's runs, and time a few steps of every method in this process.

    Args:
        study: what is planned.
        jobs: that it would run side by side.
        data_dir: where data sets lie.
        given: workloads and methods that are objects of this process.
        progress: is told what is done now, in a few words.

    Raises:
        InputError: the data cannot be loaded.
    """
    before = ProcessState()
    found: list[MethodPlan] = []
    tell = progress or (lambda _: None)
    startup = _seconds_of_imports()
    try:
        for spec in study.comparisons:
            workload = the_workload(spec.workload.reference, given)
            tell(f"{spec.name}: loading its data")
            began = time.perf_counter()
            splits = load_data(workload, data_dir).to(spec.device)
            startup += 2 * (time.perf_counter() - began)  # by the command, and again by its workers
            expected = expected_finals(spec) if spec.stopping else None
            for number, method in enumerate(spec.methods, 1):
                tell(f"{spec.name}: timing {method.name}, {number} of {len(spec.methods)} methods")
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
        batch_size=spec.batch_size_of(frozen),
        per_run=spec.spent(frozen),
        in_full=(spec.seeds_asked if spec.cover_search else 1) * spec.trials + spec.seeds_asked,
        seconds=None,
        screens=spec.most("screen"),
        short=spec.spent(frozen, "screen"),
        fewest=spec.stopping.looks[0] if spec.stopping else None,
        expected=expected,
        searches=spec.searches,
    )
    try:
        timer = StepTimer(spec, workload, splits, method, frozen)
        timer.begin(of_an_epoch=True)
        timer.measure()
        timer.measure()
        validation, test = 0.0, 0.0  # those of a function are among its steps
        if workload.function is None:
            model = workload.model().to(splits.train.inputs.device)
            validation, test = (seconds_of_evaluation(workload, model, s) for s in (splits.validation, splits.test))
        whole = timer.once + (steps - 1) * timer.step + (min(spec.epochs, steps) - 1) * validation
        return replace(plan, seconds=whole, test_seconds=test)
    except Exception:  # whatever the user's code raises: the study's runs would fail alike
        return replace(plan, failure=summary(traceback.format_exc()).removeprefix("steepest._errors."))
