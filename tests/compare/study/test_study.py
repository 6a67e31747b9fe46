"""Whole studies through the real command, in processes of their own: resumed, killed, poisoned, out of disk."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from steepest.compare.policy.finished import finished_records
from steepest.compare.records.folder import LOCK
from steepest.compare.records.lines import RECORDS
from steepest.training.builtin import METHODS
from tests import warm
from tests.compare import TINY_FILE

TINY = str(TINY_FILE)


def reference(method):
    """Of a built-in method, or one of the tiny ones; either may stand behind estimators."""
    *estimators, base = method.split("+")
    return "+".join([*estimators, base if base in METHODS else f"{TINY}:{base}"])


def command(out, methods="good,twin", workload="clouds", trials=2, seeds=2, jobs=2, **options):
    names = ",".join(map(reference, methods.split(",")))
    given = {f"--{key.replace('_', '-')}": value for key, value in options.items() if value is not False}
    extra = [part for key, value in given.items() for part in ([key] if value is True else [key, str(value)])]
    target = workload if "-" in workload else f"{TINY}:{workload}"
    return [
        sys.executable, "-m", "steepest", "compare", target, "--methods", names, "--trials", str(trials),
        "--seeds", str(seeds), "--jobs", str(jobs), "--out", str(out), *extra,
    ]  # fmt: skip


def compare(out, *, limit_bytes=None, jobs=1, start=warm.run, **options):
    """The command's end; it begins warm, as others in this file, unless ``start`` is :func:`subprocess.run`."""
    line = command(out, jobs=jobs, **options)
    limits = {} if limit_bytes is None else {"limits": {resource.RLIMIT_FSIZE: limit_bytes}}
    return start(line, capture_output=True, text=True, timeout=300, **limits)


def records(out):
    return {r.key[1:]: r for r in finished_records(out)[1]}


def final_table(out):
    return [line for line in (out / "report.md").read_text().splitlines() if line.startswith("| ")][:4]


def results(found):
    """Records without what differs between two runs of the same thing: times and machine."""
    return {key: {**r.to_dict(), "started": 0, "finished": 0, "seconds": 0} for key, r in found.items()}


@pytest.fixture(scope="module")
def whole_study(tmp_path_factory):
    """An uninterrupted study."""
    out = tmp_path_factory.mktemp("whole") / "study"
    done = compare(out, methods="held,held_twin", trials=4, seeds=3, jobs=2)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_workers_keep_their_memory_unless_the_user_says_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    compare(tmp_path / "study", methods="telling", trials=1, seeds=1, jobs=1)
    error = records(tmp_path / "study")["telling", "tune", 0].error
    assert "'MALLOC_MMAP_MAX_': '7'" in error
    assert f"'MALLOC_TRIM_THRESHOLD_': '{1 << 40}'" in error
    assert "'OMP_NUM_THREADS': '1'" in error


def test_a_study_from_end_to_end(tmp_path):
    out = tmp_path / "study"
    done = compare(out, methods="good,twin,exploding,raising", trials=3, seeds=2, start=subprocess.run)
    assert done.returncode == 0, done.stderr
    assert "On clouds, where good reaches" in done.stdout
    assert "raising: 3 of 3 runs failed, first with: ValueError: planted in step" in done.stdout
    assert "exploding: all 3 runs of its search diverged." in done.stdout
    assert done.stderr == ""  # quiet when not a terminal
    found = records(out)
    assert sorted(r.status for r in found.values()) == ["diverged"] * 3 + ["failed"] * 3 + ["finished"] * 10
    assert "ValueError: planted in step" in found["raising", "tune", 0].error
    # Identical methods, identical points and seeds: identical results.
    for phase, count in (("tune", 3), ("final", 2)):
        for i in range(count):
            assert found["good", phase, i].curve == found["twin", phase, i].curve
    assert {r.seed for r in found.values() if r.phase == "final"} == {1, 2}
    assert {r.test_metric for r in found.values() if r.phase == "tune"} == {None}
    for name in ("spec.json", "study.db", "trials.jsonl", "report.html", "report.md", "invocations.jsonl"):
        assert (out / name).stat().st_size > 0


@pytest.mark.slow
def test_datasets_and_two_searched_dimensions(tmp_path):
    done = compare(tmp_path / "study", methods="good,two_dimensions", workload="as_datasets", trials=3)
    assert done.returncode == 0, done.stderr
    found = records(tmp_path / "study")
    tried = [found["two-dimensions", "tune", i].hyperparameters for i in range(3)]
    assert len({point["momentum"] for point in tried}) == 3
    assert all(point.keys() == {"lr", "momentum"} for point in tried)
    assert ", momentum 0." in (tmp_path / "study" / "report.md").read_text()


@pytest.mark.slow
def test_records_are_read_with_pandas_in_one_line(whole_study):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")
    frame = pandas.read_json(whole_study / RECORDS, lines=True)
    assert len(frame) == 14
    assert frame[frame.phase == "final"].groupby("method").test_metric.count().to_dict() == {"held": 3, "held-twin": 3}
    assert isinstance(frame.curve[0]["validation_metric"], list)


@pytest.mark.slow
def test_the_same_command_again_runs_nothing_again(whole_study):
    before = records(whole_study)
    done = compare(whole_study, methods="held,held_twin", trials=4, seeds=3)
    assert done.returncode == 0
    assert records(whole_study) == before  # started and finished times included


@pytest.mark.slow
def test_one_job_or_two_give_the_same_numbers(whole_study, tmp_path):
    assert compare(tmp_path / "study", methods="held,held_twin", trials=4, seeds=3).returncode == 0
    assert results(records(tmp_path / "study")) == results(records(whole_study))
    assert final_table(tmp_path / "study") == final_table(whole_study)


def stopped_after(finished, out, send, start=warm.Popen, **options):
    """Start a study whose runs stand still once so many are finished, and stop it then: no race with its end."""
    environment = {**os.environ, "TINY_HOLD": f"{out / RECORDS}:{finished}"}
    process = start(command(out, **options), start_new_session=True, stderr=subprocess.PIPE, text=True, env=environment)
    while Path(out / RECORDS).exists() is False or (out / RECORDS).read_text().count("\n") < finished:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    send(process.pid)
    stderr = process.communicate(timeout=300)[1]
    return process.returncode, stderr


def test_kill_9_twice_and_the_same_command_again(whole_study, tmp_path):
    """Once in the search, once in the final runs."""
    out = tmp_path / "study"
    options = {"methods": "held,held_twin", "trials": 4, "seeds": 3}
    for finished in (3, 10):
        stopped_after(finished, out, lambda pid: os.killpg(pid, signal.SIGKILL), **options)
        survived = records(out)
        assert finished <= len(survived) <= finished + 1
    assert compare(out, **options).returncode == 0
    now = records(out)
    assert {key: now[key] for key in survived} == survived  # with their times: not run again
    assert results(now) == results(records(whole_study))
    assert final_table(out) == final_table(whole_study)


@pytest.mark.slow
def test_estimators_and_sharpness_survive_kill_9(tmp_path):
    options = {"methods": "ssgd+held,csgd+sam+held", "trials": 2, "seeds": 2, "sharpness": True}
    done = compare(tmp_path / "whole", **options)
    assert done.returncode == 0, done.stderr
    assert "csgd+sam+held pays 2 gradient evaluations per step, and so takes half as many steps." in done.stdout
    assert "Sharpness: the largest eigenvalue" in done.stdout
    whole = records(tmp_path / "whole")
    for (method, phase, _), record in whole.items():
        assert (record.gradient_evaluations, record.samples) == (18, 360)
        assert (record.measures.get("sharpness") is not None) == (phase == "final"), method

    out = tmp_path / "study"
    stopped_after(5, out, lambda pid: os.killpg(pid, signal.SIGKILL), **options)  # the search, and one run more
    again = compare(out, **options)
    assert again.returncode == 0
    assert results(records(out)) == results(whole)
    assert final_table(out) == final_table(tmp_path / "whole")
    assert again.stdout.splitlines()[:5] == done.stdout.splitlines()[:5]  # the table

    asked_otherwise = compare(out, **{**options, "sharpness": False})
    assert asked_otherwise.returncode == 2
    assert "(instruments are sharpness there and none here)" in asked_otherwise.stderr


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    """Even in the middle of a run that says nothing."""
    group = []

    def kill_the_parent_alone(pid):
        group.append(pid)
        os.kill(pid, signal.SIGKILL)

    stopped_after(1, tmp_path / "study", kill_the_parent_alone, methods="held", trials=8)
    for _ in range(1000):
        try:
            os.killpg(group[0], 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(group[0], signal.SIGKILL)
    raise AssertionError("a worker was still there 100 seconds after its parent was killed")


@pytest.mark.slow
def test_an_interrupted_study_ends_cleanly_and_goes_on(whole_study, tmp_path):
    out = tmp_path / "study"
    options = {"methods": "held,held_twin", "trials": 4, "seeds": 3}
    for finished, number in ((2, signal.SIGINT), (9, signal.SIGTERM)):
        # As Ctrl-C does: to the whole group.
        code, stderr = stopped_after(finished, out, lambda pid, n=number: os.killpg(pid, n), **options)
        assert code == 130
        assert "of 14 runs finished; the same command resumes there" in stderr
        assert "Traceback" not in stderr
        assert "Unfinished" in (out / "report.md").read_text()
    assert compare(out, **options).returncode == 0
    assert final_table(out) == final_table(whole_study)


@pytest.mark.slow
def test_an_interruption_while_workers_import_is_no_traceback(tmp_path):
    process = subprocess.Popen(
        command(tmp_path / "study"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    ours = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None and len(ours.read_text().split()) < 2:  # who starts them, and who tracks resources
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    assert stderr.startswith("error: interrupted")
    assert stderr.count("\n") == 1


def test_a_run_that_kills_its_process_touches_no_other(tmp_path):
    out = tmp_path / "study"
    done = compare(out, methods="good,dying", trials=1, seeds=2, jobs=2)
    assert done.returncode == 0, done.stderr
    found = records(out)
    assert found["dying", "tune", 0].status == "failed"
    assert found["dying", "tune", 0].error == (
        "The process of this run died 5 times without getting further, the last time with exit code -9."
    )
    assert all(r.status == "finished" for key, r in found.items() if key[0] == "good")


@pytest.mark.slow
def test_a_run_whose_process_is_killed_goes_on_in_the_middle(tmp_path, monkeypatch):
    """Two runs of 18 steps, one killed at its seventh; anew, it would take all 7 again. Writing a checkpoint may take
    but a fiftieth of the time, so that not every step has one."""
    out, steps = tmp_path / "study", tmp_path / "steps"
    monkeypatch.setenv("TINY_STEPS", str(steps))
    options = {"methods": "dying_7", "trials": 1, "seeds": 1, "jobs": 1}
    done = compare(out, **options, checkpoint_seconds=0)
    assert done.returncode == 0, done.stderr
    assert 2 * 18 < steps.read_text().count("\n") < 2 * 18 + 7
    assert compare(tmp_path / "whole", **options).returncode == 0
    assert results(records(out)) == results(records(tmp_path / "whole"))
    assert not list((out / "checkpoints").iterdir())


def test_if_all_fail_the_exit_code_is_1(tmp_path):
    done = compare(tmp_path / "study", methods="exploding,raising", trials=2)
    assert done.returncode == 1
    sentence = (
        "no run of the search finished: 2 diverged and 2 failed; the first failure was: ValueError: planted in step"
    )
    assert sentence in done.stderr
    assert "ValueError: planted in step" in (tmp_path / "study" / "report.md").read_text()


@pytest.mark.parametrize(
    ("limit_bytes", "sentence"),
    [(9_000, "can no longer be read or written"), (300_000, "the report could not be written")],
    ids=["records", "report"],
)
@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_claims_nothing(whole_study, tmp_path, limit_bytes, sentence):
    """No file may grow beyond the limit: the records fail in the middle of the study, or the report at its end."""
    out = tmp_path / "study"
    options = {"methods": "held,held_twin", "trials": 4, "seeds": 3}
    done = compare(out, limit_bytes=limit_bytes, **options)
    assert done.returncode == 1, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert ("where held reaches" in done.stdout) == ("report" in sentence)  # what is known is said all the same
    assert not (out / "report.html").exists()
    survived = records(out)
    assert (len(survived) < 14) == ("report" not in sentence)
    assert compare(out, **options).returncode == 0
    now = records(out)
    assert {key: now[key] for key in survived} == survived
    assert final_table(out) == final_table(whole_study)


def test_a_folder_with_another_study(whole_study):
    before = (whole_study / "spec.json").read_bytes()
    done = compare(whole_study, methods="held,held_twin", trials=3, seeds=3)
    assert done.returncode == 2
    assert "holds a study with another spec (trials differs: 4 there, 3 here); choose another" in done.stderr
    assert (whole_study / "spec.json").read_bytes() == before


def test_two_processes_at_one_study(whole_study):
    with FileLock(whole_study / LOCK):
        second = compare(whole_study, methods="held,held_twin", trials=4, seeds=3)
    assert second.returncode == 2
    assert "another process is running the study" in second.stderr


def test_the_first_records_line_is_plain_json(whole_study):
    first = json.loads((whole_study / RECORDS).read_text().splitlines()[0])
    assert first["method"] == "held"
    assert first["workload"] == "clouds"
    assert first["gradient_evaluations"] == 18
