"""A figure with the words around it."""

from dataclasses import dataclass
from typing import Literal

import plotly.graph_objects as go


@dataclass(frozen=True)
class Figure:
    """A figure with the words around it; ``switches`` are the axes that the reader can make logarithmic or linear.

    ``place`` is where it stands: under the headline, among the results, or folded away with what they rest on.
    ``rows`` are the methods of a figure with one row each, the first on top. Its numbers are ``exact`` where they are
    those of a table, and rounded for the screen otherwise.
    """

    key: str
    title: str
    caption: str
    plot: go.Figure
    switches: tuple[str, ...] = ()
    place: Literal["top", "results", "trust"] = "results"
    rows: tuple[str, ...] = ()
    exact: bool = False
