"""Hopeless runs of the search are stopped, remembered, and never chosen."""

import os
import random
import signal

import pytest

from steepest.compare import Study
from steepest.compare.analysis.choice import best_of
from steepest.compare.records.ledger import Ledger
from steepest.compare.records.lines import append_record
from steepest.compare.records.optuna_ledger import OptunaLedger
from steepest.compare.records.record import Job, Record, may_be_pruned
from steepest.compare.records.retries import Patience
from steepest.compare.results.sentences import pruning_note
from steepest.compare.spec import StudySpec
from tests.compare.study.frozen import freeze
from tests.compare.study.test_study import compare, final_table, records, results, stopped_after
from tests.compare.tiny import clouds, good, twin

OPTIONS = {"methods": "held,held_twin", "trials": 8, "seeds": 1, "epochs": 8, "jobs": 1, "pruner": "median"}


@pytest.fixture(scope="module")
def whole_study(tmp_path_factory):
    """An uninterrupted study with a pruner, and what it printed."""
    out = tmp_path_factory.mktemp("pruned") / "study"
    done = compare(out, **OPTIONS)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.mark.slow
def test_runs_are_stopped_and_told_of(whole_study):
    out, printed = whole_study
    found = records(out)
    pruned = [r for r in found.values() if r.status == "pruned"]
    assert len(found) == 18
    assert 0 < len(pruned) < 12
    assert {r.phase for r in pruned} == {"tune"}
    for record in pruned:
        assert record.gradient_evaluations < 48
        assert record.curve["gradient_evaluations"][-1] == record.gradient_evaluations
        assert record.validation_metric == record.curve["validation_metric"][-1]
        assert record.test_metric is None
    sentence = f"{len(pruned)} of 16 runs of the search were stopped early by the pruner median: a run was, once its"
    assert sentence in printed
    assert sentence in (out / "report.md").read_text()


@pytest.mark.slow
def test_one_job_is_deterministic_also_when_killed(whole_study, tmp_path):
    """And identical methods are pruned alike."""
    whole = records(whole_study[0])
    out = tmp_path / "study"
    stopped_after(12, out, lambda pid: os.killpg(pid, signal.SIGKILL), **OPTIONS)
    survived = records(out)
    assert "pruned" in {r.status for r in survived.values()}
    assert compare(out, **OPTIONS).returncode == 0
    now = records(out)
    assert {key: now[key] for key in survived} == survived  # with their times: not run again
    assert results(now) == results(whole)
    assert final_table(out) == final_table(whole_study[0])
    for i in range(8):
        assert now["held", "tune", i].curve == now["held-twin", "tune", i].curve


def test_every_search_with_halving_ends_and_chooses_a_finished_run(tmp_path):
    options = {"methods": [good, twin], "trials": 6, "seeds": 1, "epochs": 5, "out": tmp_path / "study"}
    study = Study(clouds, jobs=2, pruner="halving", **options)
    assert study.run(progress=False)
    (summary,) = study.summaries()
    assert sum(row.pruned for row in summary.rows) > 0
    assert all(row.chosen.status == "finished" for row in summary.rows)
    assert summary.complete
    assert "by the pruner halving: a run was, unless it was among the best quarter" in pruning_note(summary)
    assert study.table().pruned.sum() == sum(row.pruned for row in summary.rows)


def test_only_runs_of_a_search_with_a_pruner_are_asked_about():
    search, final = (Job("digits-mlp", "sgd", phase, 0, 0, {"lr": 0.1}) for phase in ("tune", "final"))
    with_pruner, without = (StudySpec((freeze("digits-mlp", ["sgd"], pruner=p),)) for p in ("median", None))
    asked = [may_be_pruned(study, job.key) for study in (with_pruner, without) for job in (search, final)]
    assert asked == [True, False, False, False]


def test_a_pruned_run_is_not_chosen_however_good_it_was():
    def record(i, status, metric):
        return Record("digits-mlp", "sgd", "tune", i, 0, {"lr": 0.1}, status, 0.0, 0.0, validation_metric=metric)

    spec = freeze("digits-mlp", ["sgd"], trials=2)
    assert best_of(spec, [record(0, "finished", 0.8), record(1, "pruned", 0.9)]).trial == 0
    assert best_of(spec, [record(1, "pruned", 0.9)]) is None


@pytest.fixture
def ledger(tmp_path):
    """Of a search of 8 points with a pruner, 4 of them finished with 0.5 at the first validation, 0.7 at the second."""
    spec = freeze("digits-mlp", ["sgd"], trials=8, pruner="median")
    with Ledger(tmp_path, StudySpec((spec,))) as ledger:
        points = [Job(spec.name, "sgd", "tune", i, 0, {"lr": 0.01}) for i in range(8)]
        ledger.plan(points)
        for job in points[:4]:
            ledger.take(job)
            assert not ledger.is_hopeless(job, 1, 0.5)
            assert not ledger.is_hopeless(job, 2, 0.7)
            fields = {"validation_metric": 0.9, "status": "finished", "started": 0.0, "finished": 0.0}
            ledger.finish(Record(*job.key, job.seed, job.hyperparameters, **fields))
        for job in points[4:]:
            ledger.take(job)
        yield ledger, points[4:]


def test_what_was_decided_before_an_interruption_holds(ledger):
    ledger, (job, other, third, _) = ledger
    assert not ledger.is_hopeless(job, 1, 0.6)
    assert ledger.is_hopeless(job, 2, 0.6)
    ledger.release()
    ledger.take(job)
    assert not ledger.is_hopeless(job, 1, 0.6)  # though its best so far, 0.6 at the second, is known by now
    assert ledger.is_hopeless(job, 2, 0.6)
    assert ledger.is_hopeless(other, 1, 0.4)
    assert not ledger.is_hopeless(third, 1, 0.5)  # equal to the median is not worse


def test_a_pruned_run_is_optunas_pruned_trial(ledger, tmp_path):
    import optuna

    ledger, (job, *_) = ledger
    assert ledger.is_hopeless(job, 1, 0.3)
    record = Record(*job.key, 0, job.hyperparameters, "pruned", 0.0, 0.0, validation_metric=0.3)
    assert ledger.finish(record) == record
    assert record in ledger.records()
    ledger.close()
    trial = optuna.load_study(study_name="digits-mlp/sgd/tune", storage=f"sqlite:///{tmp_path}/study.db").trials[4]
    assert trial.state == optuna.trial.TrialState.PRUNED
    assert trial.intermediate_values == {1: 0.3}


@pytest.mark.parametrize("pruner", ["median", "halving"])
@pytest.mark.slow
def test_what_is_decided_in_memory_is_what_optunas_storage_decides(pruner, tmp_path):
    """To the last answer, also where the program was killed and begins anew from its folder."""
    chance = random.Random(3)
    spec = StudySpec((freeze("digits-mlp", ["sgd"], trials=9, epochs=6, pruner=pruner),))
    jobs = [Job("digits-mlp", "sgd", "tune", i, 0, {"lr": 0.01}) for i in range(9)]
    (tmp_path / "study").mkdir()
    memory = Ledger(tmp_path / "study", spec)
    optuna_storage = OptunaLedger("sqlite:///:memory:", spec, Patience("the storage"))
    optuna_storage.plan(jobs)
    memory.plan(jobs)
    answers = []
    for pair in zip(jobs[::2], jobs[1::2], strict=False):
        stopped = {job.index: None for job in pair}
        for job in pair:
            memory.take(job)
            optuna_storage.take(job)
        for step in range(1, 6):
            for job in pair:
                if stopped[job.index] is None:
                    metric = float("nan") if chance.random() < 0.05 else chance.random()
                    said = [ledger.is_hopeless(job, step, metric) for ledger in (memory, optuna_storage)]
                    assert said[0] == said[1], (job.index, step)
                    answers.append(said[0])
                    stopped[job.index] = metric if said[0] else None
            if step == 3:  # killed: nothing is closed
                memory = Ledger(tmp_path / "study", spec)
                memory.plan([job for job in jobs if job.key not in {r.key for r in memory.records()}])
                for job in pair:
                    memory.take(job)
                    assert memory.is_hopeless(job, 1, 0.0) == optuna_storage.is_hopeless(job, 1, 0.0)
        for job in pair:
            fields = {"validation_metric": 0.5, "status": "finished" if stopped[job.index] is None else "pruned"}
            found = Record(*job.key, job.seed, job.hyperparameters, **fields, started=0.0, finished=0.0)
            append_record(tmp_path / "study", found)
            assert memory.finish(found) == optuna_storage.finish(found)
    optuna_storage.close()
    assert True in answers
    assert False in answers
    # Without its own file, the same is known from Optuna's.
    memory.close()
    before = Ledger(tmp_path / "study", spec)._pruning.asked
    (tmp_path / "study" / "pruning.jsonl").unlink()
    assert repr(Ledger(tmp_path / "study", spec)._pruning.asked) == repr(before)


def test_optuna_is_as_talkative_as_before(ledger):
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        ledger, (job, *_) = ledger
        ledger.is_hopeless(job, 1, 0.3)
        ledger.close()
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(before)
