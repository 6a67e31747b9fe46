"""The columns of what is tested beside: other metrics, and what stopping early would have come to."""

import statistics
from collections.abc import Sequence

from steepest.compare.analysis.summary import Row
from steepest.compare.results.columns.parts import RowColumn, some
from steepest.compare.results.formats import NONE, format_metric, format_metric_name
from steepest.compare.spec import Spec
from steepest.page.table import Cell, Column, Plain, Value


def other_columns(rows: Sequence[Row]) -> list[RowColumn]:
    """The mean over the final runs of each metric that the workload has beside the study's own."""
    names = dict.fromkeys(name for row in rows for record in row.finals for name in record.other_metrics)
    return [_other(name) for name in names]


def _other(name: str) -> RowColumn:
    def mean(row: Row) -> float | None:
        found = [record.other_metrics[name] for record in row.finals if name in record.other_metrics]
        return statistics.fmean(found) if found else None

    def shown(row: Row) -> str:
        return NONE if (value := mean(row)) is None else f"{value:.4g}"

    column = (Plain(f"test {name}", shown),)
    return Column(
        by=f"test_{name}",
        values=lambda row: {f"test_{name}": mean(row)},
        heading=f"Test {name}",
        under="mean",
        cell=lambda row: Cell(shown(row)),
        markdown=column,
        terminal=column,
    )


def best_column(spec: Spec) -> RowColumn:
    """The mean test metric at the weights of each final run's best validation, and the median of when that was."""
    metric = format_metric_name(spec)

    def values(row: Row) -> dict[str, Value]:
        tested = [r.best_test_metric for r in row.finals if r.best_test_metric is not None]
        at = [r.best_at for r in row.finals if r.best_at is not None and r.best_test_metric is not None]
        return {
            "best_test_metric": statistics.fmean(tested) if tested else None,
            "best_at": statistics.median(at) if at else None,
        }

    def mean(row: Row) -> str:
        value = values(row)["best_test_metric"]
        return format_metric(spec, value) if isinstance(value, float) else NONE

    def when(row: Row) -> str:
        at = values(row)["best_at"]
        if not isinstance(at, int | float):
            return ""
        return f"at {spec.paid(row.method.name, at) / spec.whole:.0%} of the budget"

    return Column(
        by="best_test_metric",
        values=values,
        heading=f"Test {metric} of the best",
        under="validation of each run; median of when",
        cell=lambda row: Cell(mean(row), some(when(row))),
        markdown=(
            Plain(f"test {metric} of the best validation", mean),
            Plain("when", lambda row: when(row).removeprefix("at ")),
        ),
        terminal=(Plain("of the best", mean),),
    )
