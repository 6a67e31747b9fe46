"""A workload at several batch sizes: what becomes of each method as the batch grows."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.report.data import suffix
from steepest.compare.report.style import axis_format, looks, value_format
from steepest.compare.results.formats import format_metric_name, format_target
from steepest.page.figure import Figure
from steepest.page.look import axis_title, named


def sweep_figures(summaries: Sequence[Summary]) -> dict[str, Figure]:
    """Test metric, cost and chosen learning rate against the batch size, by their anchors; for every workload that is
    there with several batch sizes, of the methods that have final runs."""
    found = {}
    sweeps = _group_sweeps(summaries)
    for i, sweep in enumerate(sweeps):
        spec = sweep[0].spec
        of = f" ({spec.workload.name})" if len(sweeps) > 1 else ""
        target = format_target(spec, spec.targets[0])
        for figure in (
            Figure(
                "sweep-metric",
                f"Test {spec.workload.metric_name} against the batch size{of}",
                "Mean over the seeds and its 95 % interval. Every batch size has its own search and the same number "
                "of epochs, which are fewer steps the larger it is.",
                _metric(sweep),
                switches=("y",),
            ),
            Figure(
                "sweep-cost",
                f"{spec.budget.capitalize()} to {target} against the batch size{of}",
                "Median over the seeds, bar from the lowest to the highest that reach the target; a cross, at the "
                f"{spec.budget} of a whole run, where the median run misses it. Dotted: those of a whole run. A "
                "method whose line falls as steeply makes full use of the larger batch.",
                _cost(sweep),
                switches=("y",),
            ),
            Figure(
                "sweep-lr",
                f"Chosen learning rate against the batch size{of}",
                "That with which the final runs were made; an open ring where it is the lowest or the highest that was "
                "tried. Learning rates of different methods have different units: compare slopes, not heights.",
                _learning_rate(sweep),
                switches=("y",),
            ),
        ):
            found[figure.key + suffix(i)] = figure
    return found


def _group_sweeps(summaries: Sequence[Summary]) -> list[list[Summary]]:
    """Group comparisons of one workload with several batch sizes, the smallest first, if any has a final run."""
    by_workload: dict[str, list[Summary]] = {}
    for summary in summaries:
        by_workload.setdefault(summary.spec.workload.name, []).append(summary)
    return [
        sorted(group, key=lambda summary: summary.spec.batch_size)
        for group in by_workload.values()
        if len({summary.spec.batch_size for summary in group}) > 1
        and any(row.finals for summary in group for row in summary.rows)
    ]


def _find_lines(sweep: Sequence[Summary]) -> Iterator[tuple[list[tuple[int, Row]], dict[str, Any]]]:
    """Yield every method with the batch sizes at which it has final runs, and how its line looks."""
    looking = looks(sweep[0])
    for method in sweep[0].spec.methods:
        rows = [(s.spec.batch_size, r) for s in sweep for r in s.rows if r.method.name == method.name and r.finals]
        look = looking[method.name]
        line, marker = {"color": look.colour, "dash": look.dash}, {"symbol": look.symbol}
        if rows:
            yield rows, {**named(method.name), "line": line, "marker": marker, "mode": "lines+markers"}


def _plot(sweep: Sequence[Summary]) -> go.Figure:
    plot = go.Figure()
    sizes = [summary.spec.batch_size for summary in sweep]
    plot.update_xaxes(title="batch size (log)", type="log", tickvals=sizes, ticktext=[f"{size:,}" for size in sizes])
    return plot


def _metric(sweep: Sequence[Summary]) -> go.Figure:
    plot, spec = _plot(sweep), sweep[0].spec
    for rows, style in _find_lines(sweep):
        known = [(size, row, row.mean) for size, row in rows if row.mean is not None]
        plot.add_scatter(
            x=[size for size, _, _ in known],
            y=[mean for _, _, mean in known],
            error_y={
                "array": [row.interval.high - mean if row.interval else 0 for _, row, mean in known],
                "arrayminus": [mean - row.interval.low if row.interval else 0 for _, row, mean in known],
                "thickness": 1.2,
            },
            hovertemplate=f"%{{fullData.name}}, batch size %{{x:,}}: %{{y:{value_format(sweep[0])}}}<extra></extra>",
            **style,
        )
    plot.update_yaxes(title=axis_title(f"test {format_metric_name(spec)}"), tickformat=axis_format(sweep[0]))
    return plot


def _cost(sweep: Sequence[Summary]) -> go.Figure:
    plot = _plot(sweep)
    budget = {summary.spec.batch_size: summary.spec.whole for summary in sweep}
    specs = {summary.spec.batch_size: summary.spec for summary in sweep}
    for rows, style in _find_lines(sweep):
        medians = [math.inf if row.evaluations_to_target is None else row.evaluations_to_target for _, row in rows]
        hit = [(size, row, cost) for (size, row), cost in zip(rows, medians, strict=True) if math.isfinite(cost)]
        missed = [size for (size, _), cost in zip(rows, medians, strict=True) if math.isinf(cost)]
        seeds = [
            [float(specs[size].paid(r.method, x)) for r in row.finals if (x := r.evaluations_to_target) is not None]
            for size, row, _ in hit
        ]
        plot.add_scatter(
            x=[size for size, _, _ in hit],
            y=[cost for _, _, cost in hit],
            error_y={
                "array": [max(own) - cost for own, (_, _, cost) in zip(seeds, hit, strict=True)],
                "arrayminus": [cost - min(own) for own, (_, _, cost) in zip(seeds, hit, strict=True)],
                "thickness": 1.2,
            },
            customdata=[f"{row.reached} of {len(row.finals)}" for _, row, _ in hit],
            hovertemplate="%{fullData.name}, batch size %{x:,}: %{y:,.0f} "
            f"{sweep[0].spec.budget}, %{{customdata}} seeds"
            "<extra></extra>",
            **style,
        )
        if missed:
            plot.add_scatter(
                x=missed,
                y=[budget[size] for size in missed],
                hovertemplate="%{fullData.name}, batch size %{x:,}: missed<extra></extra>",
                showlegend=not hit,
                **{**style, "mode": "markers", "marker": {"symbol": "x", "size": 10, "color": style["line"]["color"]}},
            )
    plot.add_scatter(
        x=list(budget),
        y=list(budget.values()),
        mode="lines",
        line={"color": "#888888", "dash": "dot", "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    plot.update_yaxes(title=f"{sweep[0].spec.unit} (log)", type="log", dtick="D2", tickformat=",~f")
    return plot


def _learning_rate(sweep: Sequence[Summary]) -> go.Figure:
    plot = _plot(sweep)
    for rows, style in _find_lines(sweep):
        chosen = [
            (size, row, row.chosen.hyperparameters["lr"])
            for size, row in rows
            if row.chosen and row.method.leading == "lr"
        ]
        symbols = ["circle-open" if "lr" in row.edges else style["marker"]["symbol"] for _, row, _ in chosen]
        plot.add_scatter(
            x=[size for size, _, _ in chosen],
            y=[lr for _, _, lr in chosen],
            customdata=[f", the {row.edges['lr']} tried" if "lr" in row.edges else "" for _, row, _ in chosen],
            hovertemplate="%{fullData.name}, batch size %{x:,}: lr %{y:.3~g}%{customdata}<extra></extra>",
            **{**style, "marker": {"symbol": symbols, "size": 9}},
        )
    plot.update_yaxes(title="learning rate (log)", type="log", dtick="D2", tickformat="~g")
    return plot
