"""The order of the methods when target and budget move, on curves made by hand."""

import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.compare.analysis.sensitivity import other_targets, paid_to, sensitivity, shorter_budgets
from steepest.compare.analysis.summary import summarize
from steepest.compare.records.record import Record
from steepest.compare.results.caveats import order_lines, order_sentence
from steepest.compare.running.setting import outcome_fields
from tests.compare.analysis.simulated import spec_of
from tests.compare.analysis.test_summary import make_spec
from tests.compare.tiny import clouds, good, two_clouds
from tests.training.runs import train

EPOCHS, PER_EPOCH = 20, 6


@pytest.fixture(scope="module")
def base_spec():
    spec = make_spec(("good",))
    workload = dataclasses.replace(spec.workload, target=0.8)
    return dataclasses.replace(spec, workload=workload, epochs=EPOCHS)


def run(method, seed, metrics, cost=1, status="finished"):
    at = [math.ceil(PER_EPOCH * (e + 1) / cost) * cost for e in range(len(metrics))]
    curve = {"gradient_evaluations": at, "validation_metric": list(metrics)}
    return Record("w", method, "final", seed - 1, seed, {"lr": 0.1}, status, 0.0, 1.0, curve=curve,
                  test_metric=None if status != "finished" else 0.9)  # fmt: skip


def ramp(start, end):
    return [start + (end - start) * e / (EPOCHS - 1) for e in range(EPOCHS)]


def summary_of(base_spec, *curves):
    records = [run(f"m{i}", 1, curve) for i, curve in enumerate(curves)]
    return summarize(spec_of(base_spec, len(curves), 1), records)


def test_who_changes_places_with_the_target(base_spec):
    early = [0.5] * 5 + [0.82] * 15  # sooner at 80 %, never at 84 %
    late = [0.6] * 8 + [0.85] * 12
    never = [0.5] * 20
    found = sensitivity(summary_of(base_spec, early, late, never))
    assert found.target.at == 0.8
    assert found.target.groups == (("m0",), ("m1",), ("m2",))
    by_target = {round(order.at, 4): order for order in found.other_targets}
    assert sorted(by_target) == [0.76, 0.79, 0.81, 0.84]
    assert by_target[0.76].swapped == by_target[0.81].swapped == ()
    assert by_target[0.84].groups == (("m1",), ("m0", "m2"))
    assert by_target[0.84].swapped == (("m0", "m1"),)  # m0 and m2 tie now, which is no change of places


def test_who_changes_places_with_the_budget(base_spec):
    steady, last_minute = ramp(0.5, 0.9), [0.5] * 19 + [0.95]
    summary = summary_of(base_spec, steady, last_minute, [0.4] * 20)
    found = sensitivity(summary)
    assert found.budget.groups == (("m1",), ("m0",), ("m2",))
    assert [(order.at, order.swapped) for order in found.other_budgets] == [
        (0.95, (("m1", "m0"),)),
        (0.9, (("m1", "m0"),)),
    ]
    assert order_sentence(summary) == (
        "Order: at 95\u00a0% of the budget, m1 changes places with m0; at 90\u00a0% of the budget, m1 changes places "
        "with m0."
    )


def test_medians_and_misses_and_runs_that_diverged(base_spec):
    spec = spec_of(base_spec, 2, 3)
    good, bad = [0.9] * 20, [0.1] * 20
    runs = [run("m0", s, c) for s, c in ((1, good), (2, bad), (3, bad))] + [run("m1", s, good) for s in (1, 2)]
    found = sensitivity(summarize(spec, [*runs, run("m1", 3, [0.1, None], status="diverged")]))
    assert found.target.groups == (("m1",), ("m0",))  # a miss in the middle is a miss


def test_steps_that_pay_two_are_read_at_the_same_epoch(base_spec):
    """With 15 batches an epoch, the 19th epoch ends after 285 evaluations of one and 286 of two a step."""
    spec = spec_of(base_spec, 2, 1)
    workload = dataclasses.replace(spec.workload, train_samples=15 * spec.batch_size)
    methods = (spec.methods[0], dataclasses.replace(spec.methods[1], evaluations_per_step=2))
    spec = dataclasses.replace(spec, workload=workload, methods=methods)
    assert spec.gradient_evaluations == 300
    curve = [e / 100 for e in range(1, 21)]
    records = [
        dataclasses.replace(run(f"m{i}", 1, curve), curve={
            "gradient_evaluations": [math.ceil(15 * e / cost) * cost for e in range(1, 21)], "validation_metric": curve
        })
        for i, cost in enumerate((1, 2))
    ]  # fmt: skip
    assert [order.groups for order in sensitivity(summarize(spec, records)).other_budgets] == [(("m0", "m1"),)] * 2


def test_the_moved_targets(base_spec):
    workload = base_spec.workload
    assert other_targets(workload) == pytest.approx([0.76, 0.79, 0.81, 0.84])
    high = dataclasses.replace(workload, target=0.97)
    assert other_targets(high) == pytest.approx([0.9215, 0.9685, 0.9715])  # there is no 101.85 %
    loss = dataclasses.replace(workload, target=0.4, percent=False, higher_is_better=False)
    assert other_targets(loss) == pytest.approx([0.38, 0.42])
    assert other_targets(dataclasses.replace(loss, target=0.0)) == []
    error = dataclasses.replace(workload, target=0.4, higher_is_better=False)
    assert other_targets(error) == pytest.approx([0.38, 0.42])


def test_the_moved_budgets():
    assert shorter_budgets(100) == [95, 90]
    assert shorter_budgets(3) == [2]
    assert shorter_budgets(1) == []


def test_lower_is_better_turns_both_orders(base_spec):
    workload = dataclasses.replace(base_spec.workload, higher_is_better=False, percent=False, target=0.3)
    spec = spec_of(dataclasses.replace(base_spec, workload=workload), 2, 1)
    found = sensitivity(summarize(spec, [run("m0", 1, ramp(1.0, 0.35)), run("m1", 1, ramp(1.0, 0.2))]))
    assert found.target.groups == found.budget.groups == (("m1",), ("m0",))


def test_in_words(base_spec):
    quiet = summary_of(base_spec, ramp(0.5, 0.9), ramp(0.4, 0.85), [0.1] * 20)
    assert order_sentence(quiet) == (
        "Order: no two methods change places with a target 5 % lower or higher, at 95\u00a0% of the budget or at "
        "90\u00a0% of the budget."
    )
    assert order_lines(quiet)[0] == ("evaluations to 80\u00a0%", "m0, m1, m2")
    assert order_lines(quiet)[1] == ("to 76\u00a0% instead", "no change of places")
    missed = summary_of(base_spec, [0.1] * 20, [0.1] * 20)
    assert order_lines(missed)[0][1] == order_lines(missed)[1][1] == "no method gets there"
    assert order_lines(missed)[5] == ("validation accuracy at the end", "m0 = m1")
    assert "target" not in order_sentence(missed)
    crowd = summary_of(base_spec, *([0.5] * 19 + [0.6 + i / 100] for i in range(3)), ramp(0.6, 0.59))
    assert "m2 changes places with m3" in order_sentence(crowd)
    assert "and 1 more pair" in order_sentence(crowd)


def test_one_method_or_none_has_no_order(base_spec):
    assert sensitivity(summary_of(base_spec, [0.9] * 20)) is None
    assert sensitivity(summarize(spec_of(base_spec, 2, 1), [])) is None
    assert order_lines(summary_of(base_spec)) == []


CURVES = st.lists(st.lists(st.integers(0, 100), min_size=EPOCHS, max_size=EPOCHS), min_size=2, max_size=5)


@settings(max_examples=50, deadline=None)
@given(CURVES, st.randoms())
def test_swaps_are_swaps_and_the_order_of_the_methods_does_not_matter(base_spec, curves, random):
    spec = spec_of(base_spec, len(curves), 1)
    records = [run(f"m{i}", 1, [x / 100 for x in curve]) for i, curve in enumerate(curves)]
    found = sensitivity(summarize(spec, records))
    for reference, others in ((found.target, found.other_targets), (found.budget, found.other_budgets)):
        for order in others:
            here, there = ({n: i for i, g in enumerate(o.groups) for n in g} for o in (reference, order))
            assert all(here[a] < here[b] and there[a] > there[b] for a, b in order.swapped)
    methods = list(spec.methods)
    random.shuffle(methods)
    again = sensitivity(summarize(dataclasses.replace(spec, methods=tuple(methods)), records))
    for one, other in ((found.target, again.target), (found.budget, again.budget)):
        assert [set(group) for group in one.groups] == [set(group) for group in other.groups]


def test_the_curve_gives_the_recorded_evaluations_to_the_target(base_spec):
    spec = spec_of(base_spec, 1, 1)
    outcome = train(clouds, good, two_clouds(None), {"lr": 0.3}, seed=1, epochs=6, batch_size=20, with_test=False)
    fields = json.loads(json.dumps(outcome_fields(outcome)))
    record = Record("clouds", "good", "final", 0, 1, {"lr": 0.3}, started=0, finished=1, **fields)
    assert outcome.evaluations_to_target is not None
    assert paid_to(spec, record, clouds.target) == outcome.evaluations_to_target
    assert paid_to(spec, record, 1.1) == math.inf
