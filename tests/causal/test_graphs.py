"""Equivalence classes and distances of small graphs against enumeration."""

import itertools

import networkx as nx
import numpy as np
import pytest

from steepest.causal import classes, cpdag, f1, shd, sid, sid_bounds


def dags(d):
    """All DAGs of d nodes."""
    pairs = list(itertools.permutations(range(d), 2))
    for chosen in itertools.product((0, 1), repeat=len(pairs)):
        matrix = np.zeros((d, d), dtype=int)
        for pair, present in zip(pairs, chosen, strict=True):
            matrix[pair] = present
        if nx.is_directed_acyclic_graph(nx.from_numpy_array(matrix, create_using=nx.DiGraph)):
            yield matrix


def signature(dag):
    """Skeleton and colliders, which an equivalence class shares."""
    skeleton = dag | dag.T
    colliders = {
        (i, k, j) for k in range(len(dag)) for i, j in itertools.combinations(np.flatnonzero(dag[:, k]), 2)
        if not skeleton[i, j]
    }  # fmt: skip
    return skeleton.tobytes(), frozenset(colliders)


def test_a_cpdag_is_the_union_of_its_class():
    classes = {}
    for dag in dags(4):
        classes.setdefault(signature(dag), []).append(dag)
    assert (sum(map(len, classes.values())), len(classes)) == (543, 185)
    for members in classes.values():
        union = np.bitwise_or.reduce(members)
        for dag in members:
            np.testing.assert_array_equal(cpdag(dag), union)


def test_what_is_known_turns_others():
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    fixed = np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(cpdag(chain, fixed), chain)


def test_distances_count_edges():
    empty, chain = np.zeros((3, 3), dtype=int), np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert shd(empty, chain) == shd(chain, empty) == 2
    assert shd(chain.T, chain) == 2
    assert shd(chain.T, chain, reversal=2) == 4
    assert shd(cpdag(chain), chain) == 2
    assert shd(cpdag(chain), cpdag(chain.T)) == 0
    assert f1(chain, chain) == f1(empty, empty) == 1
    assert f1(chain.T, chain) == 0
    assert f1(chain.T, chain, skeleton=True) == 1
    assert f1([[0, 1, 1], [0, 0, 0], [0, 0, 0]], chain) == 0.5


def effects(dag, seed, covariance=None, guess=None):
    """Total effects of i on j: in the DAG, or by adjusting for the guess's parents in the covariance."""
    rng = np.random.default_rng(seed)
    weights = dag * rng.uniform(0.5, 1.5, dag.shape)
    d = len(dag)
    through = np.linalg.inv(np.eye(d) - weights)
    sigma = through.T @ np.diag(rng.uniform(0.5, 2, d)) @ through
    found = np.zeros((d, d))
    for i, j in itertools.permutations(range(d), 2):
        parents = [] if guess is None else [int(p) for p in np.flatnonzero(guess[:, i])]
        if guess is None:
            found[i, j] = through[i, j]
        elif j not in parents:
            x = [i, *parents]
            found[i, j] = np.linalg.solve(sigma[np.ix_(x, x)], sigma[x, j])[0]
    return found


def test_sid_counts_wrong_effects_of_interventions():
    """By linear Gaussian laws with random weights, in which a wrong adjustment gives another number."""
    rng = np.random.default_rng(0)
    everyone = list(dags(4))
    for _ in range(400):
        guess, truth = (everyone[int(i)] for i in rng.integers(0, len(everyone), 2))
        wrong = np.abs(effects(truth, 1, guess=guess) - effects(truth, 1)) > 1e-9
        assert sid(guess, truth) == wrong.sum(), (guess, truth)


def test_sid_of_a_graph_with_itself_is_0():
    assert all(sid(dag, dag) == 0 for dag in dags(3))


@pytest.mark.slow
def test_bounds_of_sid_are_the_least_and_largest_of_the_class(monkeypatch):
    members = {}
    for dag in dags(4):
        members.setdefault(signature(dag), []).append(dag)
    rng = np.random.default_rng(0)
    truths = list(dags(4))
    for alike in members.values():
        truth = truths[int(rng.integers(len(truths)))]
        found = [sid(dag, truth) for dag in alike]
        whole = cpdag(alike[0])
        assert sid_bounds(whole, truth) == (min(found), max(found))
        assert any(np.array_equal(classes.member(whole), dag) for dag in alike)
        monkeypatch.setattr(classes, "MOST", 1)  # as of a part with too many orientations
        low, high = sid_bounds(whole, truth)
        monkeypatch.undo()
        assert low <= min(found) <= max(found) <= high
        assert sid_bounds(alike[0], truth) == (found[0], found[0])


def test_bounds_of_sid_keep_to_what_is_known():
    chain = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    fixed = np.zeros_like(chain)
    fixed[2, 3] = 1
    known = cpdag(chain, fixed)
    alike = [dag for dag in dags(4) if signature(dag) == signature(chain) and dag[2, 3]]
    found = [sid(dag, chain) for dag in alike]
    assert len(alike) == 3
    assert sid_bounds(known, chain) == (min(found), max(found)) == (0, max(found))


def test_many_orientations_take_no_long_time():
    complete = np.triu(np.ones((8, 8), dtype=int), 1)  # 8! orientations
    low, high = sid_bounds(cpdag(complete), complete)
    assert low == 0
    assert high >= sid(complete.T, complete)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: cpdag([[0, 1], [1, 0]]), "adjacency must have no cycles"),
        (lambda: cpdag([[0, 2], [0, 0]]), "adjacency must hold 0 and 1"),
        (lambda: cpdag([[1, 0], [0, 0]]), "0 on its diagonal"),
        (lambda: cpdag([0, 1]), r"adjacency must have shape \(d, d\), got \(2,\)"),
        (lambda: shd(np.zeros((2, 2)), np.zeros((3, 3))), "found must have the shape of truth"),
        (lambda: shd(np.zeros((2, 2)), np.zeros((2, 2)), reversal=3), "reversal must be 1 or 2, got 3"),
        (lambda: sid(np.zeros((2, 2)), [[0, 1], [1, 0]]), "truth must have no cycles"),
        (lambda: sid_bounds(np.zeros((2, 2)), [[0, 1], [1, 0]]), "truth must have no cycles"),
        (lambda: sid_bounds(np.zeros((2, 2)), np.zeros((3, 3))), r"found must have the shape of truth, \(3, 3\)"),
        (
            lambda: sid_bounds([[0, 1, 0], [0, 0, 1], [1, 0, 0]], np.zeros((3, 3))),
            "found must be a class of graphs without cycles",
        ),
        (
            lambda: sid_bounds([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]], np.zeros((4, 4))),
            "found must be a class of graphs without cycles",
        ),
    ],
)  # fmt: skip
def test_what_is_no_graph_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
