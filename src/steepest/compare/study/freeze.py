"""From what a user asks for to a frozen specification."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from steepest._errors import InputError, argument
from steepest._machine import device_named
from steepest.compare.analysis.sequential import level
from steepest.compare.analysis.statistics import CONFIDENCE
from steepest.compare.identity.digests import Parts, digests_of_given, with_code
from steepest.compare.names import CHOICES
from steepest.compare.policy.pruners import PRUNERS
from steepest.compare.spec import (
    SCREEN,
    SEEDS_OF_ONE,
    TUNING_SEED,
    Spec,
    Stopping,
    StudySpec,
    number_of_finalists,
)
from steepest.compare.spec.stopping import looks
from steepest.compare.study.budgets import all_over_epochs, check_batch_size, check_own_sizes, with_prices
from steepest.compare.study.freezing import instrument_spec, load_checked, method_spec, workload_spec
from steepest.compare.study.refusals import (
    check_columns,
    check_given,
    check_given_point,
    check_instrument,
    check_model,
    check_once,
    check_positive,
    check_space,
    check_stages,
    check_strategy,
    check_targets,
)
from steepest.compare.study.request import Request
from steepest.compare.study.values import ALL
from steepest.training.code import loading
from steepest.training.code.lookup import reference_of, the_instrument, the_method, the_workload
from steepest.training.definitions.budget import steps_in, steps_per_epoch
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Domain
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.definitions.workload import Workload
from steepest.training.loop.functions import check_function
from steepest.training.loop.precision import check_precision
from steepest.training.process.state import ProcessState

T = TypeVar("T")
MORE_TUNING_SEEDS = 1_000_001  # the first of them, from the tuning seed on: no final run is ever on one


def freeze_study(request: Request, data_dir: Path | None = None) -> StudySpec:
    """Resolve what a user asked for into a specification; loads the data, to see that it is there and always the same.

    The global generators of torch, numpy and random are left as they were.

    Raises:
        InputError: any of it cannot be used.
    """
    loading.forget_changed()
    before = ProcessState()
    try:
        with redirect_stdout(sys.stderr):  # what the user's functions print is no part of a table
            return _frozen(request, data_dir)
    finally:
        before.restore()


def _frozen(request: Request, data_dir: Path | None) -> StudySpec:
    if not request.workloads:
        raise InputError(f"{argument('workloads')} must name at least one workload, got none")
    workloads = [(reference_of(w, "workload"), the_workload(w)) for w in request.workloads]
    names = [workload.name for _, workload in workloads]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"every workload must be given once, got {', '.join(duplicates)} more than once")
    methods = _methods(request)
    instruments = [(reference_of(i, "instrument"), the_instrument(i)) for i in request.measure]
    asked = {instrument.name for _, instrument in instruments}
    schedules = [method.schedule for _, method in methods if method.schedule is not None]
    brought = dict.fromkeys(name for schedule in schedules for name in schedule.measured if name not in asked)
    instruments += [(reference_of(name, "instrument"), the_instrument(name)) for name in brought]
    check_once("measure", [instrument.name for _, instrument in instruments], "instrument")
    for name, by_workload in (
        ("epochs", request.epochs),
        ("batch_size", request.batch_size),
        ("targets", request.targets),
    ):
        if unknown := sorted(set(by_workload) - {*names, ALL}):
            raise InputError(
                f"{argument(name)} names {unknown[0]!r}, which is not compared on; the workloads are {', '.join(names)}"
            )
    for name, value in (("trials", request.trials), ("seeds", request.seeds), ("tuning_seeds", request.tuning_seeds)):
        check_positive(name, value)
    check_stages(request)
    if request.values:
        check_given(request, [method.name for _, method in methods])
    if request.schedule not in SCHEDULES:
        raise InputError(f"{argument('schedule')} must be one of {', '.join(SCHEDULES)}, got {request.schedule!r}")
    if request.pruner is not None and request.pruner not in PRUNERS:
        raise InputError(f"{argument('pruner')} must be one of {', '.join(PRUNERS)}, got {request.pruner!r}")
    device = device_named(request.device)
    if request.strategy is not None:
        check_strategy(request, device, [instrument for _, instrument in instruments])
    for _, method in methods:
        check_precision(request.recipe.with_changes(method.recipe).precision, method, torch.device(device))
    parts: Parts = dict([*workloads, *methods, *instruments])
    if same := {reference for reference, _ in workloads} & {reference for reference, _ in methods}:
        raise InputError(f"a workload and a method are both {min(same)!r}; give one of them another name")
    given = {reference: digests_of_given(reference, part) for reference, part in parts.items()}
    found: list[Spec] = []
    for reference, workload in workloads:
        with loading.noting(reference):
            found += _make_comparisons(request, reference, workload, methods, instruments, device, data_dir)
    for spec in found:
        check_columns(spec)
    return with_code(StudySpec(tuple(found)), parts, given)


def _methods(request: Request) -> list[tuple[str, Method]]:
    methods = [(reference_of(m), the_method(m)) for m in request.methods]
    names = [method.name for _, method in methods]
    if not names:
        raise InputError(f"{argument('methods')} must name at least one method, got none")
    check_once("methods", names, "method")
    if unknown := sorted(set(request.space) - set(names)):
        where = argument("space", unknown[0])
        raise InputError(f"{where} names {unknown[0]!r}, which is not compared here; compared are {', '.join(names)}")
    if request.baseline is not None and request.baseline not in names:
        raise InputError(f"{argument('baseline')} must be one of {', '.join(names)}, got {request.baseline!r}")
    return [(reference, _with_space(method, request.space.get(method.name, {}))) for reference, method in methods]


def _with_space(method: Method, space: Mapping[str, Domain]) -> Method:
    try:
        return method.with_space(space)
    except ValueError as error:
        raise InputError(f"{argument('space', method.name)}: {error}") from error


def _of(by_workload: Mapping[str, T], workload: Workload, default: T) -> T:
    return by_workload.get(workload.name, by_workload.get(ALL, default))


def _make_comparisons(
    request: Request,
    reference: str,
    workload: Workload,
    methods: Sequence[tuple[str, Method]],
    instruments: Sequence[tuple[str, Instrument]],
    device: str,
    data_dir: Path | None,
) -> list[Spec]:
    """Make a workload's comparisons: one, or one for every batch size."""
    epochs = _of(request.epochs, workload, workload.epochs)
    batch_sizes = list(_of(request.batch_size, workload, [workload.batch_size])) or [workload.batch_size]
    targets = tuple(_of(request.targets, workload, [workload.target])) or (workload.target,)
    check_positive("epochs", epochs)
    for size in batch_sizes:
        check_positive("batch_size", size)
    check_once("batch_size", batch_sizes, "size")
    check_targets(workload, targets)
    splits, older_digest = load_checked(workload, data_dir)
    if workload.function is None:
        check_model(workload)
    else:
        for _, method in methods:
            check_function(workload, method, request.recipe, [instrument for _, instrument in instruments])
    check_own_sizes(request, [method for _, method in methods])
    for size in batch_sizes:
        for task in splits.tasks:
            budget = epochs * steps_per_epoch(len(task.train), size)
            for _, method in all_over_epochs(methods, splits, size):
                own = method.batch_size or size
                check_batch_size(own, method, request.ranks, request.recipe)
                if request.budget in ("evaluations", "samples"):  # the others pay for a step, or are measured later
                    steps_in(budget * size // own, method)
    for _, instrument in instruments:
        check_instrument(instrument, workload, splits)
    for _, method in methods:
        if (method.name in request.space or method.patterns) and workload.function is None:
            check_space(workload, method)
    frozen = replace(workload_spec(reference, workload, splits, targets[0]), data_sha256_before=older_digest)
    tuning_seed = TUNING_SEED + request.replication * SEEDS_OF_ONE
    final_seeds, stopping = _final_seeds(request, len(methods), tuning_seed)
    searches = len(final_seeds) if request.cover_search else 1
    first = tuning_seed + MORE_TUNING_SEEDS
    further = range(first, first + searches * request.tuning_seeds - 1)
    trials = 0 if request.values else request.trials
    screen = SCREEN if stopping is not None and trials > number_of_finalists(trials) + 1 else None
    scrambles = (tuning_seed, *further)[:: request.tuning_seeds]
    names = [method.name for _, method in methods]
    captions = {instrument.name: instrument.caption(workload, splits) for _, instrument in instruments}
    found = [
        Spec(
            name=workload.name if len(batch_sizes) == 1 else f"{workload.name}, batch {size}",
            workload=frozen,
            methods=tuple(method_spec(reference, method, request, scrambles) for reference, method in methods),
            baseline=request.baseline or ("sgd" if "sgd" in names else names[0]),
            trials=trials,
            tuning_seed=tuning_seed,
            seeds=final_seeds,
            epochs=epochs,
            batch_size=size,
            device=device,
            targets=targets,
            schedule=request.schedule,
            recipe=request.recipe.changes(),
            budget=request.budget,
            instruments=tuple(instrument_spec(reference, instrument) for reference, instrument in instruments),
            captions=captions,
            winner=bool(request.winner),
            pairs=bool(request.pairs),
            choice="best" if request.values else request.choice or CHOICES[0],
            sampler=request.sampler,
            pruner=request.pruner,
            strategy=request.strategy,
            ranks=request.ranks,
            screen=screen,
            finalists=number_of_finalists(request.trials) if screen or request.tuning_seeds > 1 else None,
            more_tuning_seeds=tuple(further),
            stopping=stopping,
            cover_search=request.cover_search,
        )
        for size in batch_sizes
    ]
    for spec in found if request.values else []:
        for _, method in methods:
            check_given_point(spec, workload, method)
    if request.budget == "seconds":
        found = [with_prices(spec, workload, splits.to(spec.device), dict(methods)) for spec in found]
    return found


def _final_seeds(request: Request, methods: int, tuning_seed: int) -> tuple[tuple[int, ...], Stopping | None]:
    """Find the seeds of the final runs and, where they may end early, when they are looked at."""
    stopping = None
    if request.stop_early:
        at = looks(request.seeds) if methods > 1 else (request.seeds,)
        stopping = Stopping(request.seeds, at, tuple(level((1 - CONFIDENCE) / n, at) for n in range(1, methods)))
    last = stopping.last if stopping else request.seeds
    return tuple(range(tuning_seed + 1, tuning_seed + 1 + last)), stopping
