"""A search whose points are asked of TPE: the same trials whenever and wherever they run, and better ones."""

import math
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from steepest._errors import InputError
from steepest.compare import Choice, Method, Range, Study
from steepest.compare.analysis import tpe
from steepest.compare.analysis.course import course_of
from steepest.compare.analysis.summary import summarize
from steepest.compare.analysis.tpe import ask
from steepest.compare.analysis.trust import chosen_again
from steepest.compare.analysis.trust import searched as tuning_curve_of
from steepest.compare.points import quasi_random_points
from steepest.compare.records.folder import read_records
from steepest.compare.records.record import Record
from steepest.compare.results.caveats import caveats
from steepest.compare.results.sentences import searched_on
from steepest.compare.spec import StudySpec
from steepest.training.definitions.space import is_point
from tests.compare import TINY_FILE
from tests.compare.running.inline import SimulatedPool, run
from tests.compare.study.frozen import freeze

TINY = str(TINY_FILE)
SPACE = {
    "lr": Range(1e-4, 1.0),
    "nesterov": Choice(True, False),
    "momentum": Range(0.5, 0.99, log=False, when={"nesterov": True}),
    "layers": Range(1, 8, log=False, integer=True),
}


def planted(point):
    """Best at 0.9: a narrow peak of lr, with nesterov, momentum 0.9 and 6 layers."""
    found = 0.9 - 0.05 * abs(math.log10(point["lr"] / 0.02)) ** 2 - 0.01 * abs(point["layers"] - 6)
    return found - (abs(point["momentum"] - 0.9) if point["nesterov"] else 0.2)


def record(number, point, score, status="finished", **more):
    return Record("w", "m", "tune", number, 0, point, status, 1.0, 2.0, validation_metric=score, **more)


def run_anew(*args, **options):
    """A command in a process that has asked for nothing yet."""
    tpe._ask.cache_clear()
    return run(*args, **options)


def searched(seed, trials=24):
    """The points of a search by TPE for the planted optimum."""
    tpe._ask.cache_clear()
    ended = []
    for point in quasi_random_points(SPACE, 8, seed):
        ended.append(record(len(ended), point, planted(point)))
    while len(ended) < trials:
        point = ask(SPACE, ended, seed, higher_is_better=True)
        ended.append(record(len(ended), point, planted(point)))
    return [r.hyperparameters for r in ended]


@pytest.mark.slow
def test_it_finds_a_planted_optimum_better_than_quasi_random_points_do():
    by_tpe = [max(map(planted, searched(seed))) for seed in range(8)]
    by_chance = [max(map(planted, quasi_random_points(SPACE, 24, seed))) for seed in range(8)]
    assert statistics.fmean(by_tpe) > statistics.fmean(by_chance)
    assert sum(a > b for a, b in zip(by_tpe, by_chance, strict=True)) >= 6
    late = [planted(point) for seed in range(8) for point in searched(seed)[16:]]
    assert statistics.median(late) > statistics.median(planted(p) for p in quasi_random_points(SPACE, 200, 1)) + 0.1


def test_what_it_asks_for_is_a_point_of_the_space_and_the_same_again():
    points = searched(3, trials=16)
    assert all(is_point(SPACE, point) for point in points)
    assert searched(3, trials=16) == points
    assert searched(4, trials=16) != points
    assert any(not point["nesterov"] for point in points)


def test_a_run_that_diverged_is_worse_than_any_and_one_that_was_stopped_counts_by_what_was_seen():
    space = {"lr": Range(1e-4, 1.0)}
    lrs = [10 ** (-4 + k / 3) for k in range(12)]

    def next_lrs(lost):
        """Where 20 searches go on, of which those runs above 0.01 were lost."""
        ended = [
            record(i, {"lr": lr}, 0.5, "finished") if lr < 0.01 else lost(i, {"lr": lr}) for i, lr in enumerate(lrs)
        ]
        return [ask(space, ended, seed, higher_is_better=True)["lr"] for seed in range(20)]

    diverged = next_lrs(lambda i, point: record(i, point, None, "diverged"))
    failed = next_lrs(lambda i, point: record(i, point, None, "failed"))
    assert diverged == failed
    assert statistics.median(diverged) < 0.01
    stopped = next_lrs(lambda i, point: record(i, point, 0.1, "pruned", gradient_evaluations=6))
    assert statistics.median(stopped) < 0.01
    fine = next_lrs(lambda i, point: record(i, point, 0.9))
    assert statistics.median(fine) > 0.01


def test_lower_is_better_where_the_metric_says_so():
    space = {"lr": Range(1e-4, 1.0)}
    ended = [record(k, {"lr": 10 ** (-4 + k / 3)}, k / 12) for k in range(12)]
    high, low = (
        statistics.median(ask(space, ended, seed, higher_is_better=better)["lr"] for seed in range(20))
        for better in (True, False)
    )
    assert low < 1e-3 < 0.1 < high


METHODS = [Method("one", torch.optim.SGD, space=SPACE), Method("two", torch.optim.SGD, space={"lr": Range(1e-4, 1.0)})]


def outcome(job):
    point = {"nesterov": False, "layers": 3, **job.hyperparameters}
    metric = planted(point) + 0.001 * job.seed
    return {"status": "finished", "validation_metric": metric, "validation_loss": 1 - metric,
            "test_metric": metric if job.phase == "final" else None}  # fmt: skip


@pytest.fixture(scope="module")
def frozen():
    return StudySpec((freeze(f"{TINY}:clouds", METHODS, trials=14, seeds=3, sampler="tpe", device="cpu"),))


def trials(records):
    return {key: (r.hyperparameters, r.seed, r.validation_metric) for key, r in records.items()}


def test_every_method_has_as_many_trials_and_its_study_the_same_with_any_number_of_jobs(frozen, tmp_path, monkeypatch):
    found = []
    for size in (1, 2, 7):
        # Runs end in an order that is another with every size.
        pool = SimulatedPool(size, outcome, seconds=lambda job: 1.0 + (7 * job.index + len(job.method)) % 5)
        keys, records, _ = run_anew(monkeypatch, frozen, tmp_path / str(size), pool=pool)
        assert sorted(keys) == sorted(records)
        found.append(trials(records))
        tuned = [key for key in records if key[2] == "tune"]
        assert [sum(key[1] == name for key in tuned) for name in ("one", "two")] == [14, 14]
    assert found[0] == found[1] == found[2]
    assert frozen.methods[0].points == tuple(found[0]["clouds", "one", "tune", i][0] for i in range(8))
    assert len(frozen.methods[1].points) == 4


@pytest.mark.slow
def test_interrupted_after_any_run_it_has_the_trials_of_one_that_was_not(frozen, tmp_path, monkeypatch):
    _, whole, _ = run_anew(monkeypatch, frozen, tmp_path / "whole", pool=SimulatedPool(1, outcome))
    for until in (1, 5, 12, 17, 23, 28, 30):
        folder = tmp_path / str(until)
        first, some, _ = run_anew(monkeypatch, frozen, folder, pool=SimulatedPool(1, outcome), until=until)
        assert len(some) == until
        again, records, _ = run_anew(monkeypatch, frozen, folder, pool=SimulatedPool(1, outcome))
        assert trials(records) == trials(whole)
        assert set(again) == whole.keys() - some.keys()
        assert len(first) <= until + 1


def test_a_failed_run_that_is_tried_again_moves_none_of_those_after_it(frozen, tmp_path, monkeypatch):
    def failing(job):
        failed = job.key == ("clouds", "two", "tune", 5)
        return {"status": "failed", "error": "planted"} if failed else outcome(job)

    _, before, _ = run_anew(monkeypatch, frozen, tmp_path, pool=SimulatedPool(1, failing))
    keys, after, _ = run_anew(monkeypatch, frozen, tmp_path, pool=SimulatedPool(1, outcome))
    again = ("clouds", "two", "tune", 5)
    assert again in keys
    assert after[again].status == "finished"
    assert {k: r.hyperparameters for k, r in before.items() if k[2] == "tune"} == {
        k: r.hyperparameters for k, r in after.items() if k[2] == "tune"
    }


def test_a_study_grows_to_what_it_would_have_been(frozen, tmp_path, monkeypatch):
    def with_trials(count):
        methods = (replace(m, points=m.points[:count]) for m in frozen.methods)
        return StudySpec((replace(frozen.comparisons[0], trials=count, methods=tuple(methods)),))

    run_anew(monkeypatch, with_trials(6), tmp_path / "grown", pool=SimulatedPool(2, outcome))
    _, grown, _ = run_anew(monkeypatch, frozen, tmp_path / "grown", pool=SimulatedPool(2, outcome))
    _, whole, _ = run_anew(monkeypatch, frozen, tmp_path / "whole", pool=SimulatedPool(2, outcome))
    assert trials(grown) == trials(whole)


def test_the_next_point_is_asked_for_once_all_before_it_have_ended(frozen, tmp_path, monkeypatch):
    _, records, _ = run_anew(monkeypatch, frozen, tmp_path, pool=SimulatedPool(2, outcome))
    spec = frozen.comparisons[0]
    own = [r for r in records.values() if r.method == "two" and r.phase == "tune"]
    for ended, known in (
        (own[:3], range(4)),
        (own[:4], range(5)),
        (own[:9], range(10)),
        ([*own[:4], *own[6:]], [0, 1, 2, 3, 4, *range(6, 14)]),
    ):
        jobs = course_of(spec, ended).searches["two"][0].jobs
        assert [job.index for job in jobs] == list(known)
        assert [job.hyperparameters for job in jobs] == [own[i].hyperparameters for i in known]


def test_the_report_says_how_the_points_were_asked_for_and_shows_no_tuning_curve(frozen, tmp_path, monkeypatch):
    _, records, _ = run_anew(monkeypatch, frozen, tmp_path, pool=SimulatedPool(2, outcome))
    spec = frozen.comparisons[0]
    said = searched_on(spec)
    assert said == (
        "14 trials per method on seed 0, the first 4 to 8 quasi-random and each of the others asked of TPE (Optuna) "
        "once all before it had ended"
    )
    summary = summarize(spec, [*records.values()])
    assert any(sentence.startswith("Search: by TPE") for sentence in caveats(summary))
    assert all(tuning_curve_of(spec, row) is None and chosen_again(spec, row) is None for row in summary.rows)


def test_the_sampler_is_part_of_the_spec_and_absent_where_it_is_the_usual_one(frozen):
    text = frozen.to_json()
    assert '"sampler": "tpe"' in text
    assert StudySpec.from_json(text) == frozen
    usual = StudySpec((replace(frozen.comparisons[0], sampler="quasi-random"),))
    assert "sampler" not in usual.to_json()
    assert frozen.differences(usual) == ["sampler differs: tpe there, quasi-random here"]


def test_another_sampler_is_refused():
    with pytest.raises(InputError, match="sampler must be one of quasi-random, tpe, got 'random'"):
        Study("digits-mlp", sampler="random")


@pytest.mark.slow
def test_the_command_killed_in_the_search_comes_to_the_same_trials(tmp_path):
    arguments = [f"{TINY}:clouds", "--methods", f"{TINY}:slow,{TINY}:good", "--trials", "6", "--seeds", "1"]
    arguments += ["--sampler", "tpe", "--device", "cpu", "--jobs", "1", "--checkpoint-seconds", "0"]
    command = [sys.executable, "-m", "steepest", "compare", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--out", tmp_path / "killed"], env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 180
    while len(read_records(tmp_path / "killed")) < 9 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert 9 <= len(read_records(tmp_path / "killed")) < 14
    found = []
    for out in ("killed", "whole"):
        subprocess.run([*command, "--out", tmp_path / out], env=environment, check=True, capture_output=True)
        found.append({r.key: (r.hyperparameters, r.curve, r.test_metric) for r in read_records(tmp_path / out)})
    assert found[0] == found[1]
    assert len(found[0]) == 14
