"""From what a user names to one run: workload, method, hyperparameters, budget."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steepest._errors import InputError, argument
from steepest.training.code.lookup import load_data, the_method, the_workload
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.conditions import spell_conditions
from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Choice, Domain
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.definitions.space import active
from steepest.training.definitions.workload import Workload


def assignment_of(
    workload: str | Workload,
    method: str | Method,
    *,
    hyperparameters: Mapping[str, Any],
    seed: int,
    epochs: int | None,
    batch_size: int | None,
    schedule: str,
    device: str,
    data_dir: Path | None,
) -> Assignment:
    """One run, with its data on the device.

    What of the method's search space is not given stands in the middle of its range.

    Raises:
        InputError: something is unknown, out of range, or cannot be had.
    """
    found, how = the_workload(workload), the_method(method)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise InputError(f"{argument(name)} must be at least 1, got {value}")
    if schedule not in SCHEDULES:
        raise InputError(f"{argument('schedule')} must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
    splits = load_data(found, data_dir).to(device)
    assignment = Assignment(
        found,
        how,
        splits,
        _complete(how, hyperparameters),
        seed,
        epochs or found.epochs,
        batch_size or found.batch_size,
        SCHEDULES[schedule],
    )
    if assignment.steps < 1:
        raise InputError(f"{argument('epochs')} pays for no step of {how.name}")
    return assignment


def _complete(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete what a user gave by the middle of each range, and leave out what is not searched there."""
    if unknown := sorted(set(given) - set(method.space)):
        raise InputError(f"{method.name} has no hyperparameter {unknown[0]!r} to set; it has {', '.join(method.space)}")
    values = {name: _given(name, domain, given[name]) if name in given else domain.middle
              for name, domain in method.space.items()}  # fmt: skip
    found = active(method.space, values)
    if without := sorted(set(given) - set(found)):
        raise InputError(f"{method.name} has {without[0]!r} {spell_conditions(method.space[without[0]].when).strip()}")
    return found


def _given(name: str, domain: Domain, value: Any) -> Any:
    """Check a value, which may lie outside of its range."""
    if isinstance(domain, Choice):
        if not domain.holds(value):
            raise InputError(f"{name} must be one of {', '.join(map(str, domain.values))}, got {value}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name} must be a finite number{' above 0' if name == 'lr' else ''}, got {value}")
    if name == "lr" and value <= 0:
        raise InputError(f"{name} must be a finite number above 0, got {value}")
    if domain.integer and value % 1:
        raise InputError(f"{name} must be a whole number, got {value}")
    return int(value) if domain.integer else float(value)
