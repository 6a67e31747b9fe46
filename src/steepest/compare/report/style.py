"""What the figures share: colours, number formats, the axis of a metric."""

import html
import statistics
from collections.abc import Sequence

import plotly.graph_objects as go

from steepest.compare.analysis.summary import Summary

# Okabe and Ito (2008): told apart by colour-blind readers, legible on white and on near-black.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#B5A300")
BASELINE_COLOUR = "#888888"


def colours(summary: Summary) -> dict[str, str]:
    """Method name to colour: the baseline grey, the others in the order of the study."""
    others = [m.name for m in summary.spec.methods if m.name != summary.spec.baseline]
    return {summary.spec.baseline: BASELINE_COLOUR} | {n: PALETTE[i % len(PALETTE)] for i, n in enumerate(others)}


def dash(summary: Summary, method: str) -> str:
    """The line of a method: the baseline's is dashed."""
    return "dash" if method == summary.spec.baseline else "solid"


def label(name: str) -> str:
    """Plotly reads a subset of HTML in every text, so a user's name is escaped here as it is on the page."""
    return html.escape(name)


def translucent(colour: str, share: float = 1.0) -> str:
    """The colour of a band; a share below 1 makes it fainter, for many that lie upon each other."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{0.15 * min(share, 1.0):.2g})"


def value_format(summary: Summary) -> str:
    return ".2%" if summary.spec.workload.percent else ".4~g"


def axis_format(summary: Summary) -> str:
    return ".1~%" if summary.spec.workload.percent else "~g"


def metric_window(summary: Summary, values: Sequence[float]) -> list[float] | None:
    """The range of a metric's axis: the better three quarters of the values. The worst would flatten the rest."""
    if len(values) < 4:
        return None
    lower, _, upper = statistics.quantiles(values, n=4)
    low, high = (lower, max(values)) if summary.spec.workload.higher_is_better else (min(values), upper)
    margin = 0.08 * (high - low) or 0.01
    return [low - margin, high + margin]


def validation_axis(summary: Summary, plot: go.Figure, values: Sequence[float], include: Sequence[float] = ()) -> None:
    window = metric_window(summary, values)
    if window is not None:
        window = [min(window[0], *include), max(window[1], *include)] if include else window
    plot.update_yaxes(
        title=f"validation {label(summary.spec.workload.metric_name)}",
        tickformat=axis_format(summary),
        range=window,
    )


def add_band(
    plot: go.Figure, at: Sequence[float], high: Sequence[float], low: Sequence[float], name: str, fill: str
) -> None:
    """The area between two curves, shown and hidden with the curve of that name."""
    plot.add_scatter(
        x=[*at, *reversed(at)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=fill,
        line={"width": 0},
        hoverinfo="skip",
        legendgroup=name,
        showlegend=False,
        mode="lines",
    )
