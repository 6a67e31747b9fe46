"""A study's runs as TensorBoard event files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steepest._errors import InputError, StudyError, argument, require
from steepest.compare.analysis.summary import Summary
from steepest.compare.records.record import Record
from steepest.compare.results.tables import records_of
from steepest.compare.spec import Spec

CURVES = {"train_loss": "loss/training", "validation_loss": "loss/validation"}


def write_events(summaries: Sequence[Summary], into: Path) -> int:
    """Write every run's curves and hyperparameters for TensorBoard; returns how many runs were written.

    A run is a folder ``comparison/method/search-03`` or ``comparison/method/seed-1``. Its scalars stand over gradient
    evaluations; ``hparams`` has the method, the phase, the seed, the hyperparameters, and the last metrics.

    Args:
        into: a new or empty folder: events of an earlier call would be drawn on top.

    Raises:
        MissingExtraError: TensorBoard is not installed.
        InputError: the folder is not empty, or a file.
        StudyError: it cannot be written.
    """
    require("tensorboard", "tensorboard")
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise InputError(f"{argument('tensorboard')} must be a new or empty folder, got {str(into)!r}")
    folders = set[Path]()
    try:
        for summary in summaries:
            for record in records_of(summary):
                folder = _choose_free(
                    into / _make_plain(summary.spec.name) / _make_plain(record.method) / run_name(record), folders
                )
                _write(folder, summary.spec, record)
    except OSError as error:
        raise StudyError(f"the events could not be written to {str(into)!r} ({error.strerror})") from error
    return len(folders)


def _write(folder: Path, spec: Spec, record: Record) -> None:
    tensorboard: Any = require("torch.utils.tensorboard", "tensorboard")
    metric = spec.workload.metric_name
    with tensorboard.SummaryWriter(str(folder)) as writer:
        curve = record.curve or {}
        measured_on_the_way = {instrument.name: f"measured/{instrument.name}" for instrument in spec.series}
        columns = {**CURVES, "validation_metric": f"{metric}/validation", **measured_on_the_way}
        for column, tag in columns.items():
            for at, value in zip(curve.get("gradient_evaluations", []), curve.get(column, []), strict=False):
                if at is not None and value is not None:
                    writer.add_scalar(tag, value, int(at), walltime=record.finished)
        ends = {
            f"final/validation {metric}": record.validation_metric,
            f"final/test {metric}": record.test_metric,
            "final/evaluations to target": record.evaluations_to_target,
            **{f"final/{name}": value for name, value in record.measures.items()},
        }
        told = {"method": record.method, "phase": record.phase, "status": record.status, "seed": record.seed}
        measured = {tag: value for tag, value in ends.items() if value is not None}
        # SummaryWriter.add_hparams would put them in a run of their own.
        chosen = {
            name: value if isinstance(value, int | float | str) else str(value)
            for name, value in record.hyperparameters.items()
        }
        for event in tensorboard.summary.hparams({**told, **chosen}, measured):
            writer.file_writer.add_summary(event, walltime=record.finished)
        for tag, value in measured.items():
            writer.add_scalar(tag, value, record.gradient_evaluations or 0, walltime=record.finished)


def run_name(record: Record) -> str:
    """What a run is called beside its method: ``search-03``, ``seed-1``."""
    names = {"screen": f"short-{record.trial + 1:02}", "tune": f"search-{record.trial + 1:02}"}
    return names.get(record.phase, f"seed-{record.seed}")


def _make_plain(name: str) -> str:
    """Make a name fit to be part of a path."""
    return re.sub(r"[^\w.+=-]+", "-", name).strip(".") or "-"


def _choose_free(folder: Path, taken: set[Path]) -> Path:
    """Choose the folder, or one beside it if another run's name became the same path."""
    found, n = folder, 2
    while found in taken:
        found, n = folder.with_name(f"{folder.name}-{n}"), n + 1
    taken.add(found)
    return found
