"""Verdicts on studies whose truth is planted: none where there is nothing, and what is there is found."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.compare.analysis import verdicts
from steepest.compare.analysis.summary import summarize
from tests.compare.analysis.simulated import LAWS, counted, normal, records_of, spec_of
from tests.compare.analysis.test_summary import TINY
from tests.compare.study.frozen import freeze

STUDIES = 400


@pytest.fixture(scope="module")
def tiny_spec():
    return freeze(f"{TINY}:clouds", [f"{TINY}:good"], trials=1, seeds=1)


@pytest.fixture
def _without_bootstrap(monkeypatch):
    """The bootstrap's intervals decide nothing, and take the longest."""
    monkeypatch.setattr(verdicts, "bootstrap_interval", lambda values: None)


def verdicts_of(spec, metrics):
    """By method, without the baseline."""
    rows = summarize(spec, records_of(metrics)).rows
    return {row.method.name: row.comparison.verdict for row in rows if row.method.name != "m0"}


@pytest.mark.usefixtures("_without_bootstrap")
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("methods", "seeds"), [(2, 3), (2, 10), (4, 5), (8, 3), (8, 20)])
@pytest.mark.slow
def test_identical_methods_are_told_apart_in_less_than_7_of_100_studies(tiny_spec, law, methods, seeds):
    rng = np.random.default_rng([methods, seeds, sorted(LAWS).index(law)])
    spec = spec_of(tiny_spec, methods, seeds)
    quiet = sum(
        set(verdicts_of(spec, 0.9 + 0.01 * LAWS[law](rng, (methods, seeds))).values()) == {"no difference seen"}
        for _ in range(STUDIES)
    )
    assert quiet >= 0.93 * STUDIES


@pytest.mark.usefixtures("_without_bootstrap")
@pytest.mark.parametrize("counts", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("methods", "seeds"), [(2, 2), (8, 2), (8, 3), (4, 5)])
@pytest.mark.slow
def test_accuracies_that_round_to_the_same_count_prove_nothing(tiny_spec, counts, methods, seeds):
    """`counts`: the seeds' standard deviation, in test samples."""
    rng = np.random.default_rng([methods, seeds, int(10 * counts)])
    spec = spec_of(tiny_spec, methods, seeds)
    claims = sum(
        not {"better", "worse"}.isdisjoint(
            verdicts_of(spec, counted(0.97 + counts / 359 * normal(rng, (methods, seeds)))).values()
        )
        for _ in range(STUDIES)
    )
    assert claims <= 0.07 * STUDIES


@pytest.mark.usefixtures("_without_bootstrap")
@pytest.mark.parametrize(
    ("law", "least"), [("normal", 0.95), ("sharing_seeds", 0.95), ("skewed", 0.93), ("heavy_tailed", 0.93)]
)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.slow
def test_a_gap_of_2_standard_deviations_is_found_with_10_seeds(tiny_spec, law, least, sign):
    """Of one method's noise, which every method has on its own: 1.4 standard deviations of the paired differences."""
    rng = np.random.default_rng([sorted(LAWS).index(law), sign + 1])
    spec = spec_of(tiny_spec, 2, 10)
    right = "better" if sign > 0 else "worse"
    found = 0
    for _ in range(STUDIES):
        metrics = 0.9 + 0.01 * LAWS[law](rng, (2, 10))
        metrics[1] += sign * 0.02
        found += verdicts_of(spec, metrics) == {"m1": right}
    assert found >= least * STUDIES


@pytest.mark.usefixtures("_without_bootstrap")
@pytest.mark.parametrize("methods", [4, 8])
@pytest.mark.slow
def test_a_gap_of_2_standard_deviations_of_the_difference_is_found_among_many(tiny_spec, methods):
    rng = np.random.default_rng(methods)
    spec = spec_of(tiny_spec, methods, 10)
    found = 0
    for _ in range(STUDIES):
        metrics = 0.9 + 0.01 * normal(rng, (methods, 10))
        metrics[1] += 2 * np.sqrt(2) * 0.01
        found += verdicts_of(spec, metrics)["m1"] == "better"
    assert found >= 0.95 * STUDIES


@pytest.mark.usefixtures("_without_bootstrap")
def test_what_could_have_been_seen_is_seen_8_times_in_10(tiny_spec):
    rng = np.random.default_rng(5)
    spec = spec_of(tiny_spec, 4, 6)
    rows = [summarize(spec, records_of(normal(rng, (4, 6)))).rows for _ in range(STUDIES)]
    sizes = [row.comparison.detectable for each in rows for row in each if row.method.name != "m0"]
    gap = np.sqrt(np.mean(np.square(sizes)))  # the size goes with the spread, whose square is without bias
    found = 0
    for _ in range(STUDIES):
        metrics = normal(rng, (4, 6))
        metrics[2] += gap
        found += verdicts_of(spec, metrics)["m2"] == "better"
    assert found / STUDIES == pytest.approx(0.8, abs=0.06)  # 3 standard errors


METRICS = st.integers(2, 5).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, 1000), min_size=n, max_size=n), min_size=2, max_size=5)
)


@settings(max_examples=40, deadline=None)
@given(METRICS, st.randoms(), st.integers(-1000, 1000))
def test_neither_the_order_of_the_methods_nor_a_shift_of_all_scores_matters(tiny_spec, metrics, random, shift):
    metrics = np.array(metrics) / 1000
    spec = spec_of(tiny_spec, *metrics.shape)

    def comparisons(spec, records):
        return {row.method.name: row.comparison for row in summarize(spec, records).rows}

    here = comparisons(spec, records_of(metrics))
    methods, records = list(spec.methods), records_of(metrics)
    random.shuffle(methods)
    random.shuffle(records)
    assert comparisons(dataclasses.replace(spec, methods=tuple(methods)), records) == here
    for name, moved in comparisons(spec, records_of(metrics + shift / 1000)).items():
        assert (moved.verdict, moved.reason) == (here[name].verdict, here[name].reason)
        assert moved.adjusted == pytest.approx(here[name].adjusted, abs=1e-6)
        assert moved.detectable == pytest.approx(here[name].detectable, abs=1e-6)


def test_all_that_a_comparison_says(tiny_spec):
    spec = spec_of(tiny_spec, 3, 5)
    metrics = np.array([[0.80, 0.81, 0.82, 0.83, 0.84]] * 3)
    metrics[1] += [0.05, 0.051, 0.049, 0.052, 0.048]
    metrics[2] += 0.05
    rows = {row.method.name: row.comparison for row in summarize(spec, records_of(metrics)).rows}
    seen, flat = rows["m1"], rows["m2"]
    assert (seen.verdict, seen.pairs) == ("better", 5)
    assert seen.interval.low < seen.bootstrap.low < seen.difference < seen.bootstrap.high < seen.interval.high
    assert seen.adjusted == seen.p_value  # the only one that is tested
    assert seen.detectable == pytest.approx(1.6820 * np.std(metrics[1] - metrics[0], ddof=1), rel=1e-3)
    assert (flat.verdict, flat.reason) == ("no verdict", "the same difference on every seed shows no spread")
    assert flat.difference == pytest.approx(0.05)
    assert (flat.interval, flat.p_value, flat.adjusted, flat.detectable) == (None, None, None, None)
