"""What a page's script reads, as one JSON text."""

import json
from collections.abc import Mapping
from typing import Any

from steepest.page.figure import Figure
from steepest.page.look import label
from steepest.page.table import Table
from steepest.page.text import harmless

DRAWN = 5  # significant digits of what is only drawn: a screen shows four


MISS = "inf"  # JSON knows no infinity


def to_json(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: "<" is the one character that could end it from inside a string."""
    return json.dumps(_make_harmless(data), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def figure_data(figure: Figure) -> dict[str, Any]:
    """A figure without its words."""
    plot = json.loads(figure.plot.to_json())
    plot["layout"].pop("template", None)
    drawn = plot["data"] if figure.exact else rounded(plot["data"])
    rows = [(name, label(name)) for name in figure.rows]
    return {"data": drawn, "layout": plot["layout"], "switches": figure.switches, "rows": rows}


def table_data(table: Table, filtered_by: tuple[str, str] | None = None) -> dict[str, Any]:
    """A table that stands on the page.

    Args:
        filtered_by: the column that the reader searches by words, and the one of which he chooses a value.
    """
    rows = [[MISS if value == float("inf") else value for value in row] for row in table.rows]
    return {"columns": table.columns, "rows": rows, **({"filter": filtered_by} if filtered_by else {})}


def _make_harmless(value: Any) -> Any:
    """Make every text in a value harmless to look at; names stay equal to each other."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, list | tuple):
        return [_make_harmless(item) for item in value]
    if isinstance(value, dict):
        return {_make_harmless(key): _make_harmless(item) for key, item in value.items()}
    return value


def rounded(value: Any) -> Any:
    """The same with numbers as exact as a screen shows them."""
    if isinstance(value, float):
        return float(f"{value:.{DRAWN}g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value
