"""The members of an equivalence class of graphs, and what can be said of all of them."""

import itertools
from collections.abc import Iterator

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from steepest.causal.graphs import Effects, Matrix, checked_graph, close, cpdag

MOST = 2000  # orientations of a connected part, beyond which its variables are looked at one by one


def sid_bounds(found: ArrayLike, truth: ArrayLike) -> tuple[int, int]:
    """The least and the largest :func:`~steepest.causal.sid` of the DAGs of a class.

    Parts of the class that edges without direction connect are oriented independently of each other. Of a part with
    more than 2,000 orientations each variable takes its own best and worst parents, so that the bounds may not be
    reached.

    Args:
        found: a CPDAG (d, d), or a DAG, which stands for itself alone: give its :func:`~steepest.causal.cpdag` for all
            that cannot be told from it.
        truth: a DAG (d, d).

    Raises:
        ValueError: ``truth`` is no DAG, ``found`` is no class of DAGs, or the shapes differ.

    Source: Peters, Buehlmann, "Structural intervention distance for evaluating causal graphs", Neural Computation 27
    (2015), 771-799, section 2.4.3.

    Example:
        >>> sid_bounds([[0, 1], [1, 0]], [[0, 1], [0, 0]])
        (0, 2)
    """
    graph = checked_graph("found", found)
    effects = Effects(truth)
    if graph.shape != np.shape(truth):
        raise ValueError(f"found must have the shape of truth, {np.shape(truth)}, got {graph.shape}")
    member(graph)
    low = high = 0
    for part in _parts(graph):
        wrong = _count_wrong(graph, part, effects)
        low, high = low + min(wrong), high + max(wrong)
    return low, high


def member(graph: ArrayLike) -> Matrix:
    """A DAG (d, d) of a class of graphs.

    Raises:
        ValueError: there is none.

    Example:
        >>> member([[0, 1, 0], [1, 0, 1], [0, 1, 0]]).tolist()
        [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    """
    given = checked_graph("found", graph)
    found = given.copy()
    for part in _parts(given):
        found[np.ix_(part, part)] = next(_orient(found[np.ix_(part, part)].copy()))
    acyclic = nx.is_directed_acyclic_graph(nx.from_numpy_array(found, create_using=nx.DiGraph))
    if not acyclic or (cpdag(found, fixed=given & ~given.T) != given).any():
        raise ValueError("found must be a class of graphs without cycles, such as cpdag gives")
    return found


def _parts(graph: Matrix) -> list[list[int]]:
    """List the variables that edges without direction connect."""
    return [sorted(part) for part in nx.connected_components(nx.from_numpy_array(graph & graph.T))]


def _orient(graph: Matrix) -> Iterator[Matrix]:
    """Give every orientation of a connected part, which has no dead ends as long as what follows is oriented."""
    either = np.argwhere(np.triu(graph & graph.T))
    if not len(either):
        yield graph
        return
    a, b = either[0]
    for i, j in ((b, a), (a, b)):
        turned = graph.copy()
        turned[i, j] = 0
        yield from _orient(close(turned))


def _count_wrong(graph: Matrix, part: list[int], effects: Effects) -> list[int]:
    """Count wrong effects of a part's variables in each of its orientations: the least and largest are bounds."""
    outside = {i: [int(p) for p in np.flatnonzero(graph[:, i] & ~graph[i]) if p not in part] for i in part}
    found = []
    for oriented in itertools.islice(_orient(graph[np.ix_(part, part)].copy()), MOST + 1):
        own = ((i, [part[p] for p in np.flatnonzero(oriented[:, at])]) for at, i in enumerate(part))
        found.append(sum(effects.wrong(i, [*outside[i], *parents]) for i, parents in own))
    if len(found) <= MOST:
        return found
    alone = [[effects.wrong(i, parents) for parents in _list_parents(graph, i)] for i in part]
    return [sum(map(min, alone)), sum(map(max, alone))]


def _list_parents(graph: Matrix, i: int) -> Iterator[list[int]]:
    """Give the sets of parents that a variable can have: of neighbours those that are neighbours of each other."""
    sure = np.flatnonzero(graph[:, i] & ~graph[i]).tolist()
    beside = np.flatnonzero(graph[:, i] & graph[i]).tolist()
    yield sure
    for clique in nx.enumerate_all_cliques(nx.from_numpy_array((graph | graph.T)[np.ix_(beside, beside)])):
        yield [*sure, *(beside[at] for at in clique)]
