"""A study's numbers as CSV files, in full precision."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from steepest._errors import InputError, StudyError, argument
from steepest._files import write_atomically
from steepest.compare.analysis.summary import Summary
from steepest.compare.results import tables
from steepest.page.table import Table, Value
from steepest.page.text import csv_cell
from steepest.training.definitions.conditions import is_word
from steepest.training.definitions.outcome import CURVE


def export_csv(summaries: Sequence[Summary], into: Path) -> list[Path]:
    """Write ``final.csv``, ``runs.csv`` and ``curves.csv``; returns their paths. Files of these names are replaced.

    ``final.csv`` has a row a comparison and method, as the report's results; ``runs.csv`` one a run, ``curves.csv`` one
    a point of a run's curve. ``values.csv`` has the chosen values alone, as ``steepest compare --values`` takes them,
    once every search is over, unless each seed has one. Where the study compares every two methods ``pairs.csv`` has a
    row for each; of a sequence of tasks ``tasks.csv`` has one for each task after each of them. All begin with the
    comparison's name; those of runs share ``method``, ``phase`` and ``trial``. Metrics are fractions where the report
    shows percent; what is missing is empty, a missed target ``inf``. A text that a spreadsheet takes for a formula,
    such as a name that begins with ``=``, has an apostrophe first.

    Args:
        into: a folder, made if it is not there.

    Raises:
        InputError: there is a file in the folder's place.
        StudyError: it cannot be written.
    """
    found = {
        "final.csv": final_table(summaries),
        "runs.csv": run_table(summaries),
        "curves.csv": _join(summaries, [_curves(summary) for summary in summaries]),
    }
    if chosen := _chosen_rows(summaries):
        found["values.csv"] = chosen
    if any(summary.spec.pairs for summary in summaries):
        found["pairs.csv"] = _join(summaries, [tables.pairs(summary) for summary in summaries])
    if any(summary.spec.workload.tasks for summary in summaries):
        found["tasks.csv"] = _join(summaries, [tables.task_matrices(summary) for summary in summaries])
    if into.exists() and not into.is_dir():
        raise InputError(f"{argument('csv')} must be a folder, got the file {str(into)!r}")
    try:
        into.mkdir(parents=True, exist_ok=True)
        for name, table in found.items():
            write_atomically(into / name, _format_csv(table))
    except OSError as error:
        raise StudyError(f"the tables could not be written to {str(into)!r} ({error.strerror})") from error
    return [into / name for name in found]


def final_table(summaries: Sequence[Summary]) -> Table:
    """A row for every method of every comparison."""
    return _join(summaries, [_add_metric(summary, tables.results(summary)) for summary in summaries])


def run_table(summaries: Sequence[Summary]) -> Table:
    """A row for every run that has ended."""
    return _join(summaries, [tables.runs(summary) for summary in summaries])


def _chosen_rows(summaries: Sequence[Summary]) -> Table | None:
    """List the chosen values alone; nothing where a search is not over, or has one for every seed."""
    rows = [(summary.spec.name, row) for summary in summaries for row in summary.rows]
    if not rows or any(row.search.chosen is None or len(row.searches) > 1 for _, row in rows):
        return None
    points = [(name, row.method.name, row.search.chosen.hyperparameters) for name, row in rows if row.search.chosen]
    names = list(dict.fromkeys(name for _, _, point in points for name in point))
    cells = [
        (comparison, method, *(_cell(point[name]) if name in point else None for name in names))
        for comparison, method, point in points
    ]
    return Table(("comparison", "method", *names), cells)


def _cell(value: Any) -> Value:
    """Write a value so that it reads back as itself."""
    if value is None:
        return "none"
    as_it_is = not isinstance(value, str | tuple) or (isinstance(value, str) and is_word(value))
    return value if as_it_is else json.dumps(value)


def _add_metric(summary: Summary, table: Table) -> Table:
    """Add to the results what was measured and how far the target lay."""
    workload = summary.spec.workload
    columns = ("metric", "target", *table.columns)
    return Table(columns, [(workload.metric_name, workload.target, *row) for row in table.rows])


def _curves(summary: Summary) -> Table:
    series = [*CURVE, *(instrument.name for instrument in summary.spec.series)]
    rows: list[tuple[Value, ...]] = []
    for record in tables.records_of(summary):
        if record.curve is not None:
            at = record.curve["gradient_evaluations"]
            points = zip(*(record.curve.get(name, [None] * len(at)) for name in series), strict=True)
            rows += [(record.method, record.phase, record.trial, record.seed, *point) for point in points]
    return Table(("method", "phase", "trial", "seed", *series), rows)


def _join(summaries: Sequence[Summary], parts: Iterable[Table]) -> Table:
    """Join the tables of all comparisons: a column that only some of them have is empty in the others."""
    named = [(summary.spec.name, table) for summary, table in zip(summaries, parts, strict=True)]
    columns = tuple(dict.fromkeys(column for _, table in named for column in table.columns))
    rows: list[tuple[Value, ...]] = []
    for name, table in named:
        for row in table.rows:
            values = dict(zip(table.columns, row, strict=True))
            rows.append((name, *(values.get(column) for column in columns)))
    return Table(("comparison", *columns), rows)


def _format_csv(table: Table) -> str:
    """Format by RFC 4180; a float as its shortest text that reads back as the same float, no text as a spreadsheet's
    formula."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([map(csv_cell, row) for row in (table.columns, *table.rows)])
    return text.getvalue()
