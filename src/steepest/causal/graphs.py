"""Graphs as matrices: equivalence classes, and how far one graph is from another.

``adjacency[i, j] = 1`` means i -> j; in a CPDAG an edge whose direction is not known stands at [i, j] and at [j, i].
"""

import itertools
from collections.abc import Iterable

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.int64]


def cpdag(adjacency: ArrayLike, fixed: ArrayLike | None = None) -> Matrix:
    """The class of graphs (d, d) that a DAG cannot be told from: edges keep their direction where all of them agree.

    Two DAGs are equivalent if they have the same edges apart from direction and the same colliders i -> k <- j of i and
    j that have no edge (Verma, Pearl, 1990); what follows from these is found by Meek's rules (UAI 1995).

    Args:
        adjacency: of the DAG.
        fixed: edges (d, d) whose direction is known beforehand.

    Raises:
        ValueError: it is no DAG.

    Example:
        >>> cpdag([[0, 1, 0], [0, 0, 1], [0, 0, 0]]).tolist()  # a chain can be turned
        [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
        >>> cpdag([[0, 0, 1], [0, 0, 1], [0, 0, 0]]).tolist()  # a collider cannot
        [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    """
    dag = checked_dag("adjacency", adjacency)
    found = dag | dag.T
    for k in range(len(dag)):
        for i, j in itertools.combinations(np.flatnonzero(dag[:, k]), 2):
            if not (dag[i, j] or dag[j, i]):
                found[k, i] = found[k, j] = 0
    if fixed is not None:
        found[(np.asarray(fixed).T > 0) & (dag.T > 0)] = 0
    return close(found)


def close(graph: Matrix) -> Matrix:
    """Orient what follows from the edges that are oriented, in place."""
    while _orient_more(graph):
        pass
    return graph


def _orient_more(graph: Matrix) -> bool:
    """Orient edges by Meek's four rules, in place; say whether any was."""
    directed, either, adjacent = graph & ~graph.T & 1, graph & graph.T, graph | graph.T
    for a, b in np.argwhere(either):
        into_b = directed[:, b].astype(bool)
        first = directed[:, a].astype(bool) & ~adjacent[:, b].astype(bool)
        first[b] = False
        rule = first.any() or (directed[a].astype(bool) & into_b).any()
        beside = np.flatnonzero(either[a].astype(bool) & into_b)
        rule = rule or any(not adjacent[c, d] for c, d in itertools.combinations(beside, 2))
        for c in np.flatnonzero(either[a].astype(bool) & ~adjacent[:, b].astype(bool)):
            rule = rule or bool((directed[c].astype(bool) & into_b & adjacent[a].astype(bool)).any())
        if rule:
            graph[b, a] = 0
            return True
    return False


def shd(found: ArrayLike, truth: ArrayLike, reversal: int = 1) -> int:
    """The structural Hamming distance: edges that are too many, missing, or of another direction.

    Args:
        found, truth: DAGs or CPDAGs (d, d). In CPDAGs an edge that is directed in one and not in the other counts as
            of another direction.
        reversal: what that counts: 1, or 2 as in some packages.

    Raises:
        ValueError: the shapes differ.

    Source: Tsamardinos, Brown, Aliferis, Machine Learning 65 (2006), 31-78.

    Example:
        >>> shd([[0, 1], [0, 0]], [[0, 0], [1, 0]]), shd([[0, 1], [0, 0]], [[0, 0], [1, 0]], reversal=2)
        (1, 2)
    """
    a, b = _pair(found, truth)
    if reversal not in (1, 2):
        raise ValueError(f"reversal must be 1 or 2, got {reversal!r}")
    upper = np.triu_indices(len(a), 1)
    skeleton = ((a | a.T) != (b | b.T))[upper]
    turned = ((a != b) | (a.T != b.T))[upper] & ~skeleton
    return int(skeleton.sum() + reversal * turned.sum())


def f1(found: ArrayLike, truth: ArrayLike, skeleton: bool = False) -> float:
    """The harmonic mean of precision and recall of edges; 1 of two empty graphs.

    Args:
        found, truth: (d, d). An edge without direction counts for both.
        skeleton: leave directions aside.
    """
    a, b = _pair(found, truth)
    if skeleton:
        a, b = np.triu(a | a.T), np.triu(b | b.T)
    total = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def sid(found: ArrayLike, truth: ArrayLike) -> int:
    """The structural intervention distance: of how many pairs (i, j) the found DAG gives a wrong effect of i on j.

    A found DAG says that an intervention at i changes j as adjusting for i's parents does; that is right for every
    distribution of the true DAG if these are a valid adjustment set in it, or rightly say that j comes before.

    Args:
        found, truth: DAGs (d, d).

    Raises:
        ValueError: one is no DAG, or the shapes differ.

    Source: Peters, Buehlmann, "Structural intervention distance for evaluating causal graphs", Neural Computation 27
    (2015), 771-799.

    Example:
        >>> sid([[0, 0], [0, 0]], [[0, 1], [0, 0]]), sid([[0, 1], [0, 0]], [[0, 0], [0, 0]])
        (1, 0)
    """
    _pair(found, truth)
    guess, effects = checked_dag("found", found), Effects(truth)
    return sum(effects.wrong(i, np.flatnonzero(guess[:, i]).tolist()) for i in range(len(guess)))


class Effects:
    """Which effects in a DAG (d, d) an adjustment gives.

    Raises:
        ValueError: ``truth`` is no DAG.
    """

    def __init__(self, truth: ArrayLike) -> None:
        self._graph = nx.from_numpy_array(checked_dag("truth", truth), create_using=nx.DiGraph)
        self._below = {i: nx.descendants(self._graph, i) for i in self._graph}
        self._counted: dict[tuple[int, frozenset[int]], int] = {}

    def wrong(self, i: int, parents: Iterable[int]) -> int:
        """On how many variables a graph in which i has these parents gives a wrong effect of i."""
        key = i, frozenset(parents)
        if key not in self._counted:
            given = set(key[1])
            self._counted[key] = sum(
                j in self._below[i] if j in given else not self._adjusts(i, j, given) for j in self._graph if j != i
            )
        return self._counted[key]

    def _adjusts(self, i: int, j: int, given: set[int]) -> bool:
        """Say whether adjusting for some variables gives i's effect on j: the generalised back-door criterion."""
        graph, below = self._graph, self._below
        causal = {k for k in below[i] if k == j or j in below[k]} if j in below[i] else set()
        if any(k in given or below[k] & given for k in causal):
            return False
        kept = graph.copy()
        kept.remove_edges_from([(i, k) for k in graph.successors(i) if k in causal])
        found: bool = nx.is_d_separator(kept, {i}, {j}, given - {i, j})
        return found


def checked_dag(name: str, adjacency: ArrayLike) -> Matrix:
    """A matrix of 0 and 1 without cycles.

    Raises:
        ValueError: it is none.
    """
    found = checked_graph(name, adjacency)
    if not nx.is_directed_acyclic_graph(nx.from_numpy_array(found, create_using=nx.DiGraph)):
        raise ValueError(f"{name} must have no cycles")
    return found


def _pair(found: ArrayLike, truth: ArrayLike) -> tuple[Matrix, Matrix]:
    a, b = checked_graph("found", found), checked_graph("truth", truth)
    if a.shape != b.shape:
        raise ValueError(f"found must have the shape of truth, {b.shape}, got {a.shape}")
    return a, b


def checked_graph(name: str, adjacency: ArrayLike) -> Matrix:
    """A matrix (d, d) of 0 and 1 with an empty diagonal.

    Raises:
        ValueError: it is none.
    """
    found = np.asarray(adjacency)
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise ValueError(f"{name} must have shape (d, d), got {found.shape}")
    if not np.isin(found, (0, 1)).all() or np.diagonal(found).any():
        raise ValueError(f"{name} must hold 0 and 1, and 0 on its diagonal")
    return found.astype(np.int64)
