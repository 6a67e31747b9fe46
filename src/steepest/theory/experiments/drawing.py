"""A prediction as a line, and the simulation beside it as marks in a band."""

import numpy as np
import plotly.graph_objects as go

from steepest.page.look import DASHES, PALETTE, SYMBOLS, add_band, named, translucent
from steepest.theory.momentum.arguments import Array

MARKS = 25


def draw_beside(
    plot: go.Figure,
    name: str,
    place: int,
    at: Array,
    predicted: Array | None,
    values: Array,
    off: Array,
    lowest: float = -np.inf,
    width: int = 2,
) -> None:
    """Draw a prediction as a line, if there is one, and a simulation as a band with marks in it.

    Args:
        off: half the band's height.
        lowest: of a value that is drawn, as on a logarithmic axis.
    """
    colour = PALETTE[place % len(PALETTE)]
    look = {"color": colour, "width": width, "dash": DASHES[place % len(DASHES)]}
    seen = (at > 0) & (values > lowest)
    where, middle = at[seen], values[seen]
    low, high = (np.maximum(middle + sign * off[seen], lowest) for sign in (-1, 1))
    add_band(plot, where.tolist(), high.tolist(), low.tolist(), name, translucent(colour))
    if predicted is not None:
        drawn = (at > 0) & (predicted > lowest)
        plot.add_scatter(
            x=at[drawn].tolist(), y=predicted[drawn].tolist(), mode="lines", line=look,
            hovertemplate="theory, %{x:.4~g}: %{y:.4~g}", **named(name),
        )  # fmt: skip
    chosen = _spread(where)
    plot.add_scatter(
        x=where[chosen].tolist(), y=middle[chosen].tolist(), mode="markers", showlegend=predicted is None,
        marker={"color": colour, "size": 6, "symbol": SYMBOLS[place % len(SYMBOLS)]},
        hovertemplate="simulation, %{x:.4~g}: %{y:.4~g}", **named(name),
    )  # fmt: skip


def _spread(at: Array) -> list[int]:
    """Choose some places, evenly on a logarithmic axis."""
    if not len(at):
        return []
    wanted = np.geomspace(at[0], at[-1], MARKS)
    chosen: list[int] = np.unique(np.searchsorted(at, wanted).clip(max=len(at) - 1)).tolist()
    return chosen
