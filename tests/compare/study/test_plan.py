"""What a study would cost, and the schedules that it can have."""

import dataclasses
import itertools
import json
import sys

import pytest

from steepest.compare.points import quasi_random_points
from steepest.compare.policy.finished import finished_records
from steepest.compare.spec import StudySpec
from steepest.compare.study.plan import MethodPlan, Plan, make_plan
from steepest.training.definitions.schedule import SCHEDULES
from tests import warm
from tests.compare import TINY_FILE, tiny
from tests.compare.study.frozen import freeze
from tests.training.runs import train

TINY = str(TINY_FILE)


def spec_of(*methods, **options):
    references = [f"{TINY}:{m}" if hasattr(tiny, m) else m for m in methods]
    return freeze(f"{TINY}:clouds", references, **{"trials": 3, "seeds": 2, "device": "cpu", **options})


def study_of(*methods, **options):
    return StudySpec((spec_of(*methods, **options),))


def command(*arguments):
    line = [sys.executable, "-m", "steepest", "compare", f"{TINY}:clouds", *arguments]
    return warm.run(line, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_it_counts_what_the_study_will_do():
    plan = make_plan(study_of("good", "sam", epochs=4, batch_size=30), jobs=2, data_dir=None)
    # 120 training samples, batch 30, 4 epochs: 16 gradient evaluations a run.
    good, sam = plan.methods
    assert (good.name, good.trials, good.finals, good.runs, good.steps, good.gradient_evaluations) == (
        "good", 3, 2, 5, 16, 80,
    )  # fmt: skip
    assert (sam.steps, sam.gradient_evaluations) == (8, 80)
    assert (plan.runs, plan.gradient_evaluations, plan.samples) == (10, 160, 4800)
    assert good.seconds > 0
    assert plan.startup > 0
    assert good.test_seconds > 0


def test_it_says_what_it_does_now():
    told = []
    make_plan(study_of("good", "sam", epochs=4, batch_size=30), jobs=2, data_dir=None, progress=told.append)
    assert told == [
        "clouds: loading its data",
        "clouds: timing good, 1 of 2 methods",
        "clouds: timing sam, 2 of 2 methods",
    ]


@pytest.mark.slow
def test_a_method_of_the_full_batch_takes_a_step_an_epoch_and_pays_for_it():
    spec = spec_of("good", "whole", epochs=4, batch_size=30)
    assert [spec.cost(method) for method in spec.methods] == [1, 4]
    good, whole = make_plan(StudySpec((spec,)), jobs=2, data_dir=None).methods
    assert (good.steps, whole.steps) == (16, 4)
    assert good.gradient_evaluations == whole.gradient_evaluations == 80
    assert whole.seconds > 0


@pytest.mark.slow
def test_a_study_with_a_method_of_the_full_batch_counts_both_by_samples(tmp_path):
    names = f"{TINY}:good,{TINY}:whole"
    line = [
        "--methods",
        names,
        "--trials",
        "2",
        "--seeds",
        "2",
        "--epochs",
        "4",
        "--jobs",
        "1",
        "--out",
        tmp_path / "out",
    ]
    done = command(*map(str, line))
    assert done.returncode == 0, done.stderr
    found = finished_records(tmp_path / "out")[1]
    assert {(r.gradient_evaluations, r.samples) for r in found} == {(24, 480)}
    assert {len(r.curve["train_loss"]) for r in found} == {4}
    assert (
        "whole pays 6 gradient evaluations per step, and so takes 1/6 as many steps"
        in (tmp_path / "out" / "report.md").read_text()
    )


def test_the_whole_is_more_than_the_steps():
    """Imports and data before the first run, the test of a final run, and what the command does between two runs."""
    counted = {"trials": 3, "finals": 2, "steps": 16, "batch_size": 30, "per_run": 16, "in_full": 5}
    methods = [MethodPlan("w", name, **counted, seconds=10.0, test_seconds=4.0) for name in ("a", "b")]
    assert Plan(methods, jobs=2, startup=7.0).seconds == pytest.approx(7 + (2 * 5 * 10 + 2 * 2 * 4) / 2 + 10 * 0.01)
    assert Plan(methods, jobs=4).seconds == pytest.approx((2 * 5 * 10 + 2 * 2 * 4) / 4 + 10 * 0.01)


def test_a_method_that_fails_is_told_before_anything_runs(monkeypatch):
    monkeypatch.setattr("steepest.compare.study.plan._seconds_of_imports", lambda: 5.0)
    plan = make_plan(study_of("raising", "good"), jobs=1, data_dir=None)
    raising, good = plan.methods
    assert raising.seconds is None
    assert raising.failure == "ValueError: planted in step"
    assert plan.seconds < plan.startup + 5 * (good.seconds + good.test_seconds) + 1  # nothing of the other one


def test_a_schedule_is_told_of_the_whole_run_though_a_few_steps_are_timed(monkeypatch):
    monkeypatch.setattr("steepest.compare.study.plan._seconds_of_imports", lambda: 5.0)
    [good] = make_plan(study_of("sgd-mi-range", epochs=34), jobs=1, data_dir=None).methods
    assert (good.failure, good.steps) == (None, 204)
    [short] = make_plan(study_of("sgd-mi-range", epochs=33), jobs=1, data_dir=None).methods
    assert "a run must have 200 steps, got 198" in short.failure


@pytest.mark.slow
def test_plan_prints_and_leaves_no_folder(tmp_path):
    out = tmp_path / "study"
    done = command("--methods", f"sgd,{TINY}:raising", "--trials", "2", "--seeds", "1", "--out", str(out), "--plan")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert " ".join(lines[0].split()) == ("method trials final runs steps per run gradient evaluations seconds per run")
    assert lines[1].split()[:5] == ["sgd", "2", "1", "18", "54"]
    assert lines[2].split() == ["raising", "2", "1", "18", "54", "?"]
    assert lines[4].startswith("6 runs, 108 gradient evaluations, 2,160 samples; about ")
    assert lines[5] == "raising fails: ValueError: planted in step"
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("constant", [1] * 8),
        ("cosine", [1, 0.96194, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.03806]),
        ("polynomial", [1, 0.765625, 0.5625, 0.390625, 0.25, 0.140625, 0.0625, 0.015625]),
        ("step", [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
    ],
)
def test_a_schedule_reaches_every_step(name, expected):
    class Spy(tiny.Held):
        def step(self, closure=None):
            seen.append(self.param_groups[0]["lr"])

    seen = []
    method = dataclasses.replace(tiny.good, optimizer=Spy)
    splits = tiny.two_clouds(None)
    options = {"seed": 1, "epochs": 2, "batch_size": 30, "with_test": False, "schedule": SCHEDULES[name]}
    train(tiny.clouds, method, splits, {"lr": 0.5}, **options)
    assert [lr / 0.5 for lr in seen] == pytest.approx(expected, abs=1e-6)


def test_every_schedule_begins_at_one_and_never_rises():
    for schedule in SCHEDULES.values():
        factors = [schedule.factor(i / 100) for i in range(100)]
        assert factors[0] == 1
        assert all(b <= a for a, b in itertools.pairwise(factors))


@pytest.mark.slow
def test_the_schedule_is_part_of_the_study(tmp_path):
    out = tmp_path / "study"
    shared = ["--methods", f"{TINY}:good", "--trials", "1", "--seeds", "1", "--jobs", "1", "--out", str(out)]
    done = command(*shared, "--schedule", "step")
    assert done.returncode == 0, done.stderr
    assert "learning rate times 0.1 at one half of the run and at three quarters." in (out / "report.md").read_text()
    study, records = finished_records(out)
    [spec] = study.comparisons
    assert spec.schedule == "step"
    point = quasi_random_points(spec.methods[0].space, 1, spec.tuning_seed)[0]
    alone = train(
        tiny.clouds, tiny.good, tiny.two_clouds(None), point, seed=0, epochs=3, batch_size=20, with_test=False,
        schedule=SCHEDULES["step"],
    )  # fmt: skip
    assert next(r for r in records if r.phase == "tune").validation_loss == alone.validation_loss
    other = command(*shared, "--schedule", "cosine")
    assert other.returncode == 2
    assert "schedule differs: step there, cosine here" in other.stderr


@pytest.mark.slow
def test_an_unknown_schedule_is_refused():
    done = command("--schedule", "cosinus")
    assert done.returncode == 2
    assert "--schedule must be one of linear, constant, cosine, polynomial, step, got 'cosinus'" in done.stderr


def test_a_spec_from_when_there_was_one_schedule_still_loads():
    spec = spec_of("good")
    old = dataclasses.asdict(spec) | {"format": 1, "schedule": "linear to 0, every step"}
    del old["name"], old["targets"], old["pruner"]
    assert StudySpec.from_json(json.dumps(old)) == StudySpec((spec,))
