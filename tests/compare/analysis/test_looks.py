"""What is decided at the looks, on made-up metrics whose truth is known."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.compare.analysis.looks import standings
from steepest.compare.analysis.sequential import level
from steepest.compare.analysis.statistics import holm, paired_difference
from steepest.compare.analysis.summary import summarize
from steepest.compare.records.record import Record
from steepest.compare.spec import Stopping
from steepest.compare.spec.stopping import looks
from tests.compare import TINY_FILE
from tests.compare.analysis.simulated import LAWS, counted, records_of, spec_of
from tests.compare.study.frozen import freeze

SPEC = freeze(f"{TINY_FILE}:clouds", [f"{TINY_FILE}:good"], trials=1, seeds=2)
NOISE = 0.001


def early(methods, seeds):
    """A study that stops early, of methods `m0`, the baseline, `m1`, ..."""
    at = looks(seeds)
    levels = tuple(level(0.05 / n, at) for n in range(1, methods))
    return dataclasses.replace(spec_of(SPEC, methods, at[-1]), stopping=Stopping(seeds, at, levels))


def by_place(metrics):
    """The final runs as `standings` takes them."""
    found = {f"m{i}": {} for i in range(len(metrics))}
    for record in records_of(metrics):
        found[record.method][record.trial] = record
    return found


def decided(spec, metrics):
    return standings(spec, by_place(metrics)).methods


def fixed(spec, metrics):
    """Which methods are found by the same study without looks."""
    seeds = spec.stopping.seeds
    p = [paired_difference(list(row[:seeds] - metrics[0, :seeds]))[2] for row in metrics[1:]]
    return {f"m{i}": x < 0.05 for i, x in enumerate(holm(p), 1)}


def with_searches(records):
    """The same, and the one run of each method's search before it."""
    methods = dict.fromkeys(r.method for r in records)
    tried = [
        Record("w", name, "tune", 0, 0, {"lr": 0.1}, "finished", 0.0, 1.0, validation_metric=0.9) for name in methods
    ]
    return [*tried, *records]


GAPS = {
    "equal": lambda methods: np.zeros(methods),
    "one": lambda methods: np.eye(methods)[1],
    "ladder": lambda methods: np.append(0.0, np.linspace(-2, 2, methods - 1) if methods > 2 else [2.0]),
}


def rates(law, methods, seeds, gaps, studies):
    """The share of studies with a false verdict; in each, the share of differences that the fixed design finds less
    that of those found here; and the share of its final runs that were made."""
    spec, rng = early(methods, seeds), np.random.default_rng(methods * 1000 + seeds)
    truth = GAPS[gaps](methods)
    false, less, runs = [], [], []
    for _ in range(studies):
        metrics = 0.9 + NOISE * (truth[:, None] + law(rng, (methods, spec.stopping.last)))
        stands = standings(spec, by_place(metrics))
        found = {name: stand.end == "found" for name, stand in stands.methods.items()}
        false.append(any(found[f"m{i}"] for i in range(1, methods) if not truth[i]))
        if truth.any():
            there = fixed(spec, metrics)
            less.append(np.mean([there[f"m{i}"] - float(found[f"m{i}"]) for i in range(1, methods) if truth[i]]))
        runs.append(sum(stands.seeds.values()) / (methods * seeds))
    return np.mean(false), np.array(less), np.mean(runs)


CELLS = list(itertools.product(LAWS, GAPS, (2, 4, 8), (5, 10, 20)))


@pytest.mark.parametrize(
    ("law", "gaps", "methods", "seeds", "studies"),
    [
        ("normal", "equal", 4, 5, 200),
        ("normal", "ladder", 4, 10, 100),
        *(pytest.param(*cell, 2000, marks=pytest.mark.slow) for cell in CELLS),
    ],
)
def test_errors_and_power(law, gaps, methods, seeds, studies):
    """A false verdict in at most 5 of 100 studies, and at most 2 in 100 fewer differences found than by the fixed
    design; both but for the noise of so many studies."""
    false, less, runs = rates(LAWS[law], methods, seeds, gaps, studies)
    spread = less.std() / np.sqrt(studies) if len(less) else 0.0
    lost_power = np.sum(less) / studies
    print(f"{law} {gaps} M {methods} S {seeds}: false {false:.3f}, power lost {lost_power:.3f}, runs {runs:.2f}")
    assert false <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert not len(less) or less.mean() <= 0.02 + 3 * spread
    assert runs <= 1.2


def lost(finals, method, place):
    finals[method][place] = dataclasses.replace(finals[method][place], status="diverged", test_metric=None)
    return finals


NOISY = 0.9 + NOISE * np.random.default_rng(4).normal(size=(3, 6))
FAR = NOISY + np.array([[0.0], [0.5], [-0.5]])


def test_a_look_waits_for_the_last_of_its_runs():
    """Of the baseline and of every method that is still open; a seed that ended early counts for nothing before."""
    spec, all_ = early(3, 5), by_place(NOISY)
    first = {name: {place: runs[place] for place in range(3)} for name, runs in all_.items()}
    for name in all_:
        almost = {**first, name: {**{place: first[name][place] for place in range(2)}, 4: all_[name][4]}}
        found = standings(spec, almost)
        assert (found.looks, {stand.seeds for stand in found.methods.values()}) == (0, {0})
        assert set(found.seeds.values()) == {3}
        assert set(found.most.values()) == {6}
    assert standings(spec, first).looks == 1


def test_what_is_far_off_stops_at_the_first_look():
    found = standings(early(3, 5), by_place(FAR))
    assert {name: (stand.end, stand.seeds) for name, stand in found.methods.items()} == {
        "m1": ("found", 3),
        "m2": ("found", 3),
    }
    assert found.seeds == found.most == {"m0": 3, "m1": 3, "m2": 3}


def test_the_baseline_goes_on_while_any_method_does():
    metrics = NOISY + np.array([[0.0], [0.5], [0.002]])
    found = standings(early(3, 5), by_place(metrics))
    assert found.seeds["m1"] == 3 < found.seeds["m2"] == found.seeds["m0"]


def test_equal_methods_are_given_up_and_equal_differences_are_not():
    """Equal differences that are not 0 have no spread, so that nothing speaks for or against them."""
    same = np.vstack([NOISY[:2], NOISY[0]])
    found = decided(early(3, 5), same)
    assert (found["m2"].end, found["m2"].p) == ("given up", 1.0)
    shifted = np.vstack([NOISY[:1], NOISY[:1] + 0.01])
    stand = decided(early(2, 5), shifted)["m1"]
    assert (stand.end, stand.p, stand.seeds) == ("last look", None, 6)


def test_what_differs_by_rounding_alone_is_equal():
    nearly = np.vstack([NOISY[:1], NOISY[:1] + np.random.default_rng(0).uniform(0, 1e-8, size=(1, 6))])
    assert decided(early(2, 5), nearly)["m1"].end == "given up"


@pytest.mark.parametrize("seeds", [5, 10])
def test_counts_make_no_false_verdicts(seeds):
    rng, spec = np.random.default_rng(seeds), early(2, seeds)
    found = [
        decided(spec, counted(0.9 + rng.normal(size=(2, spec.stopping.last)) / 359))["m1"].end == "found"
        for _ in range(400)
    ]
    assert np.mean(found) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_a_lost_run_ends_its_method():
    found = standings(early(3, 5), lost(by_place(NOISY), "m1", 1))
    assert (found.methods["m1"].end, found.seeds["m1"]) == ("lost", 3)
    assert found.methods["m2"].end != "lost"


def test_a_lost_run_of_the_baseline_ends_all_that_are_open():
    found = standings(early(3, 5), lost(by_place(NOISY + np.array([[0.0], [0.5], [0.002]])), "m0", 3))
    assert {name: stand.end for name, stand in found.methods.items()} == {"m1": "found", "m2": "lost"}
    assert found.seeds == {"m0": 4, "m1": 3, "m2": 4}


def test_a_method_whose_search_was_lost_is_waited_for_by_nobody():
    finals = by_place(NOISY)
    finals["m1"] = dict.fromkeys(range(6))
    found = standings(early(3, 5), finals)
    assert found.methods["m1"].end == "lost"
    assert found.methods["m2"].end in ("given up", "last look")
    finals["m0"] = dict.fromkeys(range(6))
    assert {stand.end for stand in standings(early(3, 5), finals).methods.values()} == {"lost"}


def test_a_method_without_others_runs_its_seeds():
    spec = dataclasses.replace(spec_of(SPEC, 1, 5), stopping=Stopping(5, (5,), ()))
    found = standings(spec, by_place(NOISY[:1, :5]))
    assert (found.methods, found.seeds) == ({}, {"m0": 5})


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.sampled_from([3, 5, 8]), st.integers(0, 10**6), st.data())
def test_decisions_depend_on_nothing_but_the_runs(methods, seeds, seed, data):
    """Runs that end in any order, some of them twice as fast: the looks that have been made are always those that all
    of the runs make, and what is still to run closes the next."""
    spec, rng = early(methods, seeds), np.random.default_rng(seed)
    metrics = 0.9 + NOISE * (rng.normal(size=(methods, spec.stopping.last)) + rng.normal(size=(methods, 1)))
    whole = by_place(metrics)
    end = standings(spec, whole)
    known = {name: {} for name in whole}
    while True:
        now = standings(spec, known)
        for name, stand in now.methods.items():
            assert now.seeds[name] <= end.seeds[name] <= now.most[name]
            if stand.end != "open":
                assert stand == end.methods[name] or (stand.end, end.methods[name].end) == ("given up", "found")
        left = [(n, i) for n in whole for i in range(now.seeds[n]) if i not in known[n]]
        if not left:
            break
        name, place = data.draw(st.sampled_from(left))
        known[name][place] = whole[name][place]
    assert now == end
    assert {name: len(runs) for name, runs in known.items()} == end.seeds


def test_the_table_says_when_and_why():
    spec = early(3, 5)
    summary = summarize(spec, with_searches(records_of(FAR)))
    rows = {row.method.name: row for row in summary.rows}
    assert (rows["m1"].comparison.verdict, rows["m1"].comparison.reason) == ("better", "after 3 of 6 seeds")
    assert (rows["m2"].comparison.verdict, rows["m2"].comparison.pairs) == ("worse", 3)
    assert rows["m1"].comparison.adjusted < 0.05
    assert rows["m0"].seeds == 3  # what no look asks for is left out
    (row,) = (
        row for row in summarize(early(2, 5), with_searches(records_of(NOISY[:2]))).rows if row.method.name == "m1"
    )
    assert row.comparison.verdict == "no difference seen"
    assert row.comparison.reason.startswith("given up after ")


@pytest.mark.slow
def test_intervals_hold_wherever_a_method_stopped():
    """The repeated interval of the look, and not the plain one, which is too short."""
    rng, spec = np.random.default_rng(1), early(2, 10)
    inside, plain = [], []
    for _ in range(600):
        metrics = 0.5 + 0.01 * (np.array([[0.0], [0.7]]) + rng.normal(size=(2, 12)))
        (row,) = (row for row in summarize(spec, with_searches(records_of(metrics))).rows if row.method.name == "m1")
        seeds = row.comparison.pairs
        differences = metrics[1, :seeds] - metrics[0, :seeds]
        reach = 2.262 * differences.std(ddof=1) / np.sqrt(seeds)
        inside.append(row.comparison.interval.low <= 0.007 <= row.comparison.interval.high)
        plain.append(abs(differences.mean() - 0.007) <= reach)
    assert np.mean(inside) >= 0.95
    assert np.mean(plain) < np.mean(inside)


def test_where_methods_lie_far_apart_a_quarter_is_enough():
    """Of the evaluations of 16 trials and 40 seeds, 8 standard deviations apart."""
    methods, trials, seeds = 4, 16, 40
    spec, rng = early(methods, seeds), np.random.default_rng(3)
    gaps = 8 * np.array([0, 1, -1, 2])[:, None]
    finals = []
    for _ in range(30):
        found = standings(spec, by_place(0.5 + NOISE * (gaps + rng.normal(size=(methods, spec.stopping.last)))))
        assert {stand.end for stand in found.methods.values()} == {"found"}
        finals.append(sum(found.seeds.values()) / methods)
    assert (trials / 8 + 4 + np.mean(finals)) / (trials + seeds) <= 0.25
