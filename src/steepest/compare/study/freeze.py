"""From what a user asks for to a frozen specification."""

import dataclasses
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from steepest._errors import InputError, argument
from steepest._machine import device_named
from steepest.compare.analysis.sequential import MOST_SEEDS, level
from steepest.compare.analysis.statistics import CONFIDENCE
from steepest.compare.analysis.summary import summarize
from steepest.compare.identity.checks import check_fresh_models, check_same_data
from steepest.compare.identity.digests import Parts, data_digest, digests_of_given, plain, with_code
from steepest.compare.names import CHOICES, SAMPLERS
from steepest.compare.points import before_asking, quasi_random_points
from steepest.compare.policy.pruners import PRUNERS
from steepest.compare.records.record import Record
from steepest.compare.results.columns import result_columns
from steepest.compare.spec import (
    SCREEN,
    TUNING_SEED,
    InstrumentSpec,
    MethodSpec,
    Spec,
    Stopping,
    StudySpec,
    WorkloadSpec,
    number_of_finalists,
)
from steepest.compare.spec.stopping import looks
from steepest.compare.study.request import TRIALS, Request
from steepest.compare.study.timing import measure_prices
from steepest.compare.study.values import ALL
from steepest.data import Splits, Tasks
from steepest.training.code import loading
from steepest.training.code.lookup import digest_of, load_data, reference_of, the_instrument, the_method, the_workload
from steepest.training.code.user_code import told
from steepest.training.definitions.budget import over_epochs, steps_in, steps_per_epoch
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Choice, Domain
from steepest.training.definitions.recipe import Recipe
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.definitions.space import Space, active, names_at
from steepest.training.definitions.workload import Workload
from steepest.training.loop.checkpoint import same
from steepest.training.loop.functions import check_function
from steepest.training.loop.precision import check_precision
from steepest.training.process.randomness import generator_states
from steepest.training.process.state import ProcessState

T = TypeVar("T")
_CHEAP_SECONDS = 2.0  # of loading data, which is then done twice
_CPU = torch.device("cpu")
MORE_TUNING_SEEDS = 1_000_001  # the first of them: no final run is ever on one


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
    _check_once("measure", [instrument.name for _, instrument in instruments], "instrument")
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
        _check_positive(name, value)
    _check_stages(request)
    if request.values:
        _check_given(request, [method.name for _, method in methods])
    if request.schedule not in SCHEDULES:
        raise InputError(f"{argument('schedule')} must be one of {', '.join(SCHEDULES)}, got {request.schedule!r}")
    if request.pruner is not None and request.pruner not in PRUNERS:
        raise InputError(f"{argument('pruner')} must be one of {', '.join(PRUNERS)}, got {request.pruner!r}")
    device = device_named(request.device)
    if request.strategy is not None:
        _check_strategy(request, device, [instrument for _, instrument in instruments])
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
        _check_columns(spec)
    return with_code(StudySpec(tuple(found)), parts, given)


def _check_stages(request: Request) -> None:
    if request.stop_early and request.seeds > MOST_SEEDS:
        raise InputError(
            f"{argument('seeds')} must be at most {MOST_SEEDS} with {argument('stop_early')}, got {request.seeds}"
        )
    for name in ("stop_early", "cover_search"):
        if getattr(request, name) and request.pruner is not None:
            raise InputError(f"{argument('pruner')} is not to be had with {argument(name)}; leave one of them out")


def _check_given(request: Request, methods: Sequence[str]) -> None:
    """Refuse what only a search has, and values that no method here has."""
    asked = {
        "trials": request.trials != TRIALS,
        "tuning_seeds": request.tuning_seeds > 1,
        "cover_search": request.cover_search,
        "sampler": request.sampler != SAMPLERS[0],
        "pruner": request.pruner is not None,
        "choice": request.choice is not None,
        "space": bool(request.space),
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise InputError(
                f"{argument(name)} is of a search, and with {argument('values')} there is none; leave it out"
            )
    for points in request.values.values():
        if missing := [name for name in methods if name not in points]:
            raise InputError(
                f"{argument('values')} must have values of every method, so that none is searched where others are "
                f"not; it has none of {missing[0]!r}"
            )


def _check_given_point(spec: Spec, workload: Workload, method: Method) -> None:
    """Refuse values that leave open what the method would search, or that its optimizer does not take."""
    point = spec.given(spec.method(method.name))
    if point is None:
        raise InputError(f"{argument('values')} has none for {spec.name}")
    if missing := sorted(names_at(method.space, point) - point.keys()):
        raise InputError(f"{argument('values')} of {method.name} must have {missing[0]!r}, which it searches")
    try:
        method.build(workload.model(), point)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever an optimizer raises
        raise InputError(
            f"{argument('values')} of {method.name}: its optimizer cannot be made from {', '.join(point)} "
            f"({type(error).__name__}: {error})"
        ) from error


def _methods(request: Request) -> list[tuple[str, Method]]:
    methods = [(reference_of(m), the_method(m)) for m in request.methods]
    names = [method.name for _, method in methods]
    if not names:
        raise InputError(f"{argument('methods')} must name at least one method, got none")
    _check_once("methods", names, "method")
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


def _check_once(name: str, values: Sequence[T], each: str) -> None:
    if duplicates := sorted({str(value) for value in values if values.count(value) > 1}):
        raise InputError(f"{argument(name)} must name each {each} once, got {', '.join(duplicates)} more than once")


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{argument(name)} must be at least 1, got {value}")


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
    _check_positive("epochs", epochs)
    for size in batch_sizes:
        _check_positive("batch_size", size)
    _check_once("batch_size", batch_sizes, "size")
    _check_targets(workload, targets)
    splits, older_digest = _load_checked(workload, data_dir)
    if workload.function is None:
        _check_model(workload)
    else:
        for _, method in methods:
            check_function(workload, method, request.recipe, [instrument for _, instrument in instruments])
    _check_own_sizes(request, [method for _, method in methods])
    for size in batch_sizes:
        for task in splits.tasks:
            budget = epochs * steps_per_epoch(len(task.train), size)
            for _, method in _over_epochs(methods, splits, size):
                own = method.batch_size or size
                _check_batch_size(own, method, request.ranks, request.recipe)
                if request.budget in ("evaluations", "samples"):  # the others pay for a step, or are measured later
                    steps_in(budget * size // own, method)
    for _, instrument in instruments:
        _check_instrument(instrument, workload, splits)
    for _, method in methods:
        if (method.name in request.space or method.patterns) and workload.function is None:
            _check_space(workload, method)
    frozen = replace(_workload_spec(reference, workload, splits, targets[0]), data_sha256_before=older_digest)
    final_seeds, stopping = _final_seeds(request, len(methods))
    searches = len(final_seeds) if request.cover_search else 1
    further = range(MORE_TUNING_SEEDS, MORE_TUNING_SEEDS + searches * request.tuning_seeds - 1)
    trials = 0 if request.values else request.trials
    screen = SCREEN if stopping is not None and trials > number_of_finalists(trials) + 1 else None
    scrambles = (TUNING_SEED, *further)[:: request.tuning_seeds]
    names = [method.name for _, method in methods]
    captions = {instrument.name: instrument.caption(workload, splits) for _, instrument in instruments}
    found = [
        Spec(
            name=workload.name if len(batch_sizes) == 1 else f"{workload.name}, batch {size}",
            workload=frozen,
            methods=tuple(_method_spec(reference, method, request, scrambles) for reference, method in methods),
            baseline=request.baseline or ("sgd" if "sgd" in names else names[0]),
            trials=trials,
            tuning_seed=TUNING_SEED,
            seeds=final_seeds,
            epochs=epochs,
            batch_size=size,
            device=device,
            targets=targets,
            schedule=request.schedule,
            recipe=request.recipe.changes(),
            budget=request.budget,
            instruments=tuple(_instrument_spec(reference, instrument) for reference, instrument in instruments),
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
            _check_given_point(spec, workload, method)
    if request.budget == "seconds":
        found = [_with_prices(spec, workload, splits.to(spec.device), dict(methods)) for spec in found]
    return found


def _with_prices(spec: Spec, workload: Workload, splits: Splits, methods: Mapping[str, Method]) -> Spec:
    """Measure what a step of each method takes.

    Raises:
        InputError: it cannot be measured, or the seconds pay for no step of a method.
    """
    by_name = {method.name: method for method in methods.values()}
    threads = torch.get_num_threads()
    torch.set_num_threads(spec.threads)
    try:
        priced = replace(spec, prices=measure_prices(spec, workload, splits, by_name, spec.baseline))
    except Exception as error:  # whatever the user's code raises
        raise InputError(f"a step on {workload.name!r} could not be timed: {told(error)}") from error
    finally:
        torch.set_num_threads(threads)
    for frozen in priced.methods:
        if min(priced.budgets(frozen)) < priced.cost(frozen):
            took = priced.paid(frozen.name, priced.cost(frozen))
            raise InputError(
                f"a step of {frozen.name} takes {took:.3g} seconds, and a run has {priced.whole:.3g}; give more epochs"
            )
    return priced


def _over_epochs(methods: Sequence[tuple[str, Method]], splits: Splits, size: int) -> list[tuple[str, Method]]:
    """List the methods as they are at a batch size."""
    found = []
    for reference, method in methods:
        batches = [steps_per_epoch(len(task.train), method.batch_size or size) for task in splits.tasks]
        found.append((reference, over_epochs(method, batches)))
    return found


def _check_own_sizes(request: Request, methods: Sequence[Method]) -> None:
    """Refuse to count evaluations of different sizes as equal."""
    counted = next((m for m in methods if m.counted), None)
    if counted is not None and request.budget == "steps":
        raise InputError(
            f"{argument('budget')} must not be in steps for {counted.name}, whose steps differ in what they take"
        )
    own = next((m for m in methods if m.batch_size is not None), None)
    if own is not None and request.budget == "evaluations":
        raise InputError(
            f"{argument('budget')} must be samples, steps or seconds for {own.name}, whose gradient evaluations are of "
            f"{own.batch_size:,} samples whatever the others' are, got evaluations"
        )


def _final_seeds(request: Request, methods: int) -> tuple[tuple[int, ...], Stopping | None]:
    """Find the seeds of the final runs and, where they may end early, when they are looked at."""
    stopping = None
    if request.stop_early:
        at = looks(request.seeds) if methods > 1 else (request.seeds,)
        stopping = Stopping(request.seeds, at, tuple(level((1 - CONFIDENCE) / n, at) for n in range(1, methods)))
    last = stopping.last if stopping else request.seeds
    return tuple(range(TUNING_SEED + 1, TUNING_SEED + 1 + last)), stopping


def _check_batch_size(batch_size: int, method: Method, ranks: int, recipe: Recipe) -> None:
    if batch_size % ranks:
        raise InputError(
            f"{argument('batch_size')} counts the samples of all {ranks} ranks and must divide by them, "
            f"got {batch_size}"
        )
    if batch_size < (fewest := ranks * method.smallest_batch):
        by = f" over {ranks} ranks" if ranks > 1 else ""
        raise InputError(
            f"{method.name} divides every batch{by} and needs at least {fewest} samples in it, got "
            f"batch size {batch_size}"
        )
    if batch_size < (pieces := fewest * recipe.with_changes(method.recipe).accumulate):
        raise InputError(
            f"{argument('accumulate')} cuts every batch of {method.name}, which must have at least {pieces} "
            f"samples for that, got batch size {batch_size}"
        )


def _check_strategy(request: Request, device: str, instruments: Sequence[Instrument]) -> None:
    if ":" in device or torch.device(device).type not in ("cpu", "cuda"):
        raise InputError(
            f"{argument('device')} must be cpu or cuda with {argument('strategy')}, which picks each rank's GPU, "
            f"got {device}"
        )
    whole = [instrument.name for instrument in instruments if instrument.whole_weights]
    if whole and request.strategy == "fsdp2":
        raise InputError(
            f"{argument('measure')} {whole[0]} is unavailable with {argument('strategy')} fsdp2, whose weights are in "
            f"parts; ddp can measure it"
        )


def _check_targets(workload: Workload, targets: Sequence[float]) -> None:
    for target in targets:
        if not math.isfinite(target) or (workload.percent and not 0 <= target <= 1):
            allowed = "a fraction from 0 to 1, such as 0.95 for 95 %" if workload.percent else "a finite number"
            raise InputError(
                f"{argument('targets')} of {workload.name}: {workload.metric_name} must be {allowed}, got {target:g}"
            )


def _check_space(workload: Workload, method: Method) -> None:
    """Refuse a hyperparameter that the optimizer does not take: that is better known before the first run."""
    for point in [quasi_random_points(method.space, 1)[0], *_points_of_choices(method.space)]:
        try:
            method.build(workload.model(), point)
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # whatever an optimizer raises
            made_from = ", ".join(
                f"{name}={value}" if isinstance(method.space[name], Choice) else name for name, value in point.items()
            )
            raise InputError(
                f"{argument('space', method.name)} of {method.name}: its optimizer cannot be made from {made_from} "
                f"({type(error).__name__}: {error})"
            ) from error


def _points_of_choices(space: Space) -> list[dict[str, Any]]:
    """List a point for each value that can be chosen, in the middle of all else."""
    middle = {name: domain.middle for name, domain in space.items()}
    return [
        point
        for name, domain in space.items()
        if isinstance(domain, Choice)
        for value in domain.values
        if name in (point := active(space, {**middle, name: value}))
    ]


def _load_checked(workload: Workload, data_dir: Path | None) -> tuple[Splits, str | None]:
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


def _check_model(workload: Workload) -> None:
    try:
        check_fresh_models(workload, TUNING_SEED)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise InputError(f"the model of {workload.name!r} could not be built: {told(error)}") from error


def _check_instrument(instrument: Instrument, workload: Workload, splits: Splits) -> None:
    """Refuse what cannot be measured: that is better known before the first run than after the last."""
    if instrument.check is None:
        return
    try:
        instrument.check(workload, splits)
    except (Exception, SystemExit) as error:  # whatever the user's model raises
        raise InputError(
            f"{argument('measure')} {instrument.name} is unavailable for {workload.name!r}: {type(error).__name__}: "
            f"{error}"
        ) from error


def _check_columns(spec: Spec) -> None:
    """Refuse an instrument whose column in the tables would take the place of another."""
    summary = summarize(spec, [])
    columns = Counter(name for column in result_columns(summary) for name in column.values(summary.rows[0]))
    taken = {field.name for field in dataclasses.fields(Record)}
    for name in (instrument.name for instrument in spec.instruments):
        if name in taken or any(columns[f"{name}{end}"] > 1 for end in ("", "_low", "_high")):
            raise InputError(
                f"{argument('measure')} has an instrument {name!r}, and so is a column of the results called; rename it"
            )


def _workload_spec(reference: str, workload: Workload, splits: Splits, target: float) -> WorkloadSpec:
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


def _method_spec(reference: str, method: Method, request: Request, scrambles: Sequence[int]) -> MethodSpec:
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


def _instrument_spec(reference: str, instrument: Instrument) -> InstrumentSpec:
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
