"""Figures of the search."""

import math
import statistics
from collections.abc import Sequence

import plotly.graph_objects as go

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.analysis.trust import searched
from steepest.compare.records.record import Record
from steepest.compare.report.style import looks, metric_window, validation_axis, value_format
from steepest.compare.spec import Spec
from steepest.page.look import add_band, named, translucent


def lr_sensitivity(summary: Summary) -> go.Figure:
    plot = go.Figure()
    looking = looks(summary)
    rows = [row for row in summary.rows if row.method.leading == "lr"]
    finished_values = [x for row in rows for r in row.runs_of_search if (x := r.found) is not None]
    window = metric_window(summary, finished_values) or [
        min(finished_values, default=0.0),
        max(finished_values, default=1.0),
    ]
    floor = window[0] if summary.spec.workload.higher_is_better else window[1]
    for row in rows:
        name, look = row.method.name, looking[row.method.name]
        tuned = sorted(row.tuned, key=lambda r: r.hyperparameters["lr"])
        runs = _mean_by_lr(tuned)
        lost = [r for r in tuned if r.found is None]
        plot.add_scatter(
            x=[*runs],
            y=[*runs.values()],
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash},
            marker={"symbol": look.symbol},
            hovertemplate=f"%{{fullData.name}}, lr %{{x:.3~g}}: %{{y:{value_format(summary)}}}<extra></extra>",
            **named(name),
        )
        if row.screened:
            short = _mean_by_lr(row.screened)
            plot.add_scatter(
                x=[*short],
                y=[*short.values()],
                mode="markers",
                marker={"color": look.colour, "symbol": f"{look.symbol}-open", "size": 7},
                hovertemplate="%{fullData.name}, lr %{x:.3~g}: "
                f"%{{y:{value_format(summary)}}} after a short run<extra></extra>",
                showlegend=False,
                **named(name),
            )
        if (fitted := _fitted_at(summary.spec, row)) is not None:
            plot.add_scatter(
                x=[lr for lr, _ in fitted],
                y=[y for _, y in fitted],
                mode="lines",
                line={"color": look.colour, "dash": "dot", "width": 1.5, "shape": "spline"},
                hovertemplate="%{fullData.name}, lr %{x:.3~g}: "
                f"fitted %{{y:{value_format(summary)}}}<extra></extra>",
                showlegend=False,
                **named(name),
            )
        if row.chosen is not None:
            at = [r.hyperparameters["lr"] for r in row.all_chosen or [row.chosen]]
            plot.add_scatter(
                x=at,
                y=[runs.get(lr) for lr in at],
                mode="markers",
                marker={"color": look.colour, "size": 15, "symbol": "circle-open", "line": {"width": 3}},
                hoverinfo="skip",
                showlegend=False,
                **named(name),
            )
        if lost:
            plot.add_scatter(
                x=[r.hyperparameters["lr"] for r in lost],
                y=[floor] * len(lost),
                mode="markers",
                marker={
                    "color": look.colour,
                    "size": 10,
                    "symbol": ["triangle-down-open" if r.status == "pruned" else "x" for r in lost],
                },
                customdata=[r.status for r in lost],
                hovertemplate="%{fullData.name}, lr %{x:.3~g}: %{customdata}<extra></extra>",
                showlegend=False,
                **named(name),
            )
    plot.update_xaxes(title="learning rate (log)", type="log", dtick=1)
    validation_axis(summary, plot, finished_values)
    return plot


def _fitted_at(spec: Spec, row: Row) -> list[tuple[float, float]] | None:
    """Find the fitted response over lr, where that alone was searched and a run has a score."""
    choice = row.search.choice
    if choice is None or choice.response is None or set(row.method.space) != {"lr"}:
        return None
    sign = 1 if spec.workload.higher_is_better else -1
    means = dict(zip(choice.points, choice.response.means, strict=True))
    tried = ((i, job.hyperparameters["lr"]) for i, job in enumerate(row.search.jobs[: spec.trials]))
    known = {r.hyperparameters["lr"] for r in row.runs_of_search if r.found is not None}
    return sorted((lr, sign * means[i]) for i, lr in tried if i in means and lr in known)


def _mean_by_lr(runs: Sequence[Record]) -> dict[float, float]:
    """Average the validation metric of the runs at each learning rate that have one, in their order."""
    found: dict[float, list[float]] = {}
    for record in sorted(runs, key=lambda r: r.hyperparameters["lr"]):
        if record.found is not None:
            found.setdefault(record.hyperparameters["lr"], []).append(record.found)
    return {lr: statistics.fmean(values) for lr, values in found.items()}


def best_so_far(summary: Summary) -> go.Figure:
    plot = go.Figure()
    looking = looks(summary)
    better = max if summary.spec.workload.higher_is_better else min
    for row in summary.rows:
        name, look = row.method.name, looking[row.method.name]
        best: float | None = None
        trials, values = [], []
        for r in sorted(row.search.trials, key=lambda r: r.trial):
            if (value := r.found) is not None:
                best = value if best is None else better(best, value)
            if best is not None:
                trials.append(r.trial + 1)
                values.append(best)
        plot.add_scatter(
            x=trials,
            y=values,
            mode="lines+markers",
            line={"color": look.colour, "shape": "hv", "dash": look.dash},
            marker={"symbol": look.symbol},
            hovertemplate=f"%{{fullData.name}}, %{{x}} trials: %{{y:{value_format(summary)}}}<extra></extra>",
            **named(name),
        )
    plot.update_xaxes(title="trials", dtick=1 if summary.spec.trials <= 20 else None)
    validation_axis(summary, plot, [v for trace in plot.data for v in trace.y])
    return plot


def expected_best(summary: Summary) -> go.Figure:
    """The tuning curves, each with a band down to what new searches of that size are sure to find."""
    plot = go.Figure()
    looking = looks(summary)
    shown: list[float] = []
    for row in summary.rows:
        curve = searched(summary.spec, row)
        if curve is None:
            continue
        name, look = row.method.name, looking[row.method.name]
        points = [(k, x, low) for k, (x, low) in enumerate(zip(curve.expected, curve.assured, strict=True), 1)]
        expected = [(k, x) for k, x, _ in points if math.isfinite(x)]
        band = [point for point in points if all(map(math.isfinite, point))]
        shown += [x for _, x in expected] + [low for _, _, low in band]
        if len(band) > 1:
            at, high, low = zip(*band, strict=True)
            add_band(plot, at, high, low, name, translucent(look.colour, share=2 / len(summary.rows)))
            plot.add_scatter(
                x=at,
                y=low,
                mode="lines",
                line={"color": look.colour, "width": 1, "dash": "dot"},
                hovertemplate="%{fullData.name}, %{x} new trials: "
                f"%{{y:{value_format(summary)}}} or better<extra></extra>",
                showlegend=False,
                **named(name),
            )
        plot.add_scatter(
            x=[k for k, _ in expected],
            y=[x for _, x in expected],
            mode="lines+markers",
            line={"color": look.colour, "dash": look.dash},
            marker={"symbol": look.symbol},
            hovertemplate=f"%{{fullData.name}}, %{{x}} trials: %{{y:{value_format(summary)}}}<extra></extra>",
            **named(name),
        )
    plot.update_xaxes(title="trials", dtick=1 if summary.spec.trials <= 20 else None)
    validation_axis(summary, plot, shown)
    return plot
