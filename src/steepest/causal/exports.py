"""A found graph as files that others read: GraphML, DOT, and SVG."""

import json
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from steepest._files import write_atomically
from steepest.causal.drawing.svg import Arrow, draw_graph

FILES = ("graph.graphml", "graph.dot", "graph.svg")


class Edge(NamedTuple):
    """An edge of the found graph.

    ``oriented``: whether all graphs of its equivalence class have it so; ``this_way``, ``other_way``: shares of the
    resamples whose graph has it, and has it reversed, or ``None`` without resamples.
    """

    cause: str
    effect: str
    oriented: bool
    this_way: float | None = None
    other_way: float | None = None

    def said(self) -> str:
        """The edge in words."""
        text = f"{self.cause} → {self.effect}" + ("" if self.oriented else ", or the other way")
        if self.this_way is None or self.other_way is None:
            return text
        return f"{text}; in {self.this_way:.0%} of the resamples so, in {self.other_way:.0%} reversed"


def list_edges(
    names: list[str], adjacency: NDArray[np.int_], cpdag: NDArray[np.int_], confidence: NDArray[np.float64] | None
) -> list[Edge]:
    """The edges of a graph, by what is known of them.

    Args:
        adjacency, cpdag: (d, d), 1 at [i, j] for i -> j; in the CPDAG also at [j, i] where the direction is not known.
        confidence: shares of resamples (d, d) that have i -> j.
    """
    found = []
    for i, j in np.argwhere(adjacency):
        shares = (None, None) if confidence is None else (float(confidence[i, j]), float(confidence[j, i]))
        found.append(Edge(names[i], names[j], not cpdag[j, i], *shares))
    return found


def graph_of(names: list[str], edges: list[Edge]) -> nx.DiGraph:
    """The graph, with what is known of its edges as attributes."""
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    for edge in edges:
        known = {} if edge.this_way is None else {"confidence": edge.this_way, "reversed": edge.other_way}
        graph.add_edge(edge.cause, edge.effect, oriented=edge.oriented, **known)
    return graph


def picture(graph: nx.DiGraph, edges: list[Edge], *, alone: bool) -> str:
    """The graph as SVG: the more resamples have an edge the wider; dashed where its direction is not known."""
    arrows = [
        Arrow(edge.cause, edge.effect, 0.5 if edge.this_way is None else edge.this_way, not edge.oriented, edge.said())
        for edge in edges
    ]
    return draw_graph(graph, arrows, {}, alone=alone)


def write_graph(folder: Path, graph: nx.DiGraph, edges: list[Edge]) -> None:
    """Write :data:`FILES` into a folder."""
    write_atomically(folder / "graph.graphml", "\n".join(nx.generate_graphml(graph, named_key_ids=True)) + "\n")
    write_atomically(folder / "graph.dot", as_dot(graph))
    write_atomically(folder / "graph.svg", picture(graph, edges, alone=True))


def as_dot(graph: nx.DiGraph) -> str:
    """The graph in Graphviz's language, names in quotes.

    Example:
        >>> print(as_dot(graph_of(["a", "b"], [Edge("a", "b", False)])))
        digraph {
          "a";
          "b";
          "a" -> "b" [style=dashed];
        }
        <BLANKLINE>
    """
    lines = [f"  {_quote(node)};" for node in graph]
    for cause, effect, known in graph.edges(data=True):
        said = [] if known["oriented"] else ["style=dashed"]
        if "confidence" in known:
            said.append(f'label="{known["confidence"]:.2f}"')
        how = f" [{', '.join(said)}]" if said else ""
        lines.append(f"  {_quote(cause)} -> {_quote(effect)}{how};")
    return "\n".join(["digraph {", *lines, "}"]) + "\n"


def _quote(name: str) -> str:
    """Quote a name for DOT, in which only quotes, and backslashes before them, mean anything."""
    return json.dumps(name, ensure_ascii=False)
