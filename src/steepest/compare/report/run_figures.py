"""Figures of the final runs."""

import bisect
import statistics
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.records.record import Record
from steepest.compare.report.style import axis_format, looks, validation_axis, value_format
from steepest.compare.results.formats import format_metric_name
from steepest.compare.spec import Spec
from steepest.page.look import BASELINE_COLOUR, add_band, axis_title, marks, named, translucent


def finals(summary: Summary, rows: Sequence[Row]) -> go.Figure:
    plot = go.Figure()
    looking = looks(summary)
    for row in rows:
        name, colour = row.method.name, looking[row.method.name].colour
        finished = [r for r in row.finals if r.test_metric is not None]
        plot.add_scatter(
            x=[r.test_metric for r in finished],
            y=[name] * len(finished),
            mode="markers",
            marker={"color": colour, "size": 7, "opacity": 0.45},
            customdata=[r.seed for r in finished],
            hovertemplate=f"%{{fullData.name}}, seed %{{customdata}}: %{{x:{value_format(summary)}}}<extra></extra>",
            showlegend=False,
            **named(name),
        )
        if row.mean is None:
            continue
        bar = None
        if row.interval is not None:
            bar = {
                "type": "data",
                "symmetric": False,
                "array": [row.interval.high - row.mean],
                "arrayminus": [row.mean - row.interval.low],
                "color": colour,
                "thickness": 2,
            }
        plot.add_scatter(
            x=[row.mean],
            y=[name],
            error_x=bar,
            mode="markers",
            marker={"color": colour, "size": 11, "symbol": "diamond"},
            hovertemplate=f"%{{fullData.name}}, mean: %{{x:{value_format(summary)}}}<extra></extra>",
            showlegend=False,
            **named(name),
        )
    plot.update_xaxes(title=axis_title(f"test {format_metric_name(summary.spec)}"), tickformat=axis_format(summary))
    return plot


def curves(summary: Summary, rows: Sequence[Row], what: str, label: str) -> go.Figure:
    """A series of the final runs, mean and range over the seeds; ``label`` names its axis, if it is not the metric."""
    plot = go.Figure()
    looking = looks(summary)
    is_metric = what == "validation_metric"
    number = value_format(summary) if is_metric else ".4~g"
    for row in rows:
        runs = [r for r in row.finals if r.status == "finished" and r.curve is not None]
        if not runs:
            continue
        name, look = row.method.name, looking[row.method.name]
        finite = [point for point in _align(summary.spec, runs, what) if None not in point]
        at, by_point = [point[0] for point in finite], [point[1:] for point in finite]
        add_band(
            plot,
            at,
            [max(p) for p in by_point],
            [min(p) for p in by_point],
            name,
            translucent(look.colour, share=8 / len(rows)),
        )
        plot.add_scatter(
            x=at,
            y=[statistics.fmean(p) for p in by_point],
            mode=marks(len(at)),
            line={"color": look.colour, "width": 2, "dash": look.dash},
            marker={"symbol": look.symbol},
            hovertemplate=f"%{{y:{number}}}",
            **named(name),
        )
    plot.update_layout(hovermode="x unified")
    plot.update_xaxes(title=summary.spec.unit)
    if is_metric:
        seen = [v for row in rows for r in row.finals if r.curve for v in _column(r, what) if v is not None]
        validation_axis(summary, plot, seen, include=summary.spec.targets)
        for target in summary.spec.targets:
            plot.add_hline(y=target, line={"dash": "dot", "width": 1, "color": BASELINE_COLOUR})
    else:
        drawn = [y for trace in plot.data for y in trace.y]
        if not drawn or min(drawn) >= 0 < max(drawn):
            plot.update_yaxes(title=f"{label} (log)", type="log", exponentformat="power", nticks=8)
        else:  # a logarithmic axis would leave out more than zeros
            plot.update_yaxes(title=label)
    return plot


def _align(spec: Spec, runs: Sequence[Record], what: str) -> list[tuple[Any, ...]]:
    """List where the runs were measured, in the unit of the budget, and what each had been at last.

    They are measured at the same evaluations, but for a method whose steps differ in what they take.
    """
    places = [[spec.paid(run.method, at or 0) for at in _column(run, "gradient_evaluations")] for run in runs]
    values = [_column(run, what) for run in runs]
    if all(at == places[0] for at in places):
        return list(zip(places[0], *values, strict=True))
    begin = max(at[0] for at in places)
    grid = sorted({at for places_of_run in places for at in places_of_run if at >= begin})
    of_runs = list(zip(places, values, strict=True))
    return [(x, *(known[bisect.bisect_right(at, x) - 1] for at, known in of_runs)) for x in grid]


def _column(record: Record, name: str) -> list[float | None]:
    return (record.curve or {}).get(name, [])
