"""What is finished is finished in one transaction; everything else is run again."""

import pytest

from steepest.compare.freeze import freeze
from steepest.compare.running.jobs import Job, Record
from steepest.compare.running.ledger import Ledger
from steepest.compare.spec import StudySpec


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
    # Killed between the two writes of `finish`: the record is there, the state is not.
    ledger.storage.set_trial_user_attr(ledger.trial_id(JOBS[1].key), "record", "{}")
    ledger.close()

    again = Ledger(tmp_path, spec)
    again.release()
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
    study = optuna.load_study(study_name="digits-mlp/sgd/tune", storage=f"sqlite:///{tmp_path}/study.db")
    assert study.best_value == 0.75
    assert study.best_params == {"lr": 0.1}
    assert len(study.trials) == 3
