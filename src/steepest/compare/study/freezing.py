"""Data, workloads, methods and instruments as they are when a study begins."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from steepest.compare.identity.checks import check_same_data
from steepest.compare.identity.digests import data_digest, plain
from steepest.compare.names import SAMPLERS
from steepest.compare.points import before_asking, quasi_random_points
from steepest.compare.spec import (
    InstrumentSpec,
    MethodSpec,
    WorkloadSpec,
)
from steepest.compare.study.request import Request
from steepest.data import Splits, Tasks
from steepest.training.code.lookup import digest_of, load_data
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.method import Method
from steepest.training.definitions.workload import Workload
from steepest.training.loop.checkpoint import same
from steepest.training.process.randomness import generator_states

_CHEAP_SECONDS = 2.0  # of loading data, which is then done twice
_CPU = torch.device("cpu")


def load_checked(workload: Workload, data_dir: Path | None) -> tuple[Splits, str | None]:
    """Load the workload's data, twice where that is cheap or where it draws random numbers; a worker looks again. Find
    their digest as older versions made it, with all threads, where that is cheap.

    Raises:
        InputError: it cannot be had, or differs from call to call.
    """
    random, started = generator_states(_CPU), time.perf_counter()
    splits = load_data(workload, data_dir)
    cheap = time.perf_counter() - started < _CHEAP_SECONDS
    if cheap or not same(random, generator_states(_CPU)):
        check_same_data(workload.name, splits, load_data(workload, data_dir))
    threads = torch.get_num_threads()
    return splits, data_digest(load_data(workload, data_dir, threads)) if cheap and threads > 1 else None


def workload_spec(reference: str, workload: Workload, splits: Splits, target: float) -> WorkloadSpec:
    """A workload as it is now."""
    return WorkloadSpec(
        reference=reference,
        name=workload.name,
        description=workload.description,
        train_samples=len(splits.train),
        validation_samples=len(splits.validation),
        test_samples=len(splits.test),
        target=target,
        metric_name=workload.metric_name,
        higher_is_better=workload.higher_is_better,
        percent=workload.percent,
        source_sha256=digest_of(reference),
        data_sha256=data_digest(splits),
        tasks=tuple(len(task.train) for task in splits.tasks) if isinstance(splits, Tasks) else (),
        is_function=workload.function is not None,
    )


def method_spec(reference: str, method: Method, request: Request, scrambles: Sequence[int]) -> MethodSpec:
    """A method as it is now, with the points that its search begins with."""
    optimizer, whole = method.optimizer, method.batches_per_step == "epoch"
    count = request.trials if request.sampler == SAMPLERS[0] else before_asking(method.space, request.trials)
    points, *more_points = (
        tuple(quasi_random_points(method.space, count, seed)) if not request.values else () for seed in scrambles
    )
    return MethodSpec(
        reference=reference,
        name=method.name,
        description=method.description,
        optimizer=f"{optimizer.__module__}.{getattr(optimizer, '__qualname__', type(optimizer).__qualname__)}",
        space=dict(method.space),
        # As JSON has it, so that a spec read back equals the one written.
        fixed=json.loads(json.dumps(dict(method.fixed), default=plain)),
        evaluations_per_step=method.evaluations_per_batch if whole else method.cost,
        whole_epochs=whole,
        source_sha256=digest_of(reference),
        estimators=json.loads(json.dumps({e.name: dict(e.options) for e in method.estimators}, default=plain)),
        points=points,
        more_points=tuple(more_points),
        schedule=None if method.schedule is None else method.schedule.description or method.schedule.name,
        recipe=dict(method.recipe),
        batch_size=method.batch_size,
        counted=method.counted,
        values={where: dict(of[method.name]) for where, of in request.values.items()},
    )


def instrument_spec(reference: str, instrument: Instrument) -> InstrumentSpec:
    """An instrument as it is now."""
    return InstrumentSpec(
        reference=reference,
        name=instrument.name,
        label=instrument.label or instrument.name,
        when=instrument.when,
        number=instrument.number,
        in_search=instrument.in_search,
        source_sha256=digest_of(reference),
        description=instrument.description,
    )
