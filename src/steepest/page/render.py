"""Figures and words in the one look, in one file that asks no network, and rows of numbers beside it."""

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import plotly.offline
from markupsafe import Markup

from steepest.page.data import figure_data, to_json
from steepest.page.figure import Figure
from steepest.page.templates import templates
from steepest.page.text import csv_cell


@cache
def _environment(package: str) -> jinja2.Environment:
    return templates(package, escape=True)


def render(package: str, template: str, title: str, figures: Sequence[Figure], **said: Any) -> str:
    """A page from a package's template, which is given ``said``, the figures by their keys, and when it was written."""
    drawn = {figure.key: figure for figure in figures}
    data = {
        "version": "",
        "figures": {key: figure_data(figure) for key, figure in drawn.items()},
        "tables": {},
    }
    return (
        _environment(package)
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


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, with the columns of all of them."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([csv_cell(name) for name in columns])
        for row in rows:
            writer.writerow([csv_cell("" if row.get(name) is None else row[name]) for name in columns])
