"""How a line, a marker and a name look in every figure."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from steepest.page.text import LONGEST, harmless, shortened

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


def look(place: int) -> Look:
    again, colour = divmod(place, len(PALETTE))
    return Look(PALETTE[colour], DASHES[again % len(DASHES)], SYMBOLS[again % len(SYMBOLS)])


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
