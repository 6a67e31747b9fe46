"""What cannot be used is refused before a study begins, in a sentence."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import torch

from steepest._errors import InputError, argument
from steepest.compare.analysis.sequential import MOST_SEEDS
from steepest.compare.analysis.summary import summarize
from steepest.compare.identity.checks import check_fresh_models
from steepest.compare.names import SAMPLERS
from steepest.compare.points import quasi_random_points
from steepest.compare.records.record import Record
from steepest.compare.results.columns import result_columns
from steepest.compare.spec import (
    TUNING_SEED,
    Spec,
)
from steepest.compare.study.request import TRIALS, Request
from steepest.data import Splits
from steepest.training.code.user_code import told
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Choice
from steepest.training.definitions.space import Space, active, names_at
from steepest.training.definitions.workload import Workload

T = TypeVar("T")


def check_stages(request: Request) -> None:
    """Refuse stages of a study that cannot be had together."""
    if request.stop_early and request.seeds > MOST_SEEDS:
        raise InputError(
            f"{argument('seeds')} must be at most {MOST_SEEDS} with {argument('stop_early')}, got {request.seeds}"
        )
    for name in ("stop_early", "cover_search"):
        if getattr(request, name) and request.pruner is not None:
            raise InputError(f"{argument('pruner')} is not to be had with {argument(name)}; leave one of them out")


def check_given(request: Request, methods: Sequence[str]) -> None:
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


def check_given_point(spec: Spec, workload: Workload, method: Method) -> None:
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


def check_once(name: str, values: Sequence[T], each: str) -> None:
    """Refuse a name that is given twice."""
    if duplicates := sorted({str(value) for value in values if values.count(value) > 1}):
        raise InputError(f"{argument(name)} must name each {each} once, got {', '.join(duplicates)} more than once")


def check_positive(name: str, value: int) -> None:
    """Refuse a number below 1."""
    if value < 1:
        raise InputError(f"{argument(name)} must be at least 1, got {value}")


def check_strategy(request: Request, device: str, instruments: Sequence[Instrument]) -> None:
    """Refuse a device or an instrument that runs on several ranks cannot have."""
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


def check_targets(workload: Workload, targets: Sequence[float]) -> None:
    """Refuse a target that no metric can reach."""
    for target in targets:
        if not math.isfinite(target) or (workload.percent and not 0 <= target <= 1):
            allowed = "a fraction from 0 to 1, such as 0.95 for 95 %" if workload.percent else "a finite number"
            raise InputError(
                f"{argument('targets')} of {workload.name}: {workload.metric_name} must be {allowed}, got {target:g}"
            )


def check_space(workload: Workload, method: Method) -> None:
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


def check_model(workload: Workload) -> None:
    """Refuse a model that cannot be built, or that is not the same from the same seed."""
    try:
        check_fresh_models(workload, TUNING_SEED)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise InputError(f"the model of {workload.name!r} could not be built: {told(error)}") from error


def check_instrument(instrument: Instrument, workload: Workload, splits: Splits) -> None:
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


def check_columns(spec: Spec) -> None:
    """Refuse an instrument whose column in the tables would take the place of another."""
    summary = summarize(spec, [])
    columns = Counter(name for column in result_columns(summary) for name in column.values(summary.rows[0]))
    taken = {field.name for field in dataclasses.fields(Record)}
    for name in (instrument.name for instrument in spec.instruments):
        if name in taken or any(columns[f"{name}{end}"] > 1 for end in ("", "_low", "_high")):
            raise InputError(
                f"{argument('measure')} has an instrument {name!r}, and so is a column of the results called; rename it"
            )
