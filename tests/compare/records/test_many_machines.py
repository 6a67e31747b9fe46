"""Many hosts at one study, in a real PostgreSQL: each run is taken by one, none is lost, no host is buried alive."""

import dataclasses
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from optuna.trial import TrialState

from steepest._errors import InputError
from steepest.cli import run
from steepest.compare.policy.finished import finished_records
from steepest.compare.records import folder as study_folder
from steepest.compare.records.record import Job, Record
from steepest.compare.records.retries import Patience, StorageAwayError
from steepest.compare.records.shared_ledger import SharedLedger
from steepest.compare.records.storage import Membership, Storage
from steepest.compare.spec import StudySpec
from tests.compare import TINY_FILE
from tests.compare.records.postgresql import PASSWORD, PostgreSQL
from tests.compare.study.frozen import freeze

JOBS = [Job("digits-mlp", m, "tune", i, 0, {"lr": 0.1 / (i + 1)}) for i in range(6) for m in ("sgd", "sngm")]
TINY = str(TINY_FILE)


@pytest.fixture(scope="module")
def postgresql():
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="module")
def spec():
    return StudySpec((freeze("digits-mlp", ["sgd", "sngm"], trials=6, seeds=2),))


@pytest.fixture
def host(postgresql, spec, request):
    """Makes ledgers of hosts, of a study that no other test has."""
    opened = []
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)

    def make(owner, study=name, spec=spec, patience=None):
        ledger = SharedLedger(Membership(Storage(postgresql.url, study), owner), spec, patience)
        opened.append(ledger)
        ledger.join()
        return ledger

    yield make
    for ledger in opened:
        ledger.close()


@pytest.fixture
def short_grace(monkeypatch):
    monkeypatch.setenv("STEEPEST_GRACE", "0.6")


def record(job, seconds=1.0):
    return Record("digits-mlp", job.method, job.phase, job.index, job.seed, job.hyperparameters, "finished", 1.0, 2.0,
                  validation_metric=0.9, seconds=seconds)  # fmt: skip


def states(ledger):
    return [trial.state for trial in ledger.trials(*TrialState)]


def together(*calls):
    with ThreadPoolExecutor(len(calls)) as executor:
        return [future.result() for future in [executor.submit(call) for call in calls]]


@pytest.mark.slow
def test_hosts_that_plan_at_once_enter_every_run_once(host):
    hosts = [host(owner) for owner in "abcd"]
    together(*(lambda ledger=ledger: ledger.plan(JOBS) for ledger in hosts))
    assert states(hosts[0]) == [TrialState.WAITING] * len(JOBS)
    for study in ("digits-mlp/sgd/tune", "digits-mlp/sngm/tune"):
        trials = hosts[0].storage.get_all_trials(hosts[0].study_id(study))
        assert [trial.params["lr"] for trial in trials] == pytest.approx([0.1 / (i + 1) for i in range(6)])


def test_hosts_that_take_at_once_share_the_runs(host):
    hosts = [host(owner) for owner in "abc"]
    hosts[0].plan(JOBS)
    taken = together(*(lambda ledger=ledger: {job.key for job in JOBS if ledger.take(job)} for ledger in hosts))
    assert set().union(*taken) == {job.key for job in JOBS}
    assert sum(map(len, taken)) == len(JOBS)


def test_of_two_that_did_the_same_run_the_first_counts(host):
    a, b = host("a"), host("b")
    a.plan(JOBS)
    a.take(JOBS[0])
    assert b.finish(record(JOBS[0], seconds=1.0)).seconds == 1.0
    assert a.finish(record(JOBS[0], seconds=2.0)).seconds == 1.0
    assert [r.seconds for r in a.records()] == [1.0]


@pytest.mark.parametrize("operation", ["plan", "take", "finish", "give_back"])
@pytest.mark.slow
def test_what_was_done_but_not_answered_is_not_done_twice(host, monkeypatch, operation):
    """The connection breaks after the commit and before its answer."""
    a, b = host("a"), host("b")
    if operation != "plan":
        a.plan(JOBS)
    if operation in ("finish", "give_back"):
        a.take(JOBS[0])
    for name in ("set_trial_state_values", "set_trial_user_attr", "create_new_trial"):
        lose_the_first_answer(monkeypatch, a.storage, name)
    if operation == "plan":
        a.plan(JOBS)
    elif operation == "take":
        assert a.take(JOBS[0])
    elif operation == "finish":
        assert a.finish(record(JOBS[0])) == record(JOBS[0])
    else:
        a.give_back(JOBS[0])
    assert len(states(b)) == len(JOBS)
    ended = {"plan": TrialState.WAITING, "take": TrialState.RUNNING, "finish": TrialState.COMPLETE}
    assert states(b)[0] == ended.get(operation, TrialState.WAITING)
    assert states(b)[1:] == [TrialState.WAITING] * (len(JOBS) - 1)


def lose_the_first_answer(monkeypatch, storage, name):
    real, lost = getattr(storage, name), []

    def call(*args, **kwargs):
        result = real(*args, **kwargs)
        if not lost:
            lost.append(result)
            import sqlalchemy.exc

            cause = sqlalchemy.exc.OperationalError("COMMIT", {}, Exception("server closed the connection"))
            raise optuna.exceptions.StorageInternalError("lost") from cause
        return result

    monkeypatch.setattr(storage, name, call)


@pytest.mark.slow
def test_a_silent_hosts_runs_are_taken_over_and_a_living_ones_are_not(host, short_grace):
    silent, living, watching = host("silent"), host("living"), host("watching")
    watching.plan(JOBS)
    assert silent.take(JOBS[0])
    assert living.take(JOBS[1])
    assert not watching.take(JOBS[0])
    for _ in range(1000):
        living.news(set(), idle=False)
        watching.news(set(), idle=False)
        if watching.take(JOBS[0]):
            break
        time.sleep(0.05)
    else:
        raise AssertionError("a silent host kept its run for 50 seconds")
    assert not watching.take(JOBS[1])
    # The silent one was only slow: it learns that its run is another's now, and the result is welcome all the same.
    assert not silent.take(JOBS[0])
    silent.finish(record(JOBS[0], seconds=3.0))
    assert watching.finish(record(JOBS[0], seconds=4.0)).seconds == 3.0


def test_a_host_that_restarts_frees_its_own_runs_at_once(host):
    a, b = host("a"), host("b")
    a.plan(JOBS)
    a.take(JOBS[0])
    b.take(JOBS[1])
    again = host("a")
    again.release()
    assert states(b) == [TrialState.WAITING, *states(b)[1:]]
    assert sorted(states(b)) == [TrialState.RUNNING] + [TrialState.WAITING] * (len(JOBS) - 1)


def test_news_are_what_others_ended_and_have_under_way(host):
    a, b = host("a"), host("b")
    a.plan(JOBS)
    for job in JOBS[:3]:
        a.take(job)
    a.finish(record(JOBS[0]))
    b.take(JOBS[3])
    news = b.news(set(), idle=True)
    assert news.records == [record(JOBS[0])]
    assert news.elsewhere == {JOBS[1].key, JOBS[2].key}
    assert b.news(set(), idle=True) is None  # too early to look again


def test_another_spec_under_the_same_name_is_refused_and_another_name_is_not(host, spec, postgresql):
    a = host("a", study="same")
    other = StudySpec((dataclasses.replace(spec.comparisons[0], trials=7),))
    with pytest.raises(
        InputError, match=r"study 'same' with another spec \(trials differs: 6 there, 7 here\).*name with study"
    ):
        host("b", study="same", spec=other)
    host("b", study="another", spec=other).plan(JOBS)
    assert states(a) == []


@pytest.mark.slow
def test_an_outage_is_waited_for_and_buries_nobody(host, postgresql, short_grace, caplog):
    a, b = host("a"), host("b")
    a.plan(JOBS)
    a.take(JOBS[0])
    b.news(set(), idle=True)
    postgresql.stop()
    back = threading.Timer(1.5, postgresql.start)
    back.start()
    with caplog.at_level(logging.WARNING, logger="steepest"):
        news = b._look(set())  # the storage was away for longer than the grace period
    back.join()
    assert news.elsewhere == {JOBS[0].key}
    assert states(b)[0] == TrialState.RUNNING
    assert a.finish(record(JOBS[0])) == record(JOBS[0])
    told = [r.getMessage() for r in caplog.records]
    assert len(told) == 2
    assert "is away (" in told[0]
    assert "is back after " in told[1]
    assert PASSWORD not in "".join(told)
    assert "s3cr" not in "".join(told)


def test_patience_ends_with_a_sentence(host, postgresql, monkeypatch):
    monkeypatch.setenv("STEEPEST_PATIENCE", "0.5")
    a = host("a", patience=Patience("the storage of this test"))
    a.plan(JOBS)
    postgresql.stop()
    try:
        with pytest.raises(
            StorageAwayError, match=r"the storage of this test is away .* finished runs are safe, and the"
        ):
            a.take(JOBS[0])
    finally:
        postgresql.start()
    assert a.take(JOBS[0])


def test_a_folder_reads_its_storage_and_knows_its_own_if_that_is_away(host, postgresql, spec, tmp_path, caplog):
    a = host("a", study="folder")
    a.plan(JOBS)
    for job in JOBS[:2]:
        a.take(job)
        a.finish(record(job))
    storage = Storage(postgresql.url, "folder")
    with study_folder.opened(tmp_path, spec):
        study_folder.write_atomically(tmp_path / "storage.json", Membership(storage, "a").to_json())
        study_folder.write_records(tmp_path, [record(JOBS[0])])
    assert len(finished_records(tmp_path, storage)[1]) == 2
    assert finished_records(tmp_path)[1] == [record(JOBS[0])]  # no password
    assert "shown is what" in caplog.text
    assert "s3cr" not in caplog.text + (tmp_path / "storage.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--storage mysql://me:s3cret@h/db", "must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE, got 'mysql:"),
        ("--storage me:s3cret@h", "PORT/DATABASE, got 'me:***@h'"),
        ("--storage postgresql://h/db --study a/b", "--study must be made of letters, digits and any of . _ + -, got"),
        ("--study a", "--study names a study in a --storage, and none is given, got 'a'"),
        ("--storage postgresql://me:s3cret@127.0.0.1:1/db", "//me:***@127.0.0.1:1/db cannot be opened ("),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_without_the_password(arguments, sentence, capsys, tmp_path):
    out = tmp_path / "study"
    assert run(["compare", f"{TINY}:clouds", "--methods", f"{TINY}:good", "--out", str(out), *arguments.split()]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert "s3cret" not in said
    assert not out.exists()


def test_a_command_and_an_address_hide_the_password():
    storage = Storage("postgresql://me:it's@host/db?sslpassword=secret", "s")
    assert storage.masked_in("steepest --storage 'postgresql://me:it'\"'\"'s@host/db?sslpassword=secret'") == (
        "steepest --storage 'postgresql://me:***@host/db?sslpassword=***'"
    )
    assert "it's" not in repr(storage)
    assert storage.without_password().url == "postgresql://me@host/db"
    member = json.loads(Membership(storage, "x").to_json())
    assert member == {"storage": "postgresql://me@host/db", "study": "s", "owner": "x"}
