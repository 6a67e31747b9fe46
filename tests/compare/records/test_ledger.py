"""What has a line among the records is finished; everything else is run again."""

import sqlite3

import pytest
import sqlalchemy.exc

from steepest.compare.policy.finished import finished_records
from steepest.compare.policy.standing import counted
from steepest.compare.records import folder as study_folder
from steepest.compare.records.ledger import Ledger
from steepest.compare.records.record import Job, Record
from steepest.compare.records.retries import Patience, is_passing
from steepest.compare.running.study_run import _catch_up
from steepest.compare.spec import StudySpec
from tests.compare.study.frozen import freeze


@pytest.fixture(scope="module")
def spec():
    return StudySpec((freeze("digits-mlp", ["sgd", "sngm"], trials=3, seeds=2),))


JOBS = [Job("digits-mlp", m, "tune", i, 0, {"lr": 0.1 / (i + 1)}) for i in range(3) for m in ("sgd", "sngm")]


def record(job, status="finished", metric=0.9):
    return Record("digits-mlp", job.method, job.phase, job.index, job.seed, job.hyperparameters, status, 1.0, 2.0,
                  validation_metric=metric, curve={"train_loss": [1.0, None]})  # fmt: skip


def test_a_record_comes_back_as_it_was(tmp_path, spec):
    ledger = Ledger(tmp_path, spec)
    ledger.plan(JOBS)
    for job, status in zip(JOBS, ("finished", "diverged", "failed"), strict=False):
        ledger.take(job)
        ledger.finish(record(job, status, 0.9 if status == "finished" else None))
    ledger.close()
    assert {r.key: r for r in Ledger(tmp_path, spec).records()} == {
        job.key: record(job, status, 0.9 if status == "finished" else None)
        for job, status in zip(JOBS, ("finished", "diverged", "failed"), strict=False)
    }


def test_planning_twice_plans_once(tmp_path, spec):
    Ledger(tmp_path, spec).plan(JOBS[:2])
    ledger = Ledger(tmp_path, spec)
    ledger.plan(JOBS)
    ledger.plan(JOBS)
    for job in JOBS:
        ledger.take(job)
    with pytest.raises(RuntimeError, match="it is not waiting"):
        ledger.take(JOBS[0])


def test_what_was_under_way_waits_again_and_what_is_finished_does_not(tmp_path, spec):
    ledger = Ledger(tmp_path, spec)
    ledger.plan(JOBS)
    for job in JOBS[:3]:
        ledger.take(job)
    ledger.finish(record(JOBS[0]))
    ledger.close()

    again = Ledger(tmp_path, spec)
    again.plan(JOBS)
    assert [r.key for r in again.records()] == [JOBS[0].key]
    for job in JOBS[1:3]:
        again.take(job)
        again.finish(record(job))
    assert len(again.records()) == 3


def test_optuna_reads_the_study(tmp_path, spec):
    import optuna

    ledger = Ledger(tmp_path, spec)
    ledger.plan(JOBS)
    ledger.take(JOBS[0])
    ledger.finish(record(JOBS[0], metric=0.75))
    ledger.close()
    study = optuna.load_study(study_name="digits-mlp/sgd/tune", storage=f"sqlite:///{tmp_path}/study.db")
    assert study.best_value == 0.75
    assert study.best_params == {"lr": 0.1}
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "WAITING", "WAITING"]
    assert study.trials[0].datetime_complete.timestamp() == 2.0
    ledger.take(JOBS[2])
    ledger.finish(record(JOBS[2], status="diverged", metric=None))  # a second look at it, by the same program
    ledger.save()
    study = optuna.load_study(study_name="digits-mlp/sgd/tune", storage=f"sqlite:///{tmp_path}/study.db")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "WAITING"]
    assert [trial.params["lr"] for trial in study.trials] == [0.1, 0.05, 0.1 / 3]


def test_a_run_that_was_given_back_waits_and_a_finished_one_stays_as_it_was(tmp_path, spec):
    ledger = Ledger(tmp_path, spec)
    ledger.plan(JOBS)
    assert ledger.take(JOBS[0])
    ledger.give_back(JOBS[0])
    assert ledger.take(JOBS[0])
    assert ledger.finish(record(JOBS[0], metric=0.5)) == record(JOBS[0], metric=0.5)
    assert ledger.finish(record(JOBS[0], metric=0.9)) == record(JOBS[0], metric=0.5)
    ledger.give_back(JOBS[0])
    assert ledger.records() == [record(JOBS[0], metric=0.5)]


@pytest.fixture
def folder(tmp_path, spec):
    """Of a study, with one run in its storage and another in its records alone."""
    out = tmp_path / "a {strange} name"
    with study_folder.opened(out, spec), Ledger(out, spec) as ledger:
        ledger.plan(JOBS)
        ledger.take(JOBS[0])
        ledger.finish(record(JOBS[0]))
        study_folder.append_record(out, record(JOBS[1], metric=0.8))
    return out


def test_records_that_never_reached_the_storage_are_entered_at_the_next_start(folder, spec):
    final = Job("digits-mlp", "sgd", "final", 0, 1, {"lr": 0.1})
    study_folder.append_record(folder, record(final))  # its search is not finished: it does not count yet
    with Ledger(folder, spec) as ledger:
        found = _catch_up(spec, folder, ledger)
        assert {r.key: r.validation_metric for r in counted(spec, found).records} == {
            JOBS[0].key: 0.9, JOBS[1].key: 0.8,
        }  # fmt: skip


def test_a_lost_storage_is_made_anew_from_the_records(folder, spec):
    found = finished_records(folder)[1]
    study_folder.write_records(folder, found)
    (folder / "study.db").unlink()
    assert finished_records(folder)[1] == found
    with Ledger(folder, spec) as ledger:
        assert {r.key for r in _catch_up(spec, folder, ledger)} == {r.key for r in found}


@pytest.mark.parametrize("damage", ["nothing", "torn line", "empty storage", "torn storage", "half-made storage"])
def test_a_folder_can_be_read_at_any_moment(folder, damage, caplog):
    study_folder.write_records(folder, finished_records(folder)[1])
    if damage == "torn line":
        with open(folder / "trials.jsonl", "a") as file:
            file.write('{"workload": "digits-mlp", "meth')
    elif damage == "empty storage":
        (folder / "study.db").write_bytes(b"")
    elif damage == "torn storage":
        (folder / "study.db").write_bytes((folder / "study.db").read_bytes()[:5000])
    elif damage == "half-made storage":
        with sqlite3.connect(folder / "study.db") as connection:
            connection.execute("DROP TABLE alembic_version")
    before = (folder / "study.db").read_bytes()
    assert [r.key for r in finished_records(folder)[1]] == [JOBS[0].key, JOBS[1].key]
    assert caplog.text == ""
    assert (folder / "study.db").read_bytes() == before  # who reads makes nothing
    if damage == "torn line":  # and the next start drops what is not whole
        study_folder.write_records(folder, study_folder.read_records(folder))
        assert len((folder / "trials.jsonl").read_text().splitlines()) == 2


def test_two_may_write_the_same_file_at_once(tmp_path):
    """A report that is asked for while the study writes its own."""
    from concurrent.futures import ThreadPoolExecutor

    texts = [f"{i}" * 100_000 for i in range(8)]
    with ThreadPoolExecutor(8) as executor:
        for _ in range(5):
            list(executor.map(lambda text: study_folder.write_atomically(tmp_path / "report.html", text), texts))
    assert (tmp_path / "report.html").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def database_error(text, state=None):
    error = sqlite3.OperationalError(text) if state is None else Exception(text)
    if state is not None:
        error.sqlstate = state
    return sqlalchemy.exc.OperationalError("UPDATE trials", {}, error)


def test_only_what_passes_is_waited_for():
    passing = [database_error("database is locked")] + [database_error("x", s) for s in ("57P01", "08006", "40P01")]
    passing.append(sqlalchemy.exc.PendingRollbackError("Can't reconnect until invalid transaction is rolled back."))
    lasting = [database_error("database or disk is full"), database_error("x", "42501"), database_error("x", "28P01")]
    assert [is_passing(error) for error in passing] == [True] * 5
    assert [is_passing(error) for error in lasting] == [False] * 3
    pauses = []
    answers = iter([*passing, "done"])

    def operation():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert Patience("the storage", pauses.append)(operation) == "done"
    assert len(pauses) == len(passing)
    with pytest.raises(sqlalchemy.exc.OperationalError):
        Patience("the storage", pauses.append)(lambda: (_ for _ in ()).throw(lasting[0]))
    assert len(pauses) == len(passing)
