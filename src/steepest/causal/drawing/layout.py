"""Where the nodes of a directed acyclic graph lie: causes above their effects, with few crossings.

Layers by longest paths, long edges through invisible nodes, the order in a layer by means of neighbours in turn, and
places by least squares with a distance kept: Sugiyama, Tagawa, Toda, IEEE Trans. SMC 11 (1981), 109-125.
"""

import itertools
from collections.abc import Container, Hashable, Mapping, Sequence

import networkx as nx
import numpy as np
from sklearn.isotonic import isotonic_regression

SWEEPS = 24
WIDEST = 8.0  # of parts that are not connected, beside each other

Place = tuple[float, float]
_Layers = list[list[Hashable]]


Edge = tuple[Hashable, Hashable]


def layered(graph: nx.DiGraph) -> tuple[dict[Hashable, Place], dict[Edge, list[Place]]]:
    """Places (x, y) of all nodes, in units of a node's width and height, and the bends of edges that pass layers.

    y grows downwards, and the least x of a node and the least y are 0.

    Args:
        graph: without cycles.

    Example:
        >>> layered(nx.DiGraph([("a", "b"), ("a", "c")]))[0]
        {'a': (0.5, 0.0), 'b': (0.0, 1.0), 'c': (1.0, 1.0)}
    """
    parts = [_place(_take(graph, nodes)) for nodes in nx.weakly_connected_components(graph)]
    parts.sort(key=lambda part: (-len(part), str(next(iter(part)))))
    widest = max([WIDEST, *(_size(part)[0] for part in parts)])
    places: dict[Hashable, Place] = {}
    left, top, row = 0.0, 0.0, 0.0  # of the next part, and the height of those beside it
    for part in parts:
        wide, high = _size(part)
        if left and left + wide > widest:
            left, top, row = 0.0, top + row, 0.0
        places.update({node: (left + x, top + y) for node, (x, y) in part.items()})
        left, row = left + wide, max(row, high)
    bends = {(cause, effect): _follow(cause, effect, places) for cause, effect in graph.edges}
    return {node: places[node] for node in graph}, bends


def _follow(cause: Hashable, effect: Hashable, places: Mapping[Hashable, Place]) -> list[Place]:
    """List the places of an edge's invisible nodes."""
    found, layer = [], 1
    while (cause, effect, layer) in places:
        found.append(places[cause, effect, layer])
        layer += 1
    return found


def _size(places: Mapping[Hashable, Place]) -> Place:
    return 1 + max(x for x, _ in places.values()), 1 + max(y for _, y in places.values())


def _take(graph: nx.DiGraph, nodes: Container[Hashable]) -> nx.DiGraph:
    """Take a part of a graph, in the graph's own order, which a subgraph has not."""
    part = nx.DiGraph()
    part.add_nodes_from(node for node in graph if node in nodes)
    part.add_edges_from(edge for edge in graph.edges if edge[0] in nodes)
    return part


def _place(graph: nx.DiGraph) -> dict[Hashable, Place]:
    """Place the nodes of a connected graph."""
    if len(graph) == 1:
        return dict.fromkeys(graph, (0.0, 0.0))
    depth = _find_depths(graph)
    links, layers = _thread(graph, depth)
    across = _spread(_uncross(layers, links), links)
    least = min(across.values())
    return {node: (across[node] - least, float(row)) for row, layer in enumerate(layers) for node in layer}


def _find_depths(graph: nx.DiGraph) -> dict[Hashable, int]:
    """Find each node's layer: below all causes, and a node without causes right above its first effect."""
    depth: dict[Hashable, int] = {}
    order = list(nx.topological_sort(graph))
    for node in order:
        depth[node] = 1 + max((depth[cause] for cause in graph.predecessors(node)), default=-1)
    for node in order:
        if not graph.in_degree(node):
            depth[node] = min(depth[effect] for effect in graph.successors(node)) - 1
    return depth


def _thread(graph: nx.DiGraph, depth: Mapping[Hashable, int]) -> tuple[list[tuple[Hashable, Hashable]], _Layers]:
    """Put an invisible node into every layer that an edge passes: links of neighbouring layers, and the layers."""
    layers: _Layers = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for node in graph:
        layers[depth[node]].append(node)
    links: list[tuple[Hashable, Hashable]] = []
    for cause, effect in graph.edges:
        passed: list[Hashable] = [(cause, effect, step) for step in range(1, depth[effect] - depth[cause])]
        for node, layer in zip(passed, range(depth[cause] + 1, depth[effect]), strict=True):
            layers[layer].append(node)
        links += itertools.pairwise([cause, *passed, effect])
    return links, layers


def _list_neighbours(
    links: Sequence[tuple[Hashable, Hashable]],
) -> tuple[dict[Hashable, list[Hashable]], dict[Hashable, list[Hashable]]]:
    above: dict[Hashable, list[Hashable]] = {}
    below: dict[Hashable, list[Hashable]] = {}
    for upper, lower in links:
        below.setdefault(upper, []).append(lower)
        above.setdefault(lower, []).append(upper)
    return above, below


def _uncross(layers: _Layers, links: Sequence[tuple[Hashable, Hashable]]) -> _Layers:
    """Sort every layer by the mean place of its neighbours above, then below, in turn; keep the least crossed."""
    above, below = _list_neighbours(links)
    best, least = layers, _count_crossings(layers, links)
    layers = [list(layer) for layer in layers]
    for sweep in range(SWEEPS):
        neighbours, turn = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for layer in turn:
            at = {node: i for row in layers for i, node in enumerate(row)}
            means = {node: np.mean([at[other] for other in neighbours.get(node, [node])]) for node in layer}
            layer.sort(key=lambda node: means[node])
        crossings = _count_crossings(layers, links)
        if crossings < least:
            best, least = [list(layer) for layer in layers], crossings
    return best


def _count_crossings(layers: _Layers, links: Sequence[tuple[Hashable, Hashable]]) -> int:
    at = {node: i for layer in layers for i, node in enumerate(layer)}
    row = {node: number for number, layer in enumerate(layers) for node in layer}
    found = 0
    for number in range(len(layers) - 1):
        ends = np.array([(at[upper], at[lower]) for upper, lower in links if row[upper] == number]).reshape(-1, 2)
        apart = ends[:, None] - ends[None]
        found += int((apart[..., 0] * apart[..., 1] < 0).sum()) // 2
    return found


def _spread(layers: _Layers, links: Sequence[tuple[Hashable, Hashable]]) -> dict[Hashable, float]:
    """Place nodes near the mean of their neighbours, in their order and at least one unit apart."""
    above, below = _list_neighbours(links)
    across = {node: i - (len(layer) - 1) / 2 for layer in layers for i, node in enumerate(layer)}
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            near = [[across[other] for other in (*above.get(node, ()), *below.get(node, ()))] for node in layer]
            wanted = np.array([np.mean(values) for values in near]) - np.arange(len(layer))
            kept = isotonic_regression(wanted) + np.arange(len(layer))
            across.update(zip(layer, kept.tolist(), strict=True))
    return across
