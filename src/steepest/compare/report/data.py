"""What the page's script reads: figures, tables and the curves of all runs, as one JSON text."""

from collections.abc import Mapping, Sequence
from typing import Any

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.records.record import Record
from steepest.compare.report.style import colours
from steepest.compare.results import tables
from steepest.page.data import figure_data, rounded, table_data
from steepest.page.figure import Figure
from steepest.page.table import Table


def suffix(index: int) -> str:
    """What tells the anchors of the comparisons of a page apart; the first keeps the plain ones."""
    return "" if index == 0 else f"-{index + 1}"


def page_data(
    summaries: Sequence[Summary], figures: Mapping[str, Figure], found: Mapping[str, Table], version: str
) -> dict[str, Any]:
    """All that is on the page beside its words.

    Args:
        figures: by their anchors.
        found: the tables that stand on the page, by theirs.
        version: of a live page, by which it knows a newer one.
    """
    return {
        "version": version,
        "figures": {key: figure_data(figure) for key, figure in figures.items()},
        "tables": {key: table_data(table, _filters(table)) for key, table in found.items()},
        "comparisons": [_comparison(summary, suffix(i)) for i, summary in enumerate(summaries)],
    }


def _filters(table: Table) -> tuple[str, str] | None:
    return ("method", "verdict") if "verdict" in table.columns else None


def _comparison(summary: Summary, anchor: str) -> dict[str, Any]:
    spec = summary.spec
    records = tables.records_of(summary)
    grids: dict[tuple[Any, ...], int] = {}  # runs of a method are measured at the same evaluations
    curves: list[list[Any] | None] = []
    for record in records:
        if record.curve is None:
            curves.append(None)
            continue
        at = tuple(spec.paid(record.method, n or 0) for n in record.curve["gradient_evaluations"])
        shown = ["validation_metric", "train_loss", *(instrument.name for instrument in spec.series)]
        drawn = [rounded(record.curve.get(what)) for what in shown]
        curves.append([grids.setdefault(at, len(grids)), *drawn])
    return {
        "suffix": anchor,
        "name": spec.name,
        "metric": spec.workload.metric_name,
        "percent": spec.workload.percent,
        "unit": spec.unit,
        "series": [instrument.label for instrument in spec.series],
        "methods": [method.name for method in spec.methods],
        "targets": [(target, tables.target_column(spec, target)) for target in spec.targets],
        "window": _find_window(curves, spec.workload.higher_is_better),
        "hyperparameters": tables.hyperparameters(summary),
        "colours": colours(summary),
        "chosen": {row.method.name: [r.trial for r in _chosen(row)] for row in summary.rows},
        "runs": table_data(tables.runs(summary)),
        "grids": [list(grid) for grid in grids],
        "curves": curves,
    }


def _chosen(row: Row) -> list[Record]:
    """List the runs of the search at the points that were chosen."""
    points = [r.hyperparameters for r in row.all_chosen or ([] if row.chosen is None else [row.chosen])]
    return [r for r in row.tuned if r.hyperparameters in points]


def _find_window(curves: Sequence[Any], higher_is_better: bool) -> list[float] | None:
    """Find the range of the small curves in the tables: the better nine tenths of all points."""
    points = sorted(x for curve in curves if curve is not None for x in curve[1] if x is not None)
    if not points:
        return None
    tenth = len(points) // 10
    low, high = (points[tenth], points[-1]) if higher_is_better else (points[0], points[-1 - tenth])
    return [low, high] if low < high else None
