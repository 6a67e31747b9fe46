"""A figure's layout on paper: white, in the page's light colours, with a legend of its own below."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from steepest.page.data import figure_data, to_json
from steepest.page.figure import Figure

_WIDTH, _HEIGHT, _LEAST, _ROW = 700, 360, 320, 27  # pixels; the page's script has the same
_LINE, _TEXT = "#dfe4e8", "#1c2126"
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'


def on_paper(figure: Figure) -> go.Figure:
    """The Plotly figure as the page's script lays it out for its button "SVG"."""
    found = json.loads(to_json(figure_data(figure)))  # as the page gets it
    data, own, rows = found["data"], found["layout"], found["rows"]
    margin = {"l": 60, "r": 15, "t": 15, "b": 50, **own.get("margin", {})}
    axes = {"xaxis", "yaxis", *(name for name in own if re.fullmatch(r"[xy]axis\d+", name))}
    plain = {"gridcolor": _LINE, "zerolinecolor": _LINE, "linecolor": _LINE, "automargin": True}
    height = own.get("height", _HEIGHT)
    layout = {
        **own,
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": _TEXT, "size": 13, "family": _FONT},
        "margin": margin,
        "showlegend": own.get("showlegend") is True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "template": {},
        **{axis: {**plain, **own.get(axis, {})} for axis in axes},
    }
    below = 0
    if rows:
        height = 60 + margin["t"] + len(rows) * _ROW
        layout["yaxis"] |= _lay_rows(rows)
        layout["xaxis"] |= _find_range(data, layout["xaxis"])
    else:
        below, legend = _lay_legend(data)
        layout |= legend
    layout["margin"] = {**margin, "b": margin["b"] + below}
    layout |= {"width": _WIDTH, "height": max(height, _LEAST) + below}
    return go.Figure({"data": data, "layout": layout})


def _lay_rows(rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Lay a row for each method, the first on top: Plotly stacks them from the bottom."""
    names, labels = ([row[i] for row in reversed(rows)] for i in (0, 1))
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": names,
        "tickmode": "array",
        "tickvals": names,
        "ticktext": labels,
        "range": [-0.6, len(rows) - 0.4],
    }


def _find_range(data: Sequence[Mapping[str, Any]], axis: Mapping[str, Any]) -> dict[str, Any]:
    """Find the range of all that is drawn, with its ends: Plotly leaves some out."""
    ends: list[float] = [0.0] if axis.get("zeroline") else []
    for trace in data:
        if trace.get("base"):
            ends += [trace["base"][0], trace["base"][0] + trace["x"][0]]
            continue
        ends += trace["x"]
        if bar := trace.get("error_x"):
            ends += [trace["x"][0] + bar["array"][0], trace["x"][0] - bar["arrayminus"][0]]
    if not ends:
        return {}
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low) or 0.01 * abs(high) or 1
    return {"range": [low - margin, high + margin]}


def _lay_legend(data: Sequence[Mapping[str, Any]]) -> tuple[int, dict[str, Any]]:
    """Lay a legend below a figure of several names; returns the room that it takes."""
    names = {trace["name"] for trace in data if trace.get("showlegend") is not False and trace.get("name")}
    if len(names) < 2:
        return 0, {}
    entry = 55 + 8 * max(map(len, names))
    height = 24 * -(-len(names) // max((_WIDTH - 80) // entry, 1)) + 12
    legend = {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "entrywidth": entry - 45}
    return height, {"showlegend": True, "legend": legend}
