"""What the page's script reads: figures, tables and the curves of all runs, as one JSON text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from steepest.compare.analysis.summary import Summary
from steepest.compare.report.figures import Figure
from steepest.compare.report.style import colours, label
from steepest.compare.results import tables
from steepest.compare.results.tables import Table
from steepest.compare.results.text import harmless

DRAWN = 5  # significant digits of what is only drawn: a screen shows four
MISS = "inf"  # JSON knows no infinity


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
        "figures": {key: _figure(figure) for key, figure in figures.items()},
        "tables": {key: _table(table) for key, table in found.items()},
        "comparisons": [_comparison(summary, suffix(i)) for i, summary in enumerate(summaries)],
    }


def to_json(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: "<" is the one character that could end it from inside a string."""
    return json.dumps(_harmless(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _comparison(summary: Summary, anchor: str) -> dict[str, Any]:
    spec = summary.spec
    records = tables.records_of(summary)
    grids: dict[tuple[Any, ...], int] = {}  # runs of a method are measured at the same evaluations
    curves: list[list[Any] | None] = []
    for record in records:
        if record.curve is None:
            curves.append(None)
            continue
        at = tuple(record.curve["gradient_evaluations"])
        drawn = [_rounded(record.curve[what]) for what in ("validation_metric", "train_loss")]
        curves.append([grids.setdefault(at, len(grids)), *drawn])
    return {
        "suffix": anchor,
        "name": spec.name,
        "metric": spec.workload.metric_name,
        "percent": spec.workload.percent,
        "methods": [method.name for method in spec.methods],
        "targets": [(target, tables.target_column(target)) for target in spec.targets],
        "window": _window(curves, spec.workload.higher_is_better),
        "hyperparameters": tables.hyperparameters(summary),
        "colours": colours(summary),
        "chosen": {row.method.name: row.chosen.trial for row in summary.rows if row.chosen is not None},
        "runs": _table(tables.runs(summary)),
        "grids": [list(grid) for grid in grids],
        "curves": curves,
    }


def _window(curves: Sequence[Any], higher_is_better: bool) -> list[float] | None:
    """The range of the small curves in the tables: the better nine tenths of all points."""
    points = sorted(x for curve in curves if curve is not None for x in curve[1] if x is not None)
    if not points:
        return None
    tenth = len(points) // 10
    low, high = (points[tenth], points[-1]) if higher_is_better else (points[0], points[-1 - tenth])
    return [low, high] if low < high else None


def _figure(figure: Figure) -> dict[str, Any]:
    plot = json.loads(figure.plot.to_json())
    plot["layout"].pop("template", None)
    drawn = plot["data"] if figure.exact else _rounded(plot["data"])
    rows = [(name, label(name)) for name in figure.rows]
    return {"data": drawn, "layout": plot["layout"], "switches": figure.switches, "rows": rows}


def _table(table: Table) -> dict[str, Any]:
    rows = [[MISS if value == float("inf") else value for value in row] for row in table.rows]
    return {"columns": table.columns, "rows": rows}


def _harmless(value: Any) -> Any:
    """The same with every text harmless to look at; names stay equal to each other."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, list | tuple):
        return [_harmless(item) for item in value]
    if isinstance(value, dict):
        return {_harmless(key): _harmless(item) for key, item in value.items()}
    return value


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DRAWN}g}")
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value
