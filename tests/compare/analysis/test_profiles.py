"""Several workloads at once: known answers."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steepest.compare.analysis.profiles import (
    across,
    comparable,
    costs_of,
    geometric_mean_ratio,
    performance_profile,
    performance_ratios,
    profile_score,
)
from steepest.compare.analysis.summary import summarize
from tests.compare.analysis.test_summary import final, make_spec, searched, tune

INF = math.inf
COSTS = st.one_of(st.integers(1, 1000).map(float), st.just(INF))


def study(name, **to_target):
    """A study of two methods with three seeds; the evaluations to the target of each."""
    spec = make_spec(("good", "twin"), seeds=3)
    spec = dataclasses.replace(spec, name=name)
    runs = [final(m, s, 0.8, t) for m, ts in to_target.items() for s, t in enumerate(ts, 1)]
    return summarize(spec, [*searched("good", "twin"), *runs])


def test_three_workloads_by_hand():
    studies = [
        study("a", good=(10, 20, 30), twin=(40, 40, 40)),
        study("b", good=(60, 60, 60), twin=(20, 20, None)),
        study("c", good=(10, None, None), twin=(50, 50, 50)),
    ]
    assert costs_of(studies) == {"good": [20, 60, INF], "twin": [40, 20, 50]}
    twin, good = across(studies, "good")
    assert (twin.method, twin.ratios, twin.median, twin.compared) == ("twin", (2, 1, 1), 1, 3)
    assert twin.score == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert twin.geometric_mean == 0  # the baseline misses on c
    assert (good.method, good.ratios, good.median, good.geometric_mean) == ("good", (1, 3, INF), 3, 1)
    assert good.score == pytest.approx((1 + 1 / 3) / 3)
    assert [row.geometric_mean for row in across(studies, "twin")] == [1, INF]
    assert across(studies[:2], "good")[0].geometric_mean == pytest.approx(math.sqrt(2 / 3))


def test_a_profile_by_hand():
    """Four problems and three solvers, one of which fails twice."""
    ratios = performance_ratios({"a": [1, 8, 3, 5], "b": [2, 4, 3, INF], "c": [4, 2, INF, INF]})
    assert ratios == {"a": [1, 4, 1, 1], "b": [2, 2, 1, INF], "c": [4, 1, INF, INF]}
    heights = {name: [performance_profile(r, t) for t in (1, 2, 3.9, 4, 1e9)] for name, r in ratios.items()}
    assert heights == {
        "a": [0.75, 0.75, 0.75, 1, 1],
        "b": [0.25, 0.75, 0.75, 0.75, 0.75],
        "c": [0.25, 0.25, 0.25, 0.5, 0.5],
    }


def test_where_no_method_gets_there_all_miss():
    assert performance_ratios({"a": [INF, 2], "b": [INF, 1]}) == {"a": [INF, 2], "b": [INF, 1]}
    assert profile_score([INF, INF]) == 0
    assert profile_score([1, 1]) == 1


@given(st.lists(st.one_of(st.floats(1, 8), st.just(INF)), min_size=1, max_size=6))
def test_the_score_is_the_area_under_the_profile(ratios):
    at = np.linspace(1, 4, 3001)
    heights = [performance_profile(ratios, x) for x in at]
    assert profile_score(ratios) == pytest.approx(np.trapezoid(heights, at) / 3, abs=1e-3)


@given(st.lists(st.tuples(COSTS, COSTS, COSTS), min_size=1, max_size=6), st.floats(0.1, 10))
def test_neither_the_unit_of_a_workload_nor_an_eager_loser_matters(rows, unit):
    costs = dict(zip("abc", map(list, zip(*rows, strict=True)), strict=True))
    ratios = performance_ratios(costs)
    scaled = performance_ratios({name: [unit * own[0], *own[1:]] for name, own in costs.items()})
    for name in "abc":
        assert scaled[name] == pytest.approx(ratios[name])
        assert all(r >= 1 for r in ratios[name])
    with_loser = performance_ratios({**costs, "d": [INF] * len(rows)})
    assert {name: with_loser[name] for name in "abc"} == ratios
    assert profile_score(with_loser["d"]) == 0
    there, back = geometric_mean_ratio(costs["a"], costs["b"]), geometric_mean_ratio(costs["b"], costs["a"])
    assert there[1] == back[1]
    if there[0]:
        assert back[0] == pytest.approx(1 / there[0])


def test_geometric_means_at_the_edges():
    assert geometric_mean_ratio([10, 40], [20, 20]) == (1, 2)
    assert geometric_mean_ratio([INF, 40], [20, 20]) == (INF, 2)
    assert geometric_mean_ratio([10, 40], [INF, 20]) == (0, 2)
    assert geometric_mean_ratio([INF, 40], [20, INF]) == (None, 2)
    assert geometric_mean_ratio([INF, 40], [INF, 20]) == (2, 1)
    assert geometric_mean_ratio([INF], [INF]) == (None, 0)


def test_studies_that_cannot_be_put_together():
    whole = study("a", good=(10, 20, 30), twin=(40, 40, 40))
    with pytest.raises(ValueError, match="at least one study"):
        across([], "good")
    with pytest.raises(ValueError, match="'sgd' is not among the methods good, twin"):
        across([whole], "sgd")
    with pytest.raises(ValueError, match="twin has no final run on b yet"):
        across([whole, study("b", good=(10, 20, 30))], "good")
    other = summarize(make_spec(("good", "slow"), seeds=3), [])
    with pytest.raises(ValueError, match="must compare the same methods; a has good, twin, clouds has good, slow"):
        across([whole, other], "good")


def test_a_lost_search_is_a_miss():
    lost = [tune("twin", i, None, None, status="diverged") for i in range(4)]
    finals = [final("good", s, 0.8) for s in range(1, 4)]
    summary = summarize(make_spec(("good", "twin"), seeds=3), [*searched("good"), *lost, *finals])
    assert costs_of([summary]) == {"good": [10], "twin": [INF]}


def test_scores_wait_for_every_result():
    whole = study("a", good=(10, 20, 30), twin=(40, 40, 40))
    assert [comparable(found) for found in ([], [whole], [whole, whole])] == [False, False, True]
    unfinished = study("b", good=(10, 20, 30))
    assert not comparable([whole, unfinished])
    lost = summarize(whole.spec, [tune(m, i, None, status="diverged") for m in ("good", "twin") for i in range(4)])
    assert comparable([whole, lost])
    assert [row.reached for row in across([whole, lost], "good")] == [1, 1]


def test_final_runs_that_all_failed_are_misses():
    whole = study("a", good=(10, 20, 30), twin=(40, 40, 40))
    failed = [final("twin", seed, None, None, status="failed") for seed in (1, 2, 3)]
    runs = [*searched("good", "twin"), *(final("good", seed, 0.8) for seed in (1, 2, 3)), *failed]
    summaries = [whole, summarize(whole.spec, runs)]
    assert comparable(summaries)
    assert costs_of(summaries)["twin"] == [40, INF]
