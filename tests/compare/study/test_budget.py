"""A budget may be counted in samples or in seconds: every method gets as many, at whatever its steps cost."""

import dataclasses
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest._errors import InputError
from steepest.compare import Method, Range, Study
from steepest.compare.spec import StudySpec
from steepest.compare.spec.paying import Prices
from steepest.compare.study import timing
from tests.compare import tiny

LR = {"lr": Range(0.01, 1.0)}
LARGE = Method("large", torch.optim.SGD, LR, batch_size=60)
WHOLE = Method("whole", torch.optim.SGD, LR, batches_per_step="epoch")
SMALL = {"trials": 1, "seeds": 2, "epochs": 4, "jobs": 1, "device": "cpu"}


def study_of(methods, out=None, workload=tiny.clouds, **options):
    return Study(workload, methods=methods, out=out, **{**SMALL, **options})


@pytest.fixture(scope="module", autouse=True)
def short_measurements():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "_ENOUGH_SECONDS", 0.02)
        yield


@pytest.fixture(scope="module")
def priced():
    """A study counted in seconds."""
    return study_of(["sgd", LARGE, WHOLE], budget="seconds").spec


def with_prices(spec, **steps):
    (comparison,) = spec.comparisons
    prices = Prices(24 * steps["sgd"], {name: float(seconds) for name, seconds in steps.items()})
    return dataclasses.replace(comparison, budget="seconds", prices=prices)


def test_every_method_sees_as_many_samples(tmp_path):
    study = study_of(["sgd", LARGE, WHOLE], tmp_path / "s", budget="samples", targets=0.55)
    assert study.run(progress=False)
    finals = [r for r in study.records() if r.phase == "final"]
    assert [(r.method, r.samples, r.gradient_evaluations) for r in finals if r.seed == 1] == [
        ("sgd", 480, 24),
        ("large", 480, 8),
        ("whole", 480, 24),
    ]
    assert {len(r.curve["validation_metric"]) for r in finals} == {4}
    page = study.report().read_text()
    for sentence in (
        "480 samples",
        "Samples to 55",
        "large pays 1 gradient evaluation of 60 samples per step, and so takes 1/3 as many steps: 8 of 24.",
        "whole pays 6 gradient evaluations per step, and so takes 1/6 as many steps: 4 of 24.",
        '"unit":"samples"',
        "samples to 55",
    ):
        assert sentence in page
    table = study.table()
    assert "evaluations_to_target" not in table
    assert all(samples % 60 == 0 for samples in table.samples_to_target if samples < float("inf"))
    assert "samples_to_0.55" in study.runs()


def test_evaluations_of_different_sizes_are_not_counted_as_equal():
    with pytest.raises(
        InputError, match=r"budget must be samples, steps or seconds for large, .* 60 samples .* got evaluat"
    ):
        _ = study_of(["sgd", LARGE]).spec
    with pytest.raises(InputError, match=r"batch size must be at most the 120 training samples, got 500"):
        _ = study_of([dataclasses.replace(LARGE, batch_size=500)], budget="samples").spec
    with pytest.raises(InputError, match=r"large pays 1 gradient evaluations a step, and a run has 0"):
        _ = study_of([dataclasses.replace(LARGE, batch_size=110)], budget="samples", batch_size=50, epochs=1).spec


def test_an_own_batch_size_is_a_number_of_samples():
    with pytest.raises(ValueError, match=r"method 'm': batch_size must be at least 1, got 0"):
        Method("m", torch.optim.SGD, LR, batch_size=0)
    with pytest.raises(InputError, match=r"budget must be one of evaluations, samples, steps, seconds, got 'hours'"):
        study_of(["sgd"], budget="hours")


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-6, 10), st.floats(0.05, 24), st.floats(0.05, 4))
def test_seconds_pay_for_the_steps_that_take_as_long(sgd, large, whole):
    spec = with_prices(SPEC, sgd=sgd, large=large * sgd, whole=whole * sgd * 6)
    assert spec.steps(spec.method("sgd")) == 24
    for method in spec.methods:
        taken = spec.steps(method) * spec.prices.steps[method.name]
        assert taken <= spec.whole * (1 + 1e-9)
        assert taken + spec.prices.steps[method.name] > spec.whole * (1 - 1e-9)
        assert spec.paid(method.name, spec.spent(method)) == pytest.approx(taken)


SPEC = study_of(["sgd", LARGE, WHOLE], budget="samples").spec


def test_as_many_steps_cost_more_for_some_methods(tmp_path):
    study = study_of(["sgd", LARGE, WHOLE], tmp_path / "s", budget="steps", epochs=1)
    assert study.run(progress=False)
    finals = [r for r in study.records() if r.phase == "final" and r.seed == 1]
    assert [(r.method, r.gradient_evaluations, r.samples) for r in finals] == [
        ("sgd", 6, 120),
        ("large", 6, 360),
        ("whole", 36, 720),
    ]
    page = study.report().read_text()
    assert "6 steps per run" in page
    assert "whole pays 6 gradient evaluations per step, 36 in all." in page


@pytest.mark.slow
def test_prices_are_measured_once(priced, tmp_path):
    (spec,) = priced.comparisons
    assert spec.whole == pytest.approx(24 * spec.prices.steps["sgd"])
    assert all(1e-6 < seconds < 1 for seconds in spec.prices.steps.values())
    assert StudySpec.from_json(priced.to_json()) == priced
    study = study_of(["sgd", LARGE], tmp_path / "s", budget="seconds")
    assert study.run(progress=False)
    before, frozen = [r.to_dict() for r in study.records()], (tmp_path / "s" / "spec.json").read_text()
    assert study_of(["sgd", LARGE], tmp_path / "s", budget="seconds").run(progress=False)
    assert [r.to_dict() for r in study.records()] == before
    assert (tmp_path / "s" / "spec.json").read_text() == frozen
    page = study.report().read_text()
    assert "Seconds are counted by what a step took when the study began" in page
    assert "seconds_to_target" in study.table()


def test_a_method_that_comes_later_is_priced_at_the_pace_of_the_study(tmp_path):
    first = study_of(["sgd"], tmp_path / "s", budget="seconds")
    assert first.run(progress=False)
    path = tmp_path / "s" / "spec.json"
    raw = json.loads(path.read_text())
    old = raw["comparisons"][0]["prices"]
    slow = {"run": 1000 * old["run"], "steps": {"sgd": 1000 * old["steps"]["sgd"]}}  # as on a machine so much slower
    raw["comparisons"][0]["prices"] = slow
    path.write_text(json.dumps(raw))
    assert study_of(["sgd", LARGE], tmp_path / "s", budget="seconds").run(progress=False)
    now = json.loads(path.read_text())["comparisons"][0]["prices"]
    assert (now["run"], now["steps"]["sgd"]) == (slow["run"], slow["steps"]["sgd"])
    assert 0.1 * slow["steps"]["sgd"] < now["steps"]["large"] < 10 * slow["steps"]["sgd"]


def test_a_step_that_the_seconds_do_not_pay_is_refused():
    slow = Method("slow", Slow, LR)
    with pytest.raises(InputError, match=r"a step of slow takes .* seconds, and a run has .*; give more epochs"):
        _ = study_of(["sgd", slow], budget="seconds", epochs=1).spec


class Slow(torch.optim.SGD):
    def step(self, closure=None):
        for _ in range(400):
            torch.linalg.inv(torch.eye(60))
        super().step(closure)


def test_a_study_in_evaluations_is_written_as_before():
    raw = json.loads(study_of(["sgd"]).spec.to_json())
    assert "budget" not in raw["study"]
    assert "prices" not in raw["comparisons"][0]
    assert raw["comparisons"][0]["batch_size"] == 20
    assert "batch_size" not in raw["study"]["methods"][0]


def test_methods_of_a_whole_epoch_are_compared_on_several_workloads(tmp_path):
    other = dataclasses.replace(tiny.clouds, name="others", batch_size=40)
    study = study_of(["sgd", WHOLE], tmp_path / "s", workload=[tiny.clouds, other])
    assert study.run(progress=False)
    runs = [r for r in study.records() if r.phase == "final" and r.seed == 1 and r.method == "whole"]
    assert [(r.workload, r.gradient_evaluations) for r in runs] == [("clouds", 24), ("others", 12)]
