"""The picture of a graph, as a file of its own and inside a page, where its nodes can be moved."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import networkx as nx
from markupsafe import Markup

from steepest.causal.drawing.layout import Place, layered
from steepest.page.templates import templates
from steepest.page.text import harmless, shortened

LONGEST = 18  # characters of a name in the picture
LETTER, PADDING = 7.2, 22.0  # width of one, and around a name
HEIGHT, ROW, GAP, MARGIN = 28.0, 84.0, 18.0, 24.0


class Arrow(NamedTuple):
    """An edge to draw: ``strength`` in [0, 1]; ``open`` where its direction is not known; ``said`` on hovering."""

    cause: Hashable
    effect: Hashable
    strength: float
    open: bool
    said: str


class _Node(NamedTuple):
    name: str
    label: str
    x: float
    y: float


class _Line(NamedTuple):
    start: int
    end: int
    path: str
    width: float
    open: bool
    said: str


def draw_graph(graph: nx.DiGraph, arrows: Sequence[Arrow], said: Mapping[Hashable, str], *, alone: bool) -> str:
    """An SVG element: names in rounded boxes, causes above their effects.

    Args:
        graph: acyclic; its nodes' names are texts.
        said: what a node says on hovering.
        alone: for a file of its own, with colours in it; else for a page that has them.
    """
    labels = {node: shortened(harmless(str(node)), LONGEST) for node in graph}
    box = max((len(label) for label in labels.values()), default=0) * LETTER + PADDING
    places, bends = layered(graph)

    def at(place: Place) -> Place:
        return MARGIN + box / 2 + place[0] * (box + GAP), MARGIN + HEIGHT / 2 + place[1] * ROW

    nodes = {node: _Node(str(node), labels[node], *at(place)) for node, place in places.items()}
    number = {node: i for i, node in enumerate(nodes)}
    lines = []
    for a in arrows:
        start, end = nodes[a.cause], nodes[a.effect]
        path = curve([(start.x, start.y), *map(at, bends.get((a.cause, a.effect), ())), (end.x, end.y)])
        lines.append(_Line(number[a.cause], number[a.effect], path, 1.0 + 2.0 * a.strength, a.open, a.said))
    bent = [at(place)[0] for path in bends.values() for place in path]
    wide = max([*(node.x + box / 2 for node in nodes.values()), *bent], default=box / 2) + MARGIN
    high = max((node.y for node in nodes.values()), default=0.0) + HEIGHT / 2 + MARGIN
    template = templates("steepest.causal.drawing", escape=True).get_template("graph.svg.j2")
    return Markup(
        template.render(
            nodes=[(node, said.get(key, "")) for key, node in nodes.items()],
            lines=lines,
            box=box,
            height=HEIGHT,
            wide=wide,
            high=high,
            alone=alone,
        )
    )


def curve(places: Sequence[Place]) -> str:
    """The path of an edge from the box at the first place to that at the last; the page's script draws the same."""
    (x, y), *rest = places
    sign = 1.0 if rest[-1][1] >= y else -1.0
    y += sign * HEIGHT / 2
    rest[-1] = rest[-1][0], rest[-1][1] - sign * (HEIGHT / 2 + 2)
    path = f"M{x:.1f},{y:.1f}"
    for to, down in rest:
        bend = max(abs(down - y) / 2, 12.0) * sign
        path += f" C{x:.1f},{y + bend:.1f} {to:.1f},{down - bend:.1f} {to:.1f},{down:.1f}"
        x, y = to, down
    return path
