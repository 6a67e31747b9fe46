"""What the figures share: how a method looks, number formats, the axis of a metric."""

import statistics
from collections.abc import Sequence

import plotly.graph_objects as go

from steepest.compare.analysis.summary import Summary
from steepest.compare.results.formats import format_metric_name
from steepest.page.look import BASELINE_LOOK, Look, axis_title, look


def looks(summary: Summary) -> dict[str, Look]:
    """Method name to its look: the baseline grey and dashed, the others in the order of the study.

    When the colours have been used up, they come again with another line and another marker.
    """
    others = [m.name for m in summary.spec.methods if m.name != summary.spec.baseline]
    return {summary.spec.baseline: Look(*BASELINE_LOOK)} | {name: look(i) for i, name in enumerate(others)}


def colours(summary: Summary) -> dict[str, str]:
    """Method name to colour."""
    return {name: look.colour for name, look in looks(summary).items()}


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
        title=axis_title(f"validation {format_metric_name(summary.spec)}"),
        tickformat=axis_format(summary),
        range=window,
    )
