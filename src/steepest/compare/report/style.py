"""What the figures share: how a method looks, number formats, the axis of a metric."""

import html
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from steepest.compare.analysis.summary import Summary
from steepest.compare.results.formats import format_metric_name
from steepest.compare.results.text import LONGEST, harmless, shortened

# Okabe and Ito (2008): told apart by colour-blind readers, legible on white and on near-black.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#B5A300")
BASELINE_COLOUR = "#888888"
DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot", "dot")
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star", "hexagon")
BASELINE_LOOK = (BASELINE_COLOUR, "dash", "circle")


@dataclass(frozen=True)
class Look:
    """How a method is drawn: no two of a study's methods share all three, up to 7 x 42 of them."""

    colour: str
    dash: str
    symbol: str


def looks(summary: Summary) -> dict[str, Look]:
    """Method name to its look: the baseline grey and dashed, the others in the order of the study.

    When the colours have been used up, they come again with another line and another marker.
    """
    others = [m.name for m in summary.spec.methods if m.name != summary.spec.baseline]
    return {summary.spec.baseline: Look(*BASELINE_LOOK)} | {name: _look(i) for i, name in enumerate(others)}


def _look(place: int) -> Look:
    again, colour = divmod(place, len(PALETTE))
    return Look(PALETTE[colour], DASHES[again % len(DASHES)], SYMBOLS[again % len(SYMBOLS)])


def colours(summary: Summary) -> dict[str, str]:
    """Method name to colour."""
    return {name: look.colour for name, look in looks(summary).items()}


def named(method: str) -> dict[str, str]:
    """Whose a trace is: what its legend and its hover say, and by which the page's legend finds it."""
    return {"name": label(method), "meta": method}


def marks(points: int) -> str:
    """A line of a single point would be seen nowhere."""
    return "lines" if points > 2 else "lines+markers"


def has_data(plot: go.Figure) -> bool:
    """Whether anything is drawn."""
    return any(value is not None for trace in plot.data for value in (trace.y if trace.y is not None else ()))


def label(name: str, longest: int = LONGEST) -> str:
    """A user's name as Plotly's text: it reads a subset of HTML there, and a name of 300 characters leaves no plot."""
    return html.escape(shortened(harmless(name), longest))


def axis_title(text: str) -> str:
    """The same for an axis, along which there is room."""
    return label(text, 60)


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
        title=axis_title(f"validation {format_metric_name(summary.spec)}"),
        tickformat=axis_format(summary),
        range=window,
    )


def add_band(
    plot: go.Figure, at: Sequence[float], high: Sequence[float], low: Sequence[float], method: str, fill: str
) -> None:
    """The area between two curves, shown and hidden with the curve of that method."""
    plot.add_scatter(
        x=[*at, *reversed(at)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=fill,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        mode="lines",
        **named(method),
    )
