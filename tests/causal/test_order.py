"""CausalOrder: against trying all orders, what it keeps to, and that it finds what simulated data hold."""

import itertools

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from steepest.causal import CausalOrder, cpdag, shd
from steepest.causal.simulation import linear_gaussian
from steepest.causal.table import checked_table
from steepest.gradients.permutations import PlackettLuce, ScoreFunction

FAST = {"steps": 40, "samples": 4}


@pytest.mark.parametrize(
    "estimator",
    ["leave-one-out", "relax", "reinforce", "rebar", "neural-sort", "straight-through", "gumbel-sinkhorn"],
)
@pytest.mark.slow
def test_it_finds_the_best_of_all_orders(estimator):
    for seed in range(4):
        data = linear_gaussian(5, 300, seed=seed).data
        model = CausalOrder(estimator=estimator, seed=seed, **FAST).fit(data)
        search, _ = model.parent_search(checked_table(data, kind="numeric"))
        best = max(search.total(order) for order in itertools.permutations(range(5)))
        assert model.score_ == pytest.approx(best)
        assert model.score_by_sgd_ <= model.score_ + 1e-9


def test_what_it_says_fits_together():
    data = linear_gaussian(6, 400, seed=1).data
    model = CausalOrder(**FAST).fit(data)
    assert sorted(model.causal_order_) == sorted(data.columns) == sorted(model.names_)
    adjacency = model.adjacency_matrix_
    assert list(adjacency.index) == list(adjacency.columns) == list(data.columns)
    place = {name: at for at, name in enumerate(model.causal_order_)}
    edges = [(i, j) for i in data.columns for j in data.columns if adjacency.loc[i, j]]
    assert edges
    assert all(place[i] < place[j] for i, j in edges)
    assert set(model.causal_graph_.edges) == set(edges)
    np.testing.assert_array_equal(model.cpdag_, cpdag(adjacency))
    score = model.make_score(checked_table(data, kind="numeric"))
    total = sum(score.local(j, np.flatnonzero(adjacency.to_numpy()[:, j]).tolist()) for j in range(6))
    assert model.score_ == pytest.approx(total)
    assert isinstance(model.order_distribution_, PlackettLuce)
    assert model.history_[-1]["best"] == pytest.approx(model.score_)
    assert model.evaluations_ == 160


def test_names_of_columns_units_and_order_of_columns_do_not_matter():
    data = linear_gaussian(6, 400, seed=2).data
    model = CausalOrder(**FAST).fit(data)
    turned = data[list(reversed(data.columns))] * [1, 10, 0.1, -1, 5, 2] + 3
    other = CausalOrder(**FAST).fit(turned)
    assert other.score_ == pytest.approx(model.score_)
    pd.testing.assert_frame_equal(other.cpdag_.loc[data.columns, data.columns], model.cpdag_)


def test_the_same_seed_is_the_same_fit_whatever_torchs_generator():
    data = linear_gaussian(8, 200, seed=3).data
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(CausalOrder(estimator="relax", **FAST).fit(data))
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0].causal_order_ == found[1].causal_order_
    assert torch.equal(found[0].order_distribution_.logits, found[1].order_distribution_.logits)


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_what_is_known_is_never_violated(draw):
    names = [f"x{i}" for i in range(5)]
    level = draw.draw(st.lists(st.integers(0, 2), min_size=5, max_size=5))
    tiers = [[name for name, at in zip(names, level, strict=True) if at == number] for number in range(3)]
    pairs = [(i, j) for i, j in itertools.permutations(range(5), 2) if (level[i], i) < (level[j], j)]
    required = draw.draw(st.lists(st.sampled_from(pairs), max_size=2, unique=True))
    forbidden = draw.draw(st.lists(st.sampled_from([p for p in pairs if p not in required]), max_size=4, unique=True))
    asked = {
        "tiers": tiers,
        "required": [(names[i], names[j]) for i, j in required],
        "forbidden": [(names[i], names[j]) for i, j in forbidden],
    }
    model = CausalOrder(**asked, **FAST).fit(linear_gaussian(5, 100, seed=4).data)
    found = model.adjacency_matrix_.to_numpy()
    assert all(found[i, j] for i, j in required)
    assert not any(found[i, j] for i, j in forbidden)
    assert all(level[i] <= level[j] for i, j in np.argwhere(found))
    class_ = model.cpdag_.to_numpy()
    assert all(level[i] <= level[j] for i, j in np.argwhere(class_))


def test_tiers_make_less_work():
    sim = linear_gaussian(12, 500, seed=5)
    order = list(nx.topological_sort(nx.from_numpy_array(sim.adjacency, create_using=nx.DiGraph)))
    tiers = [[f"x{i}" for i in order[start : start + 3]] for start in range(0, 12, 3)]
    free, bound = CausalOrder(**FAST).fit(sim.data), CausalOrder(tiers=tiers, **FAST).fit(sim.data)
    assert bound.local_scores_ < 0.5 * free.local_scores_


def test_categorical_data():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 2000), rng.integers(0, 2, 2000)
    c = np.where(rng.random(2000) < 0.9, a + b, rng.integers(0, 3, 2000))
    d = np.where(rng.random(2000) < 0.9, c, rng.integers(0, 3, 2000))
    data = pd.DataFrame({"a": a, "b": b, "c": c, "d": d}).map(lambda value: ("no", "yes", "very")[value])
    for score in ("discrete-bic", "bdeu"):
        model = CausalOrder(score, **FAST).fit(data)
        assert set(model.causal_graph_.edges) == {("a", "c"), ("b", "c"), ("c", "d")}


@pytest.mark.slow
def test_the_lasso_finds_the_graph_too():
    distance = 0
    for seed in range(4):
        sim = linear_gaussian(8, 1000, seed=seed)
        model = CausalOrder("lasso", seed=seed).fit(sim.data)
        distance += shd(model.cpdag_, cpdag(sim.adjacency))
        assert model.score_ <= CausalOrder(seed=seed).fit(sim.data).score_ + 1e-6
    assert distance <= 4


def test_a_function_of_its_own_as_score():
    data = linear_gaussian(4, 200, seed=6).data

    def jumpy(child, parents, frame):
        """Not differentiable, and no criterion of a library."""
        x = frame[list(parents)].to_numpy()
        left = frame[child].to_numpy()
        if parents:
            left = left - x @ np.linalg.lstsq(x, left, rcond=None)[0]
        return -float(np.floor(100 * np.abs(left).mean())) - 3 * len(parents)

    model = CausalOrder(jumpy, **FAST).fit(data)
    assert model.score_ == float(int(model.score_))
    assert model.causal_graph_.number_of_edges() > 0
    assert model.bootstrap(data, 2).shape == (4, 4)


def test_an_estimator_of_its_own():
    data = linear_gaussian(4, 200, seed=6).data
    made = []

    def make(logits, generator):
        made.append(logits)
        return ScoreFunction(logits, "leave-one-out", generator)

    own = CausalOrder(estimator=make, **FAST).fit(data)
    assert own.score_ == CausalOrder(**FAST).fit(data).score_
    assert len(made) == 1


def test_resamples_tell_how_often_an_edge_is_found():
    data = linear_gaussian(4, 300, seed=7).data
    model, seen = CausalOrder(**FAST), []
    shares = model.bootstrap(data, 6, progress=seen.append)
    table = checked_table(data, kind="numeric")
    again = np.mean([model.resampled(table, number) for number in range(6)], axis=0)
    np.testing.assert_array_equal(shares, again)
    assert seen == pytest.approx([(i + 1) / 6 for i in range(6)])
    assert ((shares + shares.T) <= 1).all(axis=None)
    other = CausalOrder(seed=1, **FAST).bootstrap(data, 6)
    assert not np.array_equal(other, shares)


def test_it_is_an_estimator_of_scikit_learns():
    model = CausalOrder("bdeu", tiers=[["a"]], max_parents=2)
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(seed=4).seed == 4


@pytest.mark.slow
@pytest.mark.parametrize(("d", "seeds"), [(10, 10), (20, 10), (50, 4)])
def test_it_scores_at_least_as_the_true_order(d, seeds):
    at_least, distance, empty = 0, 0, 0
    for seed in range(seeds):
        sim = linear_gaussian(d, 1000, seed=seed)
        model = CausalOrder(seed=seed).fit(sim.data)
        search, _ = model.parent_search(checked_table(sim.data, kind="numeric"))
        truth = nx.topological_sort(nx.from_numpy_array(sim.adjacency, create_using=nx.DiGraph))
        at_least += model.score_ >= search.total(list(truth)) - 1e-6
        distance += shd(model.cpdag_, cpdag(sim.adjacency))
        empty += shd(np.zeros((d, d)), cpdag(sim.adjacency))
    assert at_least >= 0.9 * seeds
    assert distance < 0.6 * empty


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"score": "bic"}, "score must be 'gaussian-bic', 'lasso', 'discrete-bic' or 'bdeu', got 'bic'"),
        ({"estimator": "arm"}, "estimator must be 'leave-one-out', 'reinforce', 'relax', 'rebar', .*, got 'arm'"),
        (
            {"estimator": "rebar", "score": "bdeu"},
            "estimator 'rebar' needs a score that can be relaxed, 'gaussian-bic' or 'lasso', got 'bdeu'",
        ),
        ({"estimator": "neural-sort", "score": lambda child, parents, data: 0.0}, "needs a score that can be relaxed"),
        ({"max_parents": 0}, "max_parents must be an integer of at least 1, got 0"),
        ({"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"samples": 1}, "samples must be at least 2 for the leave-one-out estimator, got 1"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"penalty": 0}, "penalty must be a finite number above 0, got 0"),
        ({"score": "bdeu", "penalty": 1.5}, "penalty must be left out with score 'bdeu', which has none, got 1.5"),
        ({"sample_size": 5}, "sample_size must be left out with score 'gaussian-bic', which has none, got 5"),
        (
            {"max_parents": 1, "required": [("x0", "x2"), ("x1", "x2")]},
            "max_parents must be at least the 2 required of 'x2', got 1",
        ),
        ({"polish": 1}, "polish must be True or False, got 1"),
        ({"required": [("x0", "x1"), ("x1", "x0")]}, "required must not go in a circle"),
    ],
)
def test_bad_settings_are_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        CausalOrder(**options).fit(linear_gaussian(3, 50).data)
