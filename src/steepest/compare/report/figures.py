"""The figures of the report, as Plotly figures without a theme: the page gives them its colours, light or dark."""

import html
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from steepest.compare.jobs import Record
from steepest.compare.summary import Row, Summary
from steepest.compare.wording import format_target

# Okabe and Ito (2008): told apart by colour-blind readers, legible on white and on near-black.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#B5A300")
BASELINE_COLOUR = "#888888"
ZOOM = "The worst quarter may lie outside the window: a double click shows all."


@dataclass(frozen=True)
class Figure:
    """A figure with the words around it."""

    key: str
    title: str
    caption: str
    plot: go.Figure


def figures(summary: Summary) -> list[Figure]:
    """All figures for which there are runs."""
    spec = summary.spec
    metric = spec.workload.metric_name
    rows = [row for row in summary.rows if row.finals]
    found = []
    if any(row.mean is not None for row in rows):
        found.append(
            Figure(
                "finals",
                f"Test {metric} on fresh seeds",
                "One dot per seed; the diamond is the mean, the bar its 95 % bootstrap interval.",
                _finals(summary, rows),
            )
        )
        found.append(
            Figure(
                "validation",
                f"Validation {metric} while training",
                f"Mean over the seeds, band from the lowest to the highest seed. Dotted: the target, "
                f"{format_target(spec, spec.workload.target)}. {ZOOM}",
                _curves(summary, rows, "validation_metric"),
            )
        )
        found.append(
            Figure(
                "loss",
                "Training loss",
                "Mean over the seeds of the mean loss since the last point, band from the lowest to the highest seed."
                + (" With weight noise, the loss is that at the noisy weights." if _noisy(summary) else ""),
                _curves(summary, rows, "train_loss"),
            )
        )
    if any(row.tuned for row in summary.rows):
        found.append(
            Figure(
                "lr",
                "Sensitivity to the learning rate",
                f"Validation {metric} of every run of the search; the ring is the chosen one, a cross a run that "
                "diverged or failed. Learning rates of different methods have different units: compare widths, not "
                f"places. {ZOOM}",
                _lr_sensitivity(summary),
            )
        )
        found.append(
            Figure(
                "search",
                "Best so far in the search",
                f"Highest validation {metric} after so many trials."
                if spec.workload.higher_is_better
                else f"Lowest validation {metric} after so many trials.",
                _best_so_far(summary),
            )
        )
    return found


def _noisy(summary: Summary) -> bool:
    return any(method.estimators for method in summary.spec.methods)


def colours(summary: Summary) -> dict[str, str]:
    """Method name to colour: the baseline grey, the others in the order of the study."""
    others = [m.name for m in summary.spec.methods if m.name != summary.spec.baseline]
    return {summary.spec.baseline: BASELINE_COLOUR} | {n: PALETTE[i % len(PALETTE)] for i, n in enumerate(others)}


def _label(name: str) -> str:
    """Plotly reads a subset of HTML in every text, so a user's name is escaped here as it is on the page."""
    return html.escape(name)


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"


def _value_format(summary: Summary) -> str:
    return ".2%" if summary.spec.workload.percent else ".4~g"


def _axis_format(summary: Summary) -> str:
    return ".1~%" if summary.spec.workload.percent else "~g"


def _finals(summary: Summary, rows: Sequence[Row]) -> go.Figure:
    plot = go.Figure()
    palette = colours(summary)
    for row in reversed(rows):  # Plotly stacks categories from the bottom
        name, colour = _label(row.method.name), palette[row.method.name]
        finished = [r for r in row.finals if r.test_metric is not None]
        plot.add_scatter(
            x=[r.test_metric for r in finished],
            y=[name] * len(finished),
            mode="markers",
            marker={"color": colour, "size": 7, "opacity": 0.45},
            customdata=[r.seed for r in finished],
            hovertemplate=f"{name}, seed %{{customdata}}: %{{x:{_value_format(summary)}}}<extra></extra>",
            showlegend=False,
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
            hovertemplate=f"{name}, mean: %{{x:{_value_format(summary)}}}<extra></extra>",
            showlegend=False,
        )
    plot.update_layout(height=110 + 42 * len(rows))
    plot.update_xaxes(title=f"test {_label(summary.spec.workload.metric_name)}", tickformat=_axis_format(summary))
    plot.update_yaxes(automargin=True)
    return plot


def _curves(summary: Summary, rows: Sequence[Row], what: str) -> go.Figure:
    plot = go.Figure()
    palette = colours(summary)
    is_metric = what == "validation_metric"
    number = _value_format(summary) if is_metric else ".4~g"
    for row in rows:
        runs = [r for r in row.finals if r.status == "finished" and r.curve is not None]
        if not runs:
            continue
        name, colour = _label(row.method.name), palette[row.method.name]
        points = zip(_column(runs[0], "gradient_evaluations"), *(_column(r, what) for r in runs), strict=True)
        finite = [point for point in points if None not in point]
        at, by_point = [point[0] for point in finite], [point[1:] for point in finite]
        plot.add_scatter(
            x=[*at, *reversed(at)],
            y=[max(p) for p in by_point] + [min(p) for p in reversed(by_point)],
            fill="toself",
            fillcolor=_translucent(colour),
            line={"width": 0},
            hoverinfo="skip",
            legendgroup=name,
            showlegend=False,
            mode="lines",
        )
        plot.add_scatter(
            x=at,
            y=[statistics.fmean(p) for p in by_point],
            name=name,
            legendgroup=name,
            mode="lines",
            line={"color": colour, "width": 2, "dash": "dash" if row.method.name == summary.spec.baseline else "solid"},
            hovertemplate=f"%{{y:{number}}}",
        )
    plot.update_layout(hovermode="x unified")
    plot.update_xaxes(title="gradient evaluations")
    if is_metric:
        seen = [v for row in rows for r in row.finals if r.curve for v in _column(r, what) if v is not None]
        _validation_axis(summary, plot, seen, include=summary.spec.workload.target)
        plot.add_hline(y=summary.spec.workload.target, line={"dash": "dot", "width": 1, "color": BASELINE_COLOUR})
    else:
        plot.update_yaxes(title="training loss (log)", type="log", exponentformat="power", nticks=8)
    return plot


def _window(summary: Summary, values: Sequence[float]) -> list[float] | None:
    """The range of a metric's axis: the better three quarters of the values. The worst would flatten the rest."""
    if len(values) < 4:
        return None
    lower, _, upper = statistics.quantiles(values, n=4)
    low, high = (lower, max(values)) if summary.spec.workload.higher_is_better else (min(values), upper)
    margin = 0.08 * (high - low) or 0.01
    return [low - margin, high + margin]


def _column(record: Record, name: str) -> list[float | None]:
    assert record.curve is not None
    return record.curve[name]


def _lr_sensitivity(summary: Summary) -> go.Figure:
    plot = go.Figure()
    palette = colours(summary)
    finished_values = [
        r.validation_metric for row in summary.rows for r in row.tuned if r.validation_metric is not None
    ]
    window = _window(summary, finished_values) or [min(finished_values, default=0.0), max(finished_values, default=1.0)]
    floor = window[0] if summary.spec.workload.higher_is_better else window[1]
    for row in summary.rows:
        name, colour = _label(row.method.name), palette[row.method.name]
        tuned = sorted(row.tuned, key=lambda r: r.hyperparameters["lr"])
        runs = [r for r in tuned if r.validation_metric is not None]
        lost = [r for r in tuned if r.validation_metric is None]
        plot.add_scatter(
            x=[r.hyperparameters["lr"] for r in runs],
            y=[r.validation_metric for r in runs],
            name=name,
            legendgroup=name,
            mode="lines+markers",
            line={"color": colour, "dash": "dash" if row.method.name == summary.spec.baseline else "solid"},
            hovertemplate=f"{name}, lr %{{x:.3~g}}: %{{y:{_value_format(summary)}}}<extra></extra>",
        )
        if row.chosen is not None:
            plot.add_scatter(
                x=[row.chosen.hyperparameters["lr"]],
                y=[row.chosen.validation_metric],
                mode="markers",
                marker={"color": colour, "size": 15, "symbol": "circle-open", "line": {"width": 3}},
                hoverinfo="skip",
                legendgroup=name,
                showlegend=False,
            )
        if lost:
            plot.add_scatter(
                x=[r.hyperparameters["lr"] for r in lost],
                y=[floor] * len(lost),
                mode="markers",
                marker={"color": colour, "size": 10, "symbol": "x"},
                customdata=[r.status for r in lost],
                hovertemplate=f"{name}, lr %{{x:.3~g}}: %{{customdata}}<extra></extra>",
                legendgroup=name,
                showlegend=False,
            )
    plot.update_xaxes(title="learning rate (log)", type="log", dtick=1)
    _validation_axis(summary, plot, finished_values)
    return plot


def _best_so_far(summary: Summary) -> go.Figure:
    plot = go.Figure()
    palette = colours(summary)
    better = max if summary.spec.workload.higher_is_better else min
    for row in summary.rows:
        name, colour = _label(row.method.name), palette[row.method.name]
        best: float | None = None
        trials, values = [], []
        for r in sorted(row.tuned, key=lambda r: r.trial):
            if r.validation_metric is not None:
                best = r.validation_metric if best is None else better(best, r.validation_metric)
            if best is not None:
                trials.append(r.trial + 1)
                values.append(best)
        plot.add_scatter(
            x=trials,
            y=values,
            name=name,
            mode="lines+markers",
            line={
                "color": colour,
                "shape": "hv",
                "dash": "dash" if row.method.name == summary.spec.baseline else "solid",
            },
            hovertemplate=f"{name}, %{{x}} trials: %{{y:{_value_format(summary)}}}<extra></extra>",
        )
    plot.update_xaxes(title="trials", dtick=1 if summary.spec.trials <= 20 else None)
    _validation_axis(summary, plot, [v for trace in plot.data for v in trace.y])
    return plot


def _validation_axis(summary: Summary, plot: go.Figure, values: Sequence[float], include: float | None = None) -> None:
    window = _window(summary, values)
    if window is not None and include is not None:
        window = [min(window[0], include), max(window[1], include)]
    plot.update_yaxes(
        title=f"validation {_label(summary.spec.workload.metric_name)}",
        tickformat=_axis_format(summary),
        range=window,
    )
