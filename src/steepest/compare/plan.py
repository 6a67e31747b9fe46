"""What a study would cost, before anything of it runs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from steepest.compare.freeze import load_data
from steepest.compare.given import Given, the_method, the_workload
from steepest.compare.method import Method
from steepest.compare.running.train import evaluate, train
from steepest.compare.schedule import SCHEDULES
from steepest.compare.spec import Spec, StudySpec
from steepest.compare.workload import Workload
from steepest.data import Split, Splits

_FEWEST_STEPS = 4  # that are timed
_ENOUGH_SECONDS = 0.5


@dataclass(frozen=True)
class MethodPlan:
    """One method's share in a comparison. ``seconds`` of a run are measured over a few steps; ``None`` where they fail,
    with why."""

    workload: str
    name: str
    trials: int
    finals: int
    steps: int  # of a run
    batch_size: int
    gradient_evaluations: int  # of all runs
    seconds: float | None
    failure: str | None = None

    @property
    def runs(self) -> int:
        return self.trials + self.finals


@dataclass(frozen=True)
class Plan:
    """What a study would cost."""

    methods: Sequence[MethodPlan]
    jobs: int

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
        return sum(method.runs * (method.seconds or 0.0) for method in self.methods) / self.jobs


def make_plan(study: StudySpec, *, jobs: int, data_dir: Path | None, given: Given | None = None) -> Plan:
    """Count the study's runs, and time a few steps of every method in this process.

    Raises:
        InputError: the data cannot be loaded.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(study.threads)
    found: list[MethodPlan] = []
    try:
        for spec in study.comparisons:
            workload = the_workload(spec.workload.reference, given)
            splits = load_data(workload, data_dir).to(spec.device)
            found += [_method_plan(spec, workload, splits, m.name, given) for m in spec.methods]
    finally:
        torch.set_num_threads(threads)
    return Plan(found, jobs)


def _method_plan(spec: Spec, workload: Workload, splits: Splits, name: str, given: Given | None) -> MethodPlan:
    frozen = spec.method(name)
    method = the_method(frozen.reference, given)
    steps = spec.gradient_evaluations // method.cost
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
        return replace(plan, seconds=_seconds_of_a_run(spec, workload, splits, method, point, steps))
    except Exception as error:  # whatever the user's code raises: the study's runs would fail alike
        return replace(plan, failure=f"{type(error).__name__}: {error}")


def _seconds_of_a_run(
    spec: Spec, workload: Workload, splits: Splits, method: Method, point: dict[str, float], steps: int
) -> float:
    def timed(count: int) -> float:
        """A run of so many steps, with one validation."""
        samples = torch.arange(count * method.cost * spec.batch_size, device=splits.train.inputs.device)
        few = Split(*(tensor[samples % len(splits.train)] for tensor in (splits.train.inputs, splits.train.targets)))
        outcome = train(
            workload,
            method,
            splits._replace(train=few),
            point,
            seed=spec.tuning_seed,
            epochs=1,
            batch_size=spec.batch_size,
            with_test=False,
            schedule=SCHEDULES[spec.schedule],
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
    started = time.perf_counter()
    evaluate(workload, workload.model().to(splits.train.inputs.device), splits.validation)
    validation = time.perf_counter() - started
    return once + (steps - 1) * step + (min(spec.epochs, steps) - 1) * validation
