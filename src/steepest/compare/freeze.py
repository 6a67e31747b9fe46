"""From what a user asks for to a frozen specification."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from steepest._errors import InputError
from steepest.compare.lookup import find_method, find_workload, parts_of, source_digest
from steepest.compare.method import Method, Range
from steepest.compare.running.train import SHARPNESS_SAMPLES, batches_for_sharpness, steps_in, steps_per_epoch
from steepest.compare.schedule import SCHEDULES
from steepest.compare.spec import TUNING_SEED, MethodSpec, Spec, WorkloadSpec
from steepest.compare.workload import Workload
from steepest.data import Splits, as_split, data_folder
from steepest.diagnostics import largest_hessian_eigenvalue


def freeze(
    workload_reference: str,
    method_references: Sequence[str],
    *,
    trials: int,
    seeds: int,
    epochs: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    lr_ranges: dict[str, Range] | None = None,
    sharpness: bool = False,
    schedule: str = "linear",
) -> Spec:
    """Resolve what a user asked for into a specification; loads the data once, to see that it is there.

    Args:
        trials: points that every method tries, at least 1.
        seeds: final runs of every method, at least 1.
        epochs, batch_size: instead of the workload's own.
        device: ``"auto"`` (the GPU if there is one), or anything ``torch.device`` takes.
        lr_ranges: method name to the range of its lr, instead of its own.
        sharpness: measure it after every final run.
        schedule: of the learning rate, one of ``SCHEDULES``.

    Raises:
        InputError: any of it cannot be used.
    """
    for name, value in (("trials", trials), ("seeds", seeds), ("epochs", epochs), ("batch-size", batch_size)):
        if value is not None and value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")
    workload = find_workload(workload_reference)
    methods = [(reference, find_method(reference)) for reference in method_references]
    names = [method.name for _, method in methods]
    if not names:
        raise InputError("--methods must name at least one method, got none")
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"--methods must name each method once, got {', '.join(duplicates)} more than once")
    lr_ranges = lr_ranges or {}
    if unknown := sorted(set(lr_ranges) - set(names)):
        raise InputError(
            f"--lr-range names {unknown[0]!r}, which is not compared here; compared are {', '.join(names)}"
        )
    if schedule not in SCHEDULES:
        raise InputError(f"--schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
    resolved_device = _device(device)
    splits = load_data(workload, data_dir)
    batch_size = batch_size or workload.batch_size
    epochs = epochs or workload.epochs
    budget = epochs * steps_per_epoch(len(splits.train), batch_size)
    for _, method in methods:
        steps_in(budget, method)
        if batch_size < method.smallest_batch:
            raise InputError(
                f"{method.name} divides every batch and needs at least {method.smallest_batch} samples in it, got "
                f"batch size {batch_size}"
            )
    if sharpness:
        _check_sharpness(workload, splits)
    return Spec(
        workload=_workload_spec(workload_reference, workload, splits),
        methods=tuple(_method_spec(reference, method, lr_ranges.get(method.name)) for reference, method in methods),
        baseline="sgd" if "sgd" in names else names[0],
        trials=trials,
        tuning_seed=TUNING_SEED,
        seeds=tuple(range(TUNING_SEED + 1, TUNING_SEED + 1 + seeds)),
        epochs=epochs,
        batch_size=batch_size,
        device=resolved_device,
        schedule=schedule,
        sharpness_samples=min(SHARPNESS_SAMPLES, len(splits.train)) if sharpness else 0,
    )


def load_data(workload: Workload, data_dir: Path | None) -> Splits:
    """The workload's data.

    Raises:
        InputError: it cannot be had, or the user's function raises or returns something else.
    """
    try:
        return Splits(*(as_split(part) for part in workload.data(data_folder(data_dir))))
    except InputError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise InputError(
            f"the data of {workload.name!r} could not be loaded: {type(error).__name__}: {error}"
        ) from error


def _check_sharpness(workload: Workload, splits: Splits) -> None:
    """Whether the loss has a second derivative is better known before the first run than after the last."""
    try:
        batches = batches_for_sharpness(splits.train, 2)
        largest_hessian_eigenvalue(workload.model(), workload.loss, batches, iterations=1)
    except Exception as error:  # whatever the user's model raises
        raise InputError(
            f"--sharpness needs the second derivative of the loss of {workload.name!r}, and it cannot be had: "
            f"{type(error).__name__}: {error}"
        ) from error


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(wanted)
    except RuntimeError:
        raise InputError(f"--device must be auto, cpu, cuda, cuda:1, mps or the like, got {wanted!r}") from None
    try:
        torch.zeros(1, device=wanted).add_(1).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"--device {wanted!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return wanted


def _workload_spec(reference: str, workload: Workload, splits: Splits) -> WorkloadSpec:
    return WorkloadSpec(
        reference=_absolute(reference),
        name=workload.name,
        description=workload.description,
        train_samples=len(splits.train),
        validation_samples=len(splits.validation),
        test_samples=len(splits.test),
        target=workload.target,
        metric_name=workload.metric_name,
        higher_is_better=workload.higher_is_better,
        percent=workload.percent,
        source_sha256=source_digest(reference),
        data_sha256=_data_digest(splits),
    )


def _method_spec(reference: str, method: Method, lr_range: Range | None) -> MethodSpec:
    optimizer = method.optimizer
    return MethodSpec(
        reference=_absolute(reference),
        name=method.name,
        description=method.description,
        optimizer=f"{optimizer.__module__}.{getattr(optimizer, '__qualname__', type(optimizer).__qualname__)}",
        space={**method.space, **({"lr": lr_range} if lr_range else {})},
        # As JSON has it, so that a spec read back equals the one written.
        fixed=json.loads(json.dumps(dict(method.fixed), default=repr)),
        evaluations_per_step=method.cost,
        source_sha256=source_digest(reference),
        estimators=json.loads(json.dumps({e.name: dict(e.options) for e in method.estimators}, default=repr)),
    )


def _absolute(reference: str) -> str:
    parts = (part.rpartition(":") for part in parts_of(reference))
    return "+".join(
        f"{os.path.abspath(source)}:{name}" if source.endswith(".py") else source + colon + name
        for source, colon, name in parts
    )


def _data_digest(splits: Splits) -> str:
    digest = hashlib.sha256()
    for split in splits:
        for tensor in (split.inputs, split.targets):
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
