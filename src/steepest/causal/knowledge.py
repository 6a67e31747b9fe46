"""What is known beforehand: which variables come first, which edges there are, and which there are not."""

import heapq
import itertools
from collections.abc import Iterable, Sequence

import networkx as nx

Edges = Iterable[tuple[str, str]]


class Knowledge:
    """Tiers, forbidden and required edges of named variables.

    Attributes:
        allowed: for every variable a bit mask of those that may be its parents.
        required: for every variable a bit mask of those that are.
        before, after: for every variable a bit mask of those that come before and after it in every order.

    Args:
        names: of the variables.
        tiers: lists of names: no variable of a later one causes one of an earlier; a name in none may be anywhere.
        forbidden, required: edges (cause, effect).

    Raises:
        ValueError: a name is unknown, or what is asked for contradicts itself.
    """

    def __init__(
        self, names: Sequence[str], tiers: Sequence[Sequence[str]] = (), forbidden: Edges = (), required: Edges = ()
    ) -> None:
        self._number = {name: i for i, name in enumerate(names)}
        self._names, d = list(names), len(names)
        tier = self._read_tiers(tiers)
        self.allowed = [(1 << d) - 1 & ~(1 << j) for j in range(d)]
        self.required = [0] * d
        for j in range(d):
            for i in range(d):
                if i in tier and j in tier and tier[i] > tier[j]:
                    self.allowed[j] &= ~(1 << i)
        for cause, effect in self._read_edges("forbidden", forbidden):
            self.allowed[effect] &= ~(1 << cause)
        for cause, effect in self._read_edges("required", required):
            if not self.allowed[effect] >> cause & 1:
                raise ValueError(f"required must not be forbidden or against the tiers, got {self._say(cause, effect)}")
            self.required[effect] |= 1 << cause
        self._sort(tier)

    def extend(self, order: Sequence[int]) -> list[int]:
        """The order that keeps to what is known, with always the earliest that may come next."""
        if not self._bound:
            return list(order)
        place = [0] * len(self._links)  # gates first of all
        for at, item in enumerate(order):
            place[item] = at + 1
        waiting = list(self._waiting)
        ready = [(place[item], item) for item, count in enumerate(waiting) if not count]
        heapq.heapify(ready)
        found = []
        while ready:
            _, item = heapq.heappop(ready)
            if item < len(order):
                found.append(item)
            for later in self._links[item]:
                waiting[later] -= 1
                if not waiting[later]:
                    heapq.heappush(ready, (place[later], later))
        return found

    def _read_tiers(self, tiers: Sequence[Sequence[str]]) -> dict[int, int]:
        found: dict[int, int] = {}
        for level, members in enumerate(tiers):
            for name in [members] if isinstance(members, str) else members:
                item = self._find("tiers", name)
                if item in found:
                    raise ValueError(f"tiers must name a variable once, got {name!r} twice")
                found[item] = level
        return found

    def _read_edges(self, argument: str, edges: Edges) -> list[tuple[int, int]]:
        found = []
        for edge in edges:
            if isinstance(edge, str) or len(edge) != 2:
                raise ValueError(f"{argument} must be pairs of a cause and its effect, got {edge!r}")
            cause, effect = (self._find(argument, name) for name in edge)
            if cause == effect:
                raise ValueError(f"{argument} must be edges between two variables, got {edge[0]!r} twice")
            found.append((cause, effect))
        return found

    def _find(self, argument: str, name: str) -> int:
        if name not in self._number:
            raise ValueError(f"{argument} must name columns of the data that vary, got {name!r}")
        return self._number[name]

    def _say(self, cause: int, effect: int) -> str:
        return f"{self._names[cause]} -> {self._names[effect]}"

    def _sort(self, tier: dict[int, int]) -> None:
        """Find what comes before and after each variable in every order; gates between tiers, numbered after the
        variables, stand for the links of all pairs.

        Raises:
            ValueError: required edges go in a circle.
        """
        d = len(self._names)
        graph = nx.DiGraph()
        graph.add_nodes_from(range(d))
        graph.add_edges_from((i, j) for j in range(d) for i in range(d) if self.required[j] >> i & 1)
        if not nx.is_directed_acyclic_graph(graph):
            circle = [cause for cause, _ in nx.find_cycle(graph)]
            names = " -> ".join(self._names[i] for i in [*circle, circle[0]])
            raise ValueError(f"required must not go in a circle, got {names}")
        levels = sorted(set(tier.values()))
        for gate, (above, below) in enumerate(itertools.pairwise(levels), d):
            graph.add_edges_from((i, gate) for i in tier if tier[i] == above)
            graph.add_edges_from((gate, j) for j in tier if tier[j] == below)
        if not nx.is_directed_acyclic_graph(graph):
            circle = [cause for cause, _ in nx.find_cycle(graph) if cause < d]
            names = " -> ".join(self._names[i] for i in [*circle, circle[0]])
            raise ValueError(f"required and tiers must not contradict each other, got the circle {names}")
        self.before = [sum(1 << i for i in nx.ancestors(graph, j) if i < d) for j in range(d)]
        self.after = [sum(1 << i for i in nx.descendants(graph, j) if i < d) for j in range(d)]
        self._links = [list(graph.successors(node)) for node in range(len(graph))]
        self._waiting = [graph.in_degree(node) for node in range(len(graph))]
        self._bound = any(self.before)
