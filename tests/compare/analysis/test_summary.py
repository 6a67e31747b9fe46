"""From records to verdicts, on records made by hand."""

import dataclasses
import math

import pytest

from steepest.compare.analysis.choice import best_of
from steepest.compare.analysis.summary import summarize
from steepest.compare.records.record import Record
from steepest.compare.results.budget import cost_notes
from steepest.compare.results.columns import result_columns
from steepest.compare.results.formats import (
    format_difference,
    format_evaluations_to_target,
    format_gradient,
    format_metric,
)
from steepest.compare.results.sentences import (
    edge_warnings,
    instrument_warnings,
    schedule_warnings,
    verdict_sentence,
)
from steepest.compare.spec import InstrumentSpec
from tests.compare import TINY_FILE
from tests.compare.study.frozen import freeze

TINY = str(TINY_FILE)


SHARPNESS = InstrumentSpec("sharpness", "sharpness", "Sharpness", "end", ".3g", False, None)


def make_spec(methods=("good", "twin"), workload="clouds", trials=4, seeds=5):
    return freeze(f"{TINY}:{workload}", [f"{TINY}:{m}" for m in methods], trials=trials, seeds=seeds)


def tune(method, trial, metric, loss=1.0, lr=None, status="finished"):
    return Record("w", method, "tune", trial, 0, {"lr": 0.1 * (trial + 1) if lr is None else lr}, status, 0.0, 1.0,
                  validation_metric=metric, validation_loss=loss)  # fmt: skip


def final(method, seed, metric, to_target=10, status="finished"):
    return Record("w", method, "final", seed - 1, seed, {"lr": 0.2}, status, 0.0, 1.0,
                  test_metric=metric, evaluations_to_target=to_target, seconds=1.0)  # fmt: skip


def searched(*methods):
    return [tune(m, i, [0.5, 0.9, 0.8, 0.7][i]) for m in methods for i in range(4)]


def test_choice_is_the_best_validation_metric_then_loss_then_the_earlier():
    spec = make_spec()
    assert best_of(spec, [tune("good", 0, 0.8), tune("good", 1, 0.9), tune("good", 2, 0.7)]).trial == 1
    assert best_of(spec, [tune("good", 0, 0.9, loss=2.0), tune("good", 1, 0.9, loss=1.0)]).trial == 1
    assert best_of(spec, [tune("good", 1, 0.9), tune("good", 0, 0.9)]).trial == 0
    assert best_of(spec, [tune("good", 0, None, status="diverged")]) is None
    lower_is_better = make_spec(workload="marked")
    assert best_of(lower_is_better, [tune("good", 0, 0.8), tune("good", 1, 0.9)]).trial == 0


@pytest.mark.parametrize(("shift", "verdict"), [(0.05, "better"), (-0.05, "worse"), (0.0, "no difference seen")])
def test_verdicts(shift, verdict):
    noise = [0.001, -0.002, 0.0015, -0.001, 0.0005]
    finals = [final("good", s, 0.8 + s / 100) for s in range(1, 6)]
    finals += [final("twin", s, 0.8 + s / 100 + shift + noise[s - 1]) for s in range(1, 6)]
    summary = summarize(make_spec(), searched("good", "twin") + finals)
    twin = next(row for row in summary.rows if row.method.name == "twin")
    assert summary.baseline.method.name == "good"  # no sgd: the first is the baseline
    assert twin.comparison.verdict == verdict
    assert twin.comparison.difference == pytest.approx(shift, abs=1e-9)
    assert twin.comparison.pairs == 5
    assert summary.complete
    assert summary.rows[0].mean == max(row.mean for row in summary.rows)
    sentence = verdict_sentence(summary)
    assert {"better": "better than good", "worse": "worse than good"}.get(
        verdict, "no difference from good"
    ) in sentence


def test_lower_is_better_turns_the_verdict():
    finals = [final("good", s, 0.8 + s / 100) for s in range(1, 6)]
    finals += [final("twin", s, 0.7 + s / 100 + s / 1000) for s in range(1, 6)]
    summary = summarize(make_spec(workload="marked"), searched("good", "twin") + finals)
    assert [row.method.name for row in summary.rows] == ["twin", "good"]
    assert summary.rows[0].comparison.verdict == "better"


def test_identical_methods_show_no_difference():
    finals = [final(m, s, 0.8 + s / 100) for m in ("good", "twin") for s in range(1, 6)]
    comparison = summarize(make_spec(), searched("good", "twin") + finals).rows[1].comparison
    assert (comparison.verdict, comparison.difference, comparison.p_value) == ("no difference seen", 0.0, 1.0)


def test_correction_can_take_a_verdict_back_and_says_so():
    finals = [final("good", s, 0.8) for s in range(1, 6)]
    finals += [final("twin", s, 0.8 + d) for s, d in enumerate([0.01, 0.02, 0.03, 0.002, 0.02], 1)]  # p = 0.03
    finals += [final("slow", s, 0.8 + d) for s, d in enumerate([0.01, -0.02, 0.03, 0.0, -0.02], 1)]
    names = ("good", "twin", "slow")
    twin = summarize(make_spec(names), searched(*names) + finals).rows[0]
    assert twin.method.name == "twin"
    assert twin.comparison.p_value < 0.05 < twin.comparison.adjusted
    assert twin.comparison.verdict == "no difference seen"
    assert twin.comparison.reason == "not after correcting for 2 comparisons"


def test_a_diverged_seed_forbids_a_verdict_and_is_counted():
    finals = [final("good", s, 0.8 + s / 100) for s in range(1, 6)]
    finals += [final("twin", s, 0.9 + s / 100) for s in range(1, 5)] + [final("twin", 5, None, None, "diverged")]
    row = summarize(make_spec(), searched("good", "twin") + finals).rows[0]
    assert row.comparison.verdict == "no verdict"
    assert row.comparison.reason == "runs of twin diverged or failed"
    assert (row.diverged, row.failed, row.runs, row.seeds) == (1, 0, 9, 4)


def test_one_seed_has_no_verdict():
    records = [*searched("good", "twin"), final("good", 1, 0.8), final("twin", 1, 0.9)]
    row = summarize(make_spec(seeds=1), records).rows[0]
    assert (row.comparison.verdict, row.comparison.reason) == ("no verdict", "one seed shows no spread")
    assert row.interval is None


def test_a_miss_of_the_target_is_infinite_in_the_median():
    def median(*to_target):
        finals = [final("good", s, 0.8, t) for s, t in enumerate(to_target, 1)]
        return summarize(make_spec(("good",)), searched("good") + finals).rows[0]

    assert median(10, 20, None).evaluations_to_target == 20
    assert math.isinf(median(10, None, None).evaluations_to_target)
    assert format_evaluations_to_target(median(10, None, None)) == "∞"
    assert median(10, 20, None).reached == 2


@pytest.mark.parametrize(("best", "edge"), [(0, "lowest"), (3, "highest"), (1, None)])
def test_edge_of_what_was_tried(best, edge):
    records = [tune("good", i, 0.9 if i == best else 0.5) for i in range(4)]
    summary = summarize(make_spec(("good",)), records)
    assert summary.rows[0].edges == ({"lr": edge} if edge else {})
    assert len(edge_warnings(summary)) == (edge is not None)
    if edge:
        assert f"is the {edge} of those tried" in edge_warnings(summary)[0]


def test_a_study_without_results_still_has_a_summary():
    summary = summarize(make_spec(), [])
    assert not summary.complete
    assert summary.planned == 2 * (4 + 5)
    assert "no finished final run" in verdict_sentence(summary)


def test_a_method_whose_search_is_lost_plans_no_final_runs():
    lost = [tune("twin", i, None, None, status="diverged") for i in range(4)]
    finals = [final("good", s, 0.8) for s in range(1, 6)]
    summary = summarize(make_spec(), searched("good") + lost + finals)
    assert summary.planned == 4 + 5 + 4
    assert summary.complete
    assert summary.rows[1].comparison.verdict == "no verdict"
    assert summary.rows[1].diverged == 4


def test_sharpness_is_the_median_and_the_range_over_the_seeds():
    def row(*sharpness, notes=(None, None, None)):
        finals = [
            dataclasses.replace(
                final("good", s, 0.8), measures={"sharpness": value}, notes={"sharpness": note} if note else {}
            )
            for s, (value, note) in enumerate(zip(sharpness, notes, strict=True), 1)
        ]
        spec = dataclasses.replace(make_spec(("good",)), instruments=(SHARPNESS,))
        return summarize(spec, searched("good") + finals)

    def shown(summary):
        column = next(column for column in result_columns(summary) if column.by == "sharpness")
        return column.terminal[0].text(summary.rows[0])

    assert shown(row(3.0, 12.34, 1.0)) == "3 (1 to 12.3)"
    assert shown(row(3.0, None, 1.0)) == "2 (1 to 3)"
    assert shown(row(None, None, None)) == "-"
    assert instrument_warnings(row(3.0, 2.0, 1.0)) == []
    amiss = row(3.0, None, 1.0, notes=(None, "it is not smooth", "not converged"))
    assert shown(amiss) == "2 (1 to 3)"  # what has not converged is shown all the same
    assert instrument_warnings(amiss) == [
        "good: sharpness missing or inexact in 2 of 3 final runs, first: it is not smooth."
    ]


def test_what_a_schedule_says_of_a_run_is_told_once_for_each_method():
    said = "the sweep found no bounds, and lr 0.1 was taken: nothing seen"
    finals = [dataclasses.replace(final("good", s, 0.8), notes={"lr schedule": said} if s > 1 else {}) for s in (1, 2)]
    summary = summarize(make_spec(("good",)), searched("good") + finals)
    assert schedule_warnings(summary) == [f"good: in 1 of 2 final runs {said}."]
    assert instrument_warnings(summary) == []
    assert schedule_warnings(summarize(make_spec(("good",)), searched("good") + finals[:1])) == []


def test_what_a_step_costs_is_told_where_it_is_not_one():
    def notes(*methods):
        return cost_notes(summarize(freeze("digits-mlp", methods, trials=1, seeds=1), []))

    assert notes("sgd", "ssgd", "csgd+sngm") == []
    assert notes("sgd", "sam") == [
        "sam pays 2 gradient evaluations per step, and so takes half as many steps: 240 of 480."
    ]
    assert notes("ssgd-full", "sgd", "sam+sngm") == [
        "ssgd-full and sam+sngm pay 2 gradient evaluations per step, and so take half as many steps: 240 of 480."
    ]


def test_where_the_gradient_comes_from_in_words():
    spec = freeze("digits-mlp", ["sgd", "csgd+sam"], trials=1, seeds=1)
    assert [format_gradient(m) for m in spec.methods] == [
        "plain",
        "csgd (calibrator=bernoulli, keep=0.9, per=element); sam (rho=0.05)",
    ]


def test_numbers_in_words():
    spec, plain = make_spec(), make_spec(workload="marked")
    assert format_metric(spec, 0.98765) == "98.77\u00a0%"
    assert format_metric(plain, 1.23456) == "1.235"
    assert format_metric(spec, None) == "-"
    assert format_difference(spec, -0.000001) == "+0.00\u00a0pp"
    assert format_difference(spec, -0.0123) == "-1.23\u00a0pp"
