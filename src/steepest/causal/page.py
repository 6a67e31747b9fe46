"""The words, figures and files of a causal graph that was learnt from a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from steepest.causal.exports import Edge
from steepest.page.figure import Figure
from steepest.page.look import DASHES, PALETTE, axis_title, label, named
from steepest.page.story import Story

SURE = 0.8  # share of resamples from which on an edge is called stable
NAMED = 12  # edges that a sentence lists at most


@dataclass(frozen=True)
class Learnt:
    """What was learnt, in plain numbers.

    Attributes:
        names: of the variables, as in the table; all arrays follow them.
        edges: of the graph.
        order: of the variables that the graph was found with, the first cause first.
        logits: (d,) of the law over orders at the end of SGD.
        score: of the graph; higher is better.
        baselines: scores of other graphs on the same data, by their names.
        history: rows of what the search had found, with ``evaluations``, ``seconds``, ``best`` and ``mean`` scores.
        settings: everything that the result depends on.
        notes: sentences on what was done to the table, and what the reader should know of it.
        rows: of the table that were used.
        resamples: how many graphs the shares of edges are of.
        confidence: (d, d) shares of resamples that have an edge, or ``None``.
    """

    names: list[str]
    edges: list[Edge]
    order: list[str]
    logits: NDArray[np.float64]
    score: float
    score_name: str
    baselines: Mapping[str, float]
    history: Sequence[Mapping[str, float]]
    assumptions: Sequence[str]
    settings: Mapping[str, Any]
    rows: int
    notes: Sequence[str] = ()
    resamples: int = 0
    confidence: NDArray[np.float64] | None = None
    counted: Mapping[str, Any] = field(default_factory=dict)


def story_of(found: Learnt) -> Story:
    """What the page tells."""
    edges = [_list_edge(edge) for edge in found.edges]
    return Story(
        command="causal",
        title=f"What causes what, among {len(found.names)} variables",
        headline=_say_result(found),
        facts=(
            f"{found.rows:,} rows · score {found.score_name} · {found.counted.get('evaluations', 0):,} orders scored · "
            f"seed {found.settings['seed']}"
        ),
        sentences=[_say_open(found), *_say_stable(found), _say_baselines(found), *found.notes],
        conventions=(
            "An edge i -> j says that i is a direct cause of j among these variables. Of scores the higher is better; "
            "an order is scored by the best graph that fits it"
        ),
        figures=[_draw_order(found), _draw_search(found)],
        table_title="Every edge",
        table=edges or [{"edge": "none was found"}],
        rows={
            "edges": [_plain_edge(edge) for edge in found.edges],
            "order": _list_order(found),
            "history": list(found.history),
            **({} if found.confidence is None else {"confidence": _list_pairs(found.names, found.confidence)}),
        },
        told={
            "settings": found.settings, "score": found.score, "baselines": found.baselines, "notes": found.notes,
            "assumptions": found.assumptions, "adjacency": adjacency_of(found), "counted": found.counted,
        },
    )  # fmt: skip


def adjacency_of(found: Learnt) -> list[list[int]]:
    """1 at [i, j] for i -> j, in the order of the table's columns."""
    number = {name: i for i, name in enumerate(found.names)}
    matrix = np.zeros((len(number), len(number)), dtype=int)
    for edge in found.edges:
        matrix[number[edge.cause], number[edge.effect]] = 1
    rows: list[list[int]] = matrix.tolist()
    return rows


def _say_result(found: Learnt) -> str:
    if not found.edges:
        return "No edge was found: the best graph says that no variable tells anything of another."
    oriented = [edge for edge in found.edges if edge.oriented]
    text = f"{_count(len(found.edges), 'edge')}; {len(oriented)} of them the same way in every graph that fits as well"
    if found.confidence is not None:
        sure = sum((edge.this_way or 0) >= SURE for edge in oriented)
        text += f", and {sure} of these in at least {SURE:.0%} of {found.resamples} resamples' graphs"
    return f"{text}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _say_open(found: Learnt) -> str:
    either = [f"{edge.cause} - {edge.effect}" for edge in found.edges if not edge.oriented]
    if not either:
        return "Every direction is the same in all graphs that fit the data as well."
    return f"What the data cannot orient (dashed): {_listed(either)}. Graphs with these turned fit as well."


def _say_stable(found: Learnt) -> list[str]:
    if found.confidence is None:
        return ["How stable the edges are was not looked at: resamples tell it."]
    stable = [edge for edge in found.edges if (edge.this_way or 0) + (edge.other_way or 0) >= SURE]
    shaky = [f"{e.cause} - {e.effect}" for e in found.edges if e not in stable]
    text = (
        f"Of {len(found.edges)} edges {len(stable)} are in at least {SURE:.0%} of {found.resamples} resamples' graphs"
    )
    return [text + (f", in either direction; less stable: {_listed(shaky)}." if shaky else ", in either direction.")]


def _say_baselines(found: Learnt) -> str:
    others = "; ".join(f"{name} {score:,.1f}" for name, score in found.baselines.items())
    return f"Score {found.score:,.1f}; beside it: {others}."


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:NAMED])
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _list_edge(edge: Edge) -> dict[str, str]:
    row = {"edge": f"{edge.cause} → {edge.effect}", "in the class": "directed" if edge.oriented else "either way"}
    if edge.this_way is not None and edge.other_way is not None:
        row |= {
            "in resamples": f"{edge.this_way:.0%}",
            "reversed": f"{edge.other_way:.0%}",
            "no edge": f"{max(0.0, 1 - edge.this_way - edge.other_way):.0%}",
        }
    return row


def _plain_edge(edge: Edge) -> dict[str, Any]:
    return {key: value for key, value in edge._asdict().items() if value is not None}


def _list_order(found: Learnt) -> list[dict[str, Any]]:
    number = {name: i for i, name in enumerate(found.names)}
    return [
        {"place": place, "variable": name, "logit": float(found.logits[number[name]])}
        for place, name in enumerate(found.order, 1)
    ]


def _list_pairs(names: Sequence[str], confidence: NDArray[np.float64]) -> list[dict[str, Any]]:
    """List the share of resamples for every ordered pair that any of them has."""
    return [
        {"cause": names[i], "effect": names[j], "share": float(confidence[i, j])}
        for i, j in np.argwhere(confidence > 0)
    ]


def _draw_order(found: Learnt) -> Figure:
    """Draw the chance that one variable comes before another, by the law over orders."""
    number = {name: i for i, name in enumerate(found.names)}
    logits = found.logits[[number[name] for name in found.order]]
    chance = 1 / (1 + np.exp(-(logits[:, None] - logits[None]).clip(-700, 700)))
    np.fill_diagonal(chance, np.nan)
    names = [label(name, 24) for name in found.order]
    plot = go.Figure(
        go.Heatmap(
            x=names,
            y=names,
            z=[[None if np.isnan(value) else float(value) for value in row] for row in chance],
            zmin=0,
            zmax=1,
            colorscale=[[0, "#D55E00"], [0.5, "#DDDDDD"], [1, "#0072B2"]],
            colorbar={"title": {"text": "chance"}, "thickness": 12},
            hovertemplate="%{y} before %{x}: %{z:.2f}<extra></extra>",
        )
    )
    plot.update_yaxes(autorange="reversed", title="this one", automargin=True)
    plot.update_xaxes(title="before this one", automargin=True, tickangle=-45)
    plot.update_layout(height=max(360, 18 * len(names) + 160))
    return Figure(
        "order",
        "Which order",
        "The chance that the variable of a row comes before that of a column, by the Plackett-Luce law at the end of "
        "SGD; rows and columns are in the order that the graph was found with. Grey: the score does not care.",
        plot,
    )


def _draw_search(found: Learnt) -> Figure:
    plot = go.Figure()
    for place, (key, name) in enumerate((("best", "best so far"), ("mean", "mean of the orders drawn"))):
        points = [(row["seconds"], row[key]) for row in found.history if row.get(key) is not None]
        plot.add_scatter(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            mode="lines",
            line={"color": PALETTE[place], "dash": DASHES[place]},
            hovertemplate="%{x:.3~g} s: %{y:,.1f}",
            **named(name),
        )
    seconds = [row["seconds"] for row in found.history]
    seen = [row[key] for row in found.history for key in ("best", "mean") if row.get(key) is not None]
    low, high = min(seen), max(seen)
    for place, (name, score) in enumerate(found.baselines.items(), 2):
        if low - (high - low) <= score <= high:  # the others would leave no room
            plot.add_scatter(
                x=[seconds[0], seconds[-1]], y=[score, score], mode="lines",
                line={"color": PALETTE[place % len(PALETTE)], "dash": "dot", "width": 1},
                hovertemplate="%{y:,.1f}", **named(name),
            )  # fmt: skip
    plot.update_layout(showlegend=True, hovermode="closest")
    plot.update_xaxes(title="seconds")
    plot.update_yaxes(title=axis_title(f"{found.score_name} (higher is better)"))
    return Figure(
        "search",
        "How the search went",
        "The score of the best graph that fits an order. First SGD on the law over orders, then moves of single "
        "variables to better places. Dotted: the best graphs of other orders, where there is room.",
        plot,
        switches=("x",),
    )
