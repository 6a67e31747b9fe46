"""Studies that stop early, search on several seeds or cover the luck of the search: which runs there are, and that it
is outcome the same ones."""

import collections
import random
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steepest._errors import InputError
from steepest.cli import run as steepest
from steepest.compare import Study
from steepest.compare.analysis.course import course_of
from steepest.compare.analysis.summary import summarize
from steepest.compare.policy.finished import finished_records
from steepest.compare.policy.queue import jobs_left
from steepest.compare.spec import StudySpec
from tests.compare import TINY_FILE
from tests.compare.running.inline import SimulatedPool, run

TINY = str(TINY_FILE)
METHODS = ("sgd", "sngm", "nesterov")
OPTIONS = {
    "early": {"stop_early": True},
    "early, two seeds": {"stop_early": True, "tuning_seeds": 2, "choice": "fitted"},
    "two seeds": {"tuning_seeds": 2},
    "cover": {"cover_search": True},
    "cover early": {"stop_early": True, "cover_search": True, "tuning_seeds": 2},
}


def study(out=None, methods=METHODS, **more):
    options = {"trials": 8, "seeds": 5, "jobs": 1, **more}
    return Study(f"{TINY}:clouds", methods=methods, out=out, **options)


@pytest.fixture(scope="module")
def specs():
    return {name: study(**options).spec for name, options in OPTIONS.items()}


def outcome(job):
    """As a method, a learning rate, a seed and a budget have it: some methods differ, some runs are lost."""
    of = (job.method, job.phase, job.seed, round(job.hyperparameters["lr"], 9))
    rng = np.random.default_rng(zlib.crc32(repr(of).encode()))
    better = {"sgd": 0.0, "sngm": 0.003, "nesterov": 0.0}[job.method]
    lr = job.hyperparameters["lr"]
    if lr > 0.6:
        return {"status": "diverged"}
    metric = 0.9 + better - 0.01 * abs(np.log(lr / 0.05)) + 0.002 * rng.normal() - 0.1 * (job.phase == "screen")
    return {"status": "finished", "validation_metric": metric, "validation_loss": 1 - metric,
            "test_metric": metric if job.phase == "final" else None}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), size=st.integers(1, 5), stops=st.lists(st.integers(1, 25), max_size=4))
@pytest.mark.slow
def test_the_same_runs_whatever_the_order_the_jobs_and_the_interruptions(
    name, specs, tmp_path_factory, seed, size, stops
):
    spec, chance = specs[name], random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        _, plain, _ = run(patch, spec, tmp_path_factory.mktemp("plain") / "s", pool=SimulatedPool(1, outcome))
        folder, started = tmp_path_factory.mktemp("other") / "s", []
        for until in [*stops, None]:
            pool = SimulatedPool(size, outcome, lambda job: chance.uniform(0.1, 3.0))
            keys, found, _ = run(patch, spec, folder, pool=pool, until=until)
            started += keys
    assert found == plain
    assert collections.Counter(started).keys() == plain.keys()  # nothing else was ever begun
    assert jobs_left(spec, [*found.values()]) == []
    (summary,) = (summarize(s, [*found.values()]) for s in spec.comparisons)
    assert summary.complete


def test_a_run_that_is_lost_and_tried_again_may_change_what_follows(specs, tmp_path, monkeypatch):
    """And what had followed is kept aside; in the end it is the study that never lost it."""
    spec = specs["early"]
    _, plain, _ = run(monkeypatch, spec, tmp_path / "plain", pool=SimulatedPool(2, outcome))
    best = max(
        (r for r in plain.values() if r.method == "sgd" and r.phase == "screen" and r.found), key=lambda r: r.found
    )

    def failing(job):
        return {"status": "failed", "error": "no"} if job.key == best.key else outcome(job)

    folder = tmp_path / "other"
    _, lost, _ = run(monkeypatch, spec, folder, pool=SimulatedPool(2, failing))
    assert lost[best.key].status == "failed"
    points = {r.hyperparameters["lr"] for r in lost.values() if r.method == "sgd" and r.phase == "tune"}
    assert best.hyperparameters["lr"] not in points
    _, again, _ = run(monkeypatch, spec, folder, pool=SimulatedPool(2, outcome))
    assert again == plain
    assert (folder / "attempts.jsonl").exists()


def test_a_screen_is_an_eighth_and_a_quarter_goes_on(specs, tmp_path, monkeypatch):
    spec = specs["early"]
    (comparison,) = spec.comparisons
    assert (comparison.screen, comparison.finalists) == (8, 4)
    _, found, _ = run(monkeypatch, spec, tmp_path / "s", pool=SimulatedPool(2, outcome))
    phases = collections.Counter((r.method, r.phase) for r in found.values())
    for method in METHODS:
        assert (phases[method, "screen"], phases[method, "tune"]) == (8, 4)
        screens = sorted(
            (r for r in found.values() if r.method == method and r.phase == "screen"), key=lambda r: r.trial
        )
        best = sorted((r.found for r in screens if r.found is not None), reverse=True)[:4]
        points = [r.hyperparameters for r in screens if r.found in best]
        tuned = sorted((r for r in found.values() if r.method == method and r.phase == "tune"), key=lambda r: r.trial)
        assert [r.hyperparameters for r in tuned] == points  # in their order


@pytest.mark.parametrize(("trials", "screened"), [(1, False), (5, False), (6, True), (16, True), (20, True)])
def test_few_trials_are_not_screened(trials, screened):
    (comparison,) = study(methods=["sgd"], trials=trials, stop_early=True).spec.comparisons
    assert bool(comparison.screen) is screened
    assert comparison.most("screen") == (trials if screened else 0)
    assert comparison.most("tune") == (max(4, -(-trials // 4)) if screened else trials)


def test_every_search_of_its_own_has_its_own_points_and_seeds(specs):
    (comparison,) = specs["cover early"].comparisons
    (method, *_) = comparison.methods
    searches = range(comparison.searches)
    assert len(searches) == len(comparison.seeds) == 6
    points = [p["lr"] for j in searches for p in comparison.points(method, j)]
    assert len(set(points)) == len(points) == 6 * 8
    seeds = [seed for j in searches for seed in comparison.tuning_seeds(j)]
    assert len(set(seeds)) == len(seeds) == 12
    assert not set(seeds) & set(comparison.seeds)


def test_a_final_run_takes_the_point_of_its_own_search(specs, tmp_path, monkeypatch):
    spec = specs["cover"]
    _, found, _ = run(monkeypatch, spec, tmp_path / "s", pool=SimulatedPool(2, outcome))
    course = course_of(spec.comparisons[0], found.values())
    for method, searches in course.searches.items():
        chosen = [search.chosen.hyperparameters for search in searches]
        finals = sorted((r for r in found.values() if r.method == method and r.phase == "final"), key=lambda r: r.trial)
        assert [r.hyperparameters for r in finals] == chosen
        assert len({point["lr"] for point in chosen}) > 1


def without_times(out):
    found = finished_records(out)[1]
    return {r.key: {**r.to_dict(), "started": 0, "finished": 0, "seconds": 0} for r in found}


@pytest.mark.parametrize(
    "options", [{"stop_early": True}, {"stop_early": True, "tuning_seeds": 2, "cover_search": True}]
)
@pytest.mark.slow
def test_real_runs_are_the_same_with_any_number_of_jobs(tmp_path, options):
    tables = []
    for jobs in (1, 2, 4):
        one = study(tmp_path / str(jobs), jobs=jobs, **options)
        assert one.run(progress=False)
        tables.append(one.table().drop(columns="seconds"))
        assert without_times(tmp_path / str(jobs)) == without_times(tmp_path / "1")
    assert all(table.equals(tables[0]) for table in tables)
    spec, records = finished_records(tmp_path / "1")
    short = [r.gradient_evaluations for r in records if r.phase == "screen"]
    assert set(short) == {spec.comparisons[0].gradient_evaluations // 8}
    assert all(len(r.curve["validation_metric"]) == 1 for r in records if r.phase == "screen")


@pytest.mark.parametrize(
    ("more", "grown"),
    [
        ({"seeds": 10}, "seeds from 5 to 10"),
        ({"methods": [*METHODS, "adamw"]}, "methods by adamw"),
        ({"trials": 17}, "trials from 8 to 17"),
    ],
    ids=["seeds", "method", "trials"],
)
@pytest.mark.slow
def test_it_grows_into_the_study_that_it_would_have_been(tmp_path, capsys, caplog, more, grown):
    assert study(tmp_path / "a", stop_early=True).run(progress=False)
    before = without_times(tmp_path / "a")
    assert study(tmp_path / "a", stop_early=True, **more).run(progress=False)
    assert study(tmp_path / "b", stop_early=True, **more).run(progress=False)
    fresh = without_times(tmp_path / "b")
    after = without_times(tmp_path / "a")
    assert {key: after[key] for key in fresh} == fresh
    kept = [key for key in before if key[2] == "screen"]
    assert kept
    assert all(after[key] == before[key] for key in kept)
    tables = [study(tmp_path / x, stop_early=True, **more).table().drop(columns="seconds") for x in "ab"]
    assert tables[0].equals(tables[1])
    assert grown in caplog.text + capsys.readouterr().err


@pytest.mark.slow
def test_a_covered_search_grows_by_seeds_and_not_by_trials(tmp_path):
    assert study(tmp_path / "a", cover_search=True, seeds=2).run(progress=False)
    assert study(tmp_path / "a", cover_search=True, seeds=3).run(progress=False)
    assert study(tmp_path / "b", cover_search=True, seeds=3).run(progress=False)
    assert without_times(tmp_path / "a") == without_times(tmp_path / "b")
    with pytest.raises(InputError, match="trials differs: 8 there, 9 here"):
        study(tmp_path / "a", cover_search=True, seeds=3, trials=9).run(progress=False)


@pytest.mark.slow
def test_another_baseline_needs_other_runs(tmp_path):
    """The report says how far it is; the command runs what is missing."""
    assert study(tmp_path / "a", stop_early=True).run(progress=False)
    spec, records = finished_records(tmp_path / "a")
    told = spec.told(baseline="sngm")
    (summary,) = (summarize(s, records) for s in told.comparisons)
    assert study(tmp_path / "a", stop_early=True, baseline="sngm").run(progress=False)
    assert study(tmp_path / "b", stop_early=True, baseline="sngm").run(progress=False)
    fresh, after = without_times(tmp_path / "b"), without_times(tmp_path / "a")
    assert {key: after[key] for key in fresh} == fresh
    assert summary.finished <= len(after)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--stop-early", "--pruner", "median"], "--pruner is not to be had with --stop-early; leave one of them out"),
        (["--cover-search", "--pruner", "halving"], "--pruner is not to be had with --cover-search"),
        (["--stop-early", "--seeds", "201"], "--seeds must be at most 200 with --stop-early, got 201"),
        (["--tuning-seeds", "0"], "--tuning-seeds must be at least 1, got 0"),
        (["--tuning-seeds", "two"], "--tuning-seeds"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(flags, sentence, capsys, tmp_path):
    assert steepest(["compare", f"{TINY}:clouds", "--methods", "sgd", "--out", str(tmp_path / "s"), *flags]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_study_that_began_otherwise_is_told(tmp_path):
    assert study(tmp_path, methods=["sgd"], trials=2, seeds=1).run(progress=False)
    for more in ({"stop_early": True}, {"tuning_seeds": 2}, {"cover_search": True}):
        (name,) = more
        with pytest.raises(InputError, match=f"{name} differs: (False|1) there, (True|2) here"):
            study(tmp_path, methods=["sgd"], trials=2, seeds=1, **more).run(progress=False)


def test_the_spec_comes_back_as_it_was_written(specs):
    for spec in specs.values():
        assert StudySpec.from_json(spec.to_json()) == spec


@pytest.mark.slow
def test_a_spec_gives_its_study_again(tmp_path):
    options = {"stop_early": True, "tuning_seeds": 2, "cover_search": True}
    first = study(tmp_path / "a", methods=["sgd", "sngm"], trials=6, **options)
    assert first.run(progress=False)
    again = Study.from_file(tmp_path / "a" / "spec.json", out=tmp_path / "b", jobs=2)
    assert again.spec == first.spec
    assert again.run(progress=False)
    assert without_times(tmp_path / "a") == without_times(tmp_path / "b")


def test_other_libraries_move_no_verdict_of_a_study_that_has_begun(tmp_path, monkeypatch):
    """The levels that it was frozen with count."""
    assert study(tmp_path, stop_early=True).run(progress=False)
    frozen = finished_records(tmp_path)[0]
    from steepest.compare.study import freeze

    monkeypatch.setattr(freeze, "level", lambda error, at: 0.9 * error)
    assert study(tmp_path, stop_early=True).run(progress=False)
    assert finished_records(tmp_path)[0].shared.stopping == frozen.shared.stopping


@pytest.mark.slow
def test_the_plan_counts_as_the_study_does(tmp_path):
    plan = study(stop_early=True).plan()
    spec = study(stop_early=True).spec.comparisons[0]
    for method in plan.methods:
        assert (method.screens, method.trials, method.fewest, method.finals) == (8, 4, 3, 6)
        whole, short = spec.gradient_evaluations, spec.gradient_evaluations // 8
        assert method.gradient_evaluations == 8 * short + 4 * whole + 6 * whole
        assert method.fewest_evaluations == 8 * short + 4 * whole + 3 * whole
        assert 3 <= method.expected.equal <= 6
        assert 3 <= method.expected.apart <= 6
    assert plan.evaluations_in_full == 3 * 13 * spec.gradient_evaluations


@pytest.mark.parametrize("pruner", ["median", "halving"])
@pytest.mark.slow
def test_a_pruned_search_may_run_its_finalists_on_several_seeds(tmp_path, pruner):
    """Which are in full, and judge no other run."""
    options = {"pruner": pruner, "tuning_seeds": 3, "methods": ["sgd", "sngm"], "seeds": 2}
    assert study(tmp_path / "a", **options).run(progress=False)
    records = finished_records(tmp_path / "a")[1]
    further = [r for r in records if r.phase == "tune" and r.trial >= 8]
    assert further
    assert {r.status for r in further} == {"finished"}
    assert {r.seed for r in further} == {1_000_001, 1_000_002}
    assert study(tmp_path / "a", **options).run(progress=False)
    assert finished_records(tmp_path / "a")[1] == records
