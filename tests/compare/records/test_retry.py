"""Runs that failed are tried again by the same command, and what rested on their failure is not mixed with what is."""

import logging

import pytest

from steepest.compare.policy.finished import finished_records
from steepest.compare.records.ledger import Ledger
from steepest.compare.records.lines import attempts_note, read_attempts
from steepest.compare.records.storage import Storage
from steepest.compare.spec import StudySpec
from tests.compare.records.postgresql import PostgreSQL
from tests.compare.running.inline import outcome, run
from tests.compare.study.frozen import freeze

SPEC = StudySpec((freeze("digits-mlp", ["sgd", "sngm"], trials=4, seeds=2),))
FAILED = {"status": "failed", "error": "FileNotFoundError: weights are not there yet"}


def flaky(*lost):
    """Runs of this method and these points fail."""
    return lambda job: FAILED if (job.method, job.phase, job.index) in lost else outcome(job)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return run(monkeypatch, SPEC, tmp_path_factory.mktemp("undisturbed") / "study")[1]


def best_of(records):
    finals = [r for r in records.values() if r.phase == "final" and r.method == "sgd"]
    (trial,) = {
        r.trial for r in records.values() if r.phase == "tune" and r.hyperparameters == finals[0].hyperparameters
    }
    return trial


def test_the_same_command_tries_failed_runs_again(undisturbed, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "study"
    with caplog.at_level(logging.WARNING, "steepest"):
        _, found, _ = run(monkeypatch, SPEC, folder, outcome=lambda job: FAILED)
        assert {r.status for r in found.values()} == {"failed"}
        assert caplog.text == ""
        jobs, found, _ = run(monkeypatch, SPEC, folder)
    assert sorted(jobs) == sorted(undisturbed)
    assert found == undisturbed
    assert finished_records(folder)[1] == list(found.values())
    assert "8 runs that failed before are tried again" in caplog.text
    attempts = read_attempts(folder)
    assert {(reason, r.status, r.error) for reason, r in attempts} == {("tried again", "failed", FAILED["error"])}
    assert len(attempts) == 8
    assert attempts_note(folder, found.values()) == (
        "8 runs that failed in an earlier call were tried again; attempts.jsonl says how they failed."
    )
    assert run(monkeypatch, SPEC, folder)[0] == []


def test_unless_they_are_to_stay_as_they_are(tmp_path, monkeypatch):
    folder = tmp_path / "study"
    _, before, _ = run(monkeypatch, SPEC, folder, outcome=flaky(("sgd", "tune", 0), ("sngm", "final", 1)))
    jobs, found, _ = run(monkeypatch, SPEC, folder, retry_failed=False)
    assert jobs == []
    assert found == before
    assert attempts_note(folder, found.values()) == (
        "2 runs failed; the same command tries them again, and resumes from the others."
    )
    jobs, found, _ = run(monkeypatch, SPEC, folder)
    assert {key[1:] for key in jobs} >= {("sgd", "tune", 0), ("sngm", "final", 1)}


@pytest.mark.parametrize("until", [None, *range(1, 4)])
@pytest.mark.slow
def test_final_runs_of_a_point_that_is_no_longer_chosen_are_run_anew(undisturbed, until, tmp_path, monkeypatch):
    """Also if the command is interrupted after any run of it."""
    folder, best = tmp_path / "study", best_of(undisturbed)
    _, before, _ = run(monkeypatch, SPEC, folder, outcome=flaky(("sgd", "tune", best)))
    other = [r for r in before.values() if (r.method, r.phase) == ("sgd", "final")]
    assert best_of(before) != best
    assert len(other) == 2
    if until is not None:
        run(monkeypatch, SPEC, folder, until=until)
        finals = [r for r in finished_records(folder)[1] if (r.method, r.phase) == ("sgd", "final")]
        assert len({r.hyperparameters["lr"] for r in finals}) < 2  # never two points at once
    jobs, found, _ = run(monkeypatch, SPEC, folder)
    assert until or set(jobs) == {("digits-mlp", "sgd", "tune", best), *(r.key for r in other)}
    assert found == undisturbed
    assert finished_records(folder)[1] == list(found.values())
    attempts = read_attempts(folder)
    assert sorted(reason for reason, _ in attempts) == ["another point was chosen"] * 2 + ["tried again"]
    assert [r for reason, r in attempts if reason != "tried again"] == other
    with Ledger(folder, SPEC) as ledger:
        assert ledger.records() == list(undisturbed.values())


@pytest.mark.parametrize("until", [None, 1])
def test_final_runs_of_a_point_that_stays_chosen_are_not_run_again(undisturbed, until, tmp_path, monkeypatch):
    folder, worse = tmp_path / "study", (best_of(undisturbed) + 1) % 4
    run(monkeypatch, SPEC, folder, outcome=flaky(("sgd", "tune", worse)))
    if until is not None:  # the retried run fails once more, and the command is killed then
        run(monkeypatch, SPEC, folder, outcome=flaky(("sgd", "tune", worse)), until=until)
    jobs, found, listener = run(monkeypatch, SPEC, folder)
    assert jobs == [("digits-mlp", "sgd", "tune", worse)]
    assert found == undisturbed
    assert len(listener.begun) == 12 - 3  # but for the retried one, and the final runs that hang on it
    assert [reason for reason, _ in read_attempts(folder)] == ["tried again"]


@pytest.mark.slow
def test_a_shared_study_tries_them_again_too(undisturbed, tmp_path, monkeypatch):
    best = best_of(undisturbed)
    with PostgreSQL() as postgresql:
        storage = Storage(postgresql.url, "flaky")
        a, b = tmp_path / "a", tmp_path / "b"
        _, before, _ = run(monkeypatch, SPEC, a, outcome=flaky(("sgd", "tune", best)), storage=storage)
        assert before["digits-mlp", "sgd", "tune", best].status == "failed"
        jobs, found, _ = run(monkeypatch, SPEC, b, retry_failed=False, storage=storage)
        assert jobs == []
        assert found == before
        jobs, found, _ = run(monkeypatch, SPEC, b, storage=storage)
        assert len(jobs) == 3
        assert found == undisturbed
        assert run(monkeypatch, SPEC, a, storage=storage)[:2] == ([], undisturbed)  # what the other did counts here
        assert finished_records(a, storage)[1] == finished_records(b, storage)[1] == list(undisturbed.values())
