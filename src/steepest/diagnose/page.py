"""A page of this room: figures and words in the one look, in one file that asks no network."""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import plotly.offline
from markupsafe import Markup

from steepest._files import write_atomically
from steepest.diagnose.diagnosis import Diagnosis
from steepest.diagnose.figures import figures_of
from steepest.diagnose.sentences import facts_of, headline_of, sentences_of
from steepest.page.data import figure_data, table_data, to_json
from steepest.page.figure import Figure
from steepest.page.table import Table
from steepest.page.templates import templates
from steepest.page.text import csv_cell


@cache
def _environment() -> jinja2.Environment:
    return templates("steepest.diagnose", escape=True)


def render(
    template: str, title: str, figures: Sequence[Figure], tables: Mapping[str, Table] | None = None, **said: Any
) -> str:
    """A page from a template of this room."""
    drawn = {figure.key: figure for figure in figures}
    data = {
        "version": "",
        "figures": {key: figure_data(figure) for key, figure in drawn.items()},
        "tables": {key: table_data(table) for key, table in (tables or {}).items()},
    }
    return (
        _environment()
        .get_template(template)
        .render(
            title=title,
            figures=drawn,
            data=Markup(to_json(data)),
            plotly=Markup(plotly.offline.get_plotlyjs()),
            live="",
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            **said,
        )
    )


def write_page(found: Diagnosis) -> Path:
    """Write ``report.html`` and ``seen.csv`` into a diagnosis's folder; returns the path of the page."""
    settings = found.settings
    text = render(
        "diagnosis.html.j2",
        f"{settings['method']} on {settings['workload']}",
        figures_of(found),
        headline=headline_of(found),
        facts=facts_of(found),
        sentences=sentences_of(found),
        found=found,
        settings=settings,
        run=found.run,
        failed=_list_failures(found),
    )
    write_atomically(found.page, text)
    write_rows(found.folder / "seen.csv", _flatten(found))
    return found.page


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, with the columns of all of them."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([csv_cell(name) for name in columns])
        for row in rows:
            writer.writerow([csv_cell("" if row.get(name) is None else row[name]) for name in columns])


def _flatten(found: Diagnosis) -> list[dict[str, Any]]:
    """Make a row of all numbers that were seen at each validation."""
    rows = []
    for seen in found.seen:
        row: dict[str, Any] = {}
        for name, value in seen.items():
            for key, number in value.items() if isinstance(value, dict) else ():
                numbers = number if isinstance(number, list) else [number]
                places = [f"{name}.{key}.{i + 1}" for i in range(len(numbers))]
                row |= (
                    dict(zip(places, numbers, strict=True)) if isinstance(number, list) else {f"{name}.{key}": number}
                )
            if not isinstance(value, dict):
                row[name] = value
        rows.append(row)
    return rows


def _list_failures(found: Diagnosis) -> dict[str, str]:
    """List what could not be seen, and why, once each."""
    parts = [*found.seen, found.end, {"loss plane": found.surface}]
    failed: dict[str, str] = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict) and "error" in value:
                failed.setdefault(name.replace("_", " "), value["error"])
    return failed
