"""A column for each task of a sequence."""

import statistics

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.analysis.tasks import final_metrics, forgetting, learnt_metrics
from steepest.compare.results.columns.parts import RowColumn, some
from steepest.compare.results.formats import NONE, format_metric, format_metric_name, format_size
from steepest.compare.spec import Spec
from steepest.page.table import Cell, Column, Plain, Value


def task_columns(summary: Summary) -> list[RowColumn]:
    """What is known of each task at the end, and what was when it had been learnt; empty for a workload of one task."""
    return [_task(summary.spec, task) for task in range(len(summary.spec.workload.tasks))]


def _task(spec: Spec, task: int) -> RowColumn:
    name = f"task_{task + 1}"

    def values(row: Row) -> dict[str, Value]:
        return {name: _mean(final_metrics(row, task)), f"{name}_learnt": _mean(learnt_metrics(row, task))}

    def when_learnt(row: Row) -> str:
        found = _mean(learnt_metrics(row, task))
        return "" if found is None else f"{format_metric(spec, found)} when learnt"

    return Column(
        by=name,
        values=values,
        heading=f"Task {task + 1}",
        under=f"test {format_metric_name(spec)} at the end",
        cell=lambda row: Cell(format_metric(spec, _mean(final_metrics(row, task))), some(when_learnt(row))),
        markdown=(
            Plain(f"task {task + 1}", lambda row: format_metric(spec, _mean(final_metrics(row, task)))),
            Plain("when learnt", lambda row: format_metric(spec, _mean(learnt_metrics(row, task)))),
        ),
    )


def forgetting_column(spec: Spec) -> RowColumn:
    """How much of the earlier tasks was lost."""

    def values_of(row: Row) -> list[float]:
        return [value for record in row.finals if (value := forgetting(spec, record)) is not None]

    def values(row: Row) -> dict[str, Value]:
        found = values_of(row)
        low, high = min(found, default=None), max(found, default=None)
        return {"forgetting": _mean(found), "forgetting_low": low, "forgetting_high": high}

    def mean(row: Row) -> str:
        found = _mean(values_of(row))
        return NONE if found is None else f"{'-' if found < 0 else ''}{format_size(spec, found)}"

    return Column(
        by="forgetting",
        values=values,
        heading="Forgetting",
        under="from the best on each earlier task, mean",
        cell=lambda row: Cell(mean(row)),
        markdown=(Plain("forgetting", mean),),
        terminal=(Plain("forgetting", mean),),
    )


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None
