"""Scores against regressions and counts done otherwise; parents against trying all of them."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LinearRegression, lars_path

from steepest.causal.knowledge import Knowledge
from steepest.causal.parents import LassoSearch, ParentSearch, members
from steepest.causal.scores import BDeu, CalledScore, DiscreteBIC, GaussianBIC
from steepest.causal.simulation import linear_gaussian
from steepest.causal.table import checked_table


def numeric(d=5, rows=200, seed=0):
    return checked_table(linear_gaussian(d, rows, seed=seed).data, kind="numeric")


def discrete(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 2, rows), rng.integers(0, 3, rows)
    c = (a + b + (rng.random(rows) < 0.2)) % 3
    return checked_table(pd.DataFrame({"a": a, "b": b, "c": c, "d": rng.integers(0, 4, rows)}), kind="discrete")


def subsets(items):
    return itertools.chain.from_iterable(itertools.combinations(items, k) for k in range(len(items) + 1))


def test_gaussian_bic_is_that_of_a_regression():
    table = numeric()
    score = GaussianBIC(table, penalty=1.5)
    for child in range(5):
        for parents in subsets([i for i in range(5) if i != child]):
            left = table.values[:, child]
            if parents:
                x = table.values[:, parents]
                left = left - LinearRegression().fit(x, left).predict(x)
            likelihood = stats.norm(0, left.std()).logpdf(left - left.mean()).sum()
            expected = likelihood - 1.5 * (len(parents) + 2) / 2 * math.log(200)
            assert score.local(child, parents) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("score", [DiscreteBIC, BDeu])
def test_discrete_scores_are_those_of_counting(score):
    table = discrete()
    levels = table.levels
    for child in range(4):
        for parents in subsets([i for i in range(4) if i != child]):
            expected, combinations = 0.0, math.prod(int(levels[p]) for p in parents)
            own = 10 / combinations
            for values in itertools.product(*(range(levels[p]) for p in parents)):
                rows = (table.values[:, parents] == values).all(axis=1)
                counts = np.array([(table.values[rows, child] == v).sum() for v in range(levels[child])])
                if score is DiscreteBIC:
                    expected += sum(n * math.log(n / counts.sum()) for n in counts if n)
                else:
                    expected += math.lgamma(own) - math.lgamma(own + counts.sum())
                    each = own / levels[child]
                    expected += sum(math.lgamma(each + n) - math.lgamma(each) for n in counts)
            if score is DiscreteBIC:
                expected -= (levels[child] - 1) * combinations / 2 * math.log(300)
            assert score(table).local(child, parents) == pytest.approx(expected, rel=1e-9)


def test_many_combinations_of_values_take_no_memory():
    rng = np.random.default_rng(0)
    table = checked_table(pd.DataFrame(rng.integers(0, 60, (200, 8))).rename(columns=str), kind="discrete")
    assert np.isfinite(BDeu(table).local(0, range(1, 8)))
    assert DiscreteBIC(table).local(0, range(1, 8)) < DiscreteBIC(table).local(0, [])


@pytest.mark.parametrize(
    "make", [lambda: GaussianBIC(numeric()), lambda: BDeu(discrete()), lambda: DiscreteBIC(discrete())]
)
def test_candidates_are_scored_as_one_by_one(make):
    score = make()
    for parents in ([], [2], [3, 1]):
        candidates = [i for i in range(1, 4) if i not in parents]
        found = score.added(0, parents, candidates)
        assert found == pytest.approx([score.local(0, [*parents, c]) for c in candidates], rel=1e-9)


def test_a_function_is_called_with_names_and_data():
    table, seen = numeric(3), []

    def score(child, parents, data):
        seen.append((child, parents, tuple(data.columns)))
        return -len(parents) + 0.0

    assert CalledScore(table, score).local(1, [2, 0]) == -2
    assert seen == [("x1", ("x0", "x2"), ("x0", "x1", "x2"))]
    with pytest.raises(ValueError, match="score must give finite numbers, got nan of 'x1' given"):
        CalledScore(table, lambda *_: math.nan).local(1, [])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(0, 31))
def test_parents_are_at_least_as_good_as_one_by_one_and_better_than_one_more_or_less(seed, before):
    table = numeric(seed=seed)
    score = GaussianBIC(table)
    search = ParentSearch(score, 5, Knowledge(table.names))
    for child in range(5):
        parents, value = search.find(child, before & ~(1 << child))
        assert parents & ~before == 0
        assert value == pytest.approx(score.local(child, members(parents)))
        for other in members(before & ~(1 << child)):
            assert score.local(child, members(parents ^ 1 << other)) <= value + 1e-9


def test_nothing_is_scored_twice():
    table = numeric()
    calls = []

    class Counted(GaussianBIC):
        def local(self, child, parents):
            calls.append((child, tuple(parents)))
            return super().local(child, parents)

        def added(self, child, parents, candidates):
            calls.append((child, tuple(parents), tuple(candidates)))
            return super().added(child, parents, candidates)

    search = ParentSearch(Counted(table), 5, Knowledge(table.names))
    for order in itertools.permutations(range(5)):
        search.total(order)
    assert len(calls) == len(set(calls))
    done = len(calls)
    search.total([4, 3, 2, 1, 0])
    assert len(calls) == done


def test_no_more_parents_than_allowed():
    table = numeric(6, seed=4)
    search = ParentSearch(GaussianBIC(table), 6, Knowledge(table.names), max_parents=1)
    assert max(mask.bit_count() for mask in search.graph(range(6))) <= 1


def test_the_lasso_takes_the_best_support_on_its_path():
    table = numeric(6, rows=150, seed=3)
    score, known = GaussianBIC(table), Knowledge(table.names, required=[("x2", "x0")])
    search = LassoSearch(score, 6, known, 3, np.cov(table.values.T, bias=True), table.rows)
    for child, before in ((0, 0b111100), (3, 0b000111), (5, 0)):
        candidates = members(before)
        path = np.zeros((0, 1))
        if candidates:
            _, _, path = lars_path(table.values[:, candidates], table.values[:, child], method="lasso")
        extra = [2] if child == 0 else []
        supports = [sorted({*extra, *(candidates[i] for i in np.flatnonzero(w))}) for w in path.T]
        best = max(score.local(child, s) for s in supports if len(s) <= 3)
        parents, value = search.find(child, before)
        assert value == pytest.approx(best)
        assert value == pytest.approx(score.local(child, members(parents)))
        assert set(extra) <= set(members(parents))
