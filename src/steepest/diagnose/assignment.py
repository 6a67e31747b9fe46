"""From what a user names to one run: workload, method, hyperparameters, budget."""

import math
from collections.abc import Mapping
from pathlib import Path

from steepest._errors import InputError, argument
from steepest.training.code.lookup import load_data, the_method, the_workload
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.method import Method
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.definitions.workload import Workload


def assignment_of(
    workload: str | Workload,
    method: str | Method,
    *,
    hyperparameters: Mapping[str, float],
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


def _complete(method: Method, given: Mapping[str, float]) -> dict[str, float]:
    """Complete what a user gave by the middle of each range."""
    if unknown := sorted(set(given) - set(method.space)):
        raise InputError(f"{method.name} has no hyperparameter {unknown[0]!r} to set; it has {', '.join(method.space)}")
    for name, value in given.items():
        if not math.isfinite(value) or (name == "lr" and value <= 0):
            raise InputError(f"{name} must be a finite number{' above 0' if name == 'lr' else ''}, got {value}")
    return {name: float(given.get(name, searched.middle)) for name, searched in method.space.items()}
