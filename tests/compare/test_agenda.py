"""The queue gives what can be started in the order in which a look at everything would find it."""

import dataclasses
import random

from steepest.compare.policy.agenda import Agenda
from steepest.compare.policy.queue import jobs_left
from steepest.compare.policy.standing import counted
from steepest.compare.spec import StudySpec
from tests.compare.frozen import freeze
from tests.compare.inline import Record, outcome, run

ONE = freeze("digits-mlp", ["sgd", "sngm", "adamw"], trials=3, seeds=2)
STUDY = StudySpec((ONE, dataclasses.replace(ONE, name="the same again")))


def record(job):
    fields = outcome(job)
    return Record(*job.key, job.seed, job.hyperparameters, started=0.0, finished=1.0, **fields)


def test_whatever_order_the_jobs_come_in():
    done = []
    while left := jobs_left(STUDY, done):
        agenda, shuffled = Agenda(STUDY), random.Random(len(done)).sample(left, len(left))
        agenda.add(shuffled)
        agenda.add(shuffled)  # once is enough
        assert [agenda.pop().key for _ in left] == [job.key for job in left]
        assert not agenda
        done.append(record(left[0]))


def test_those_whose_process_died_come_last():
    left = jobs_left(STUDY, [])
    agenda = Agenda(STUDY)
    agenda.add(left[:1], deaths=2)
    agenda.add(left[1:2], deaths=1)
    agenda.add(left[2:])
    assert [agenda.pop() for _ in left] == [*left[2:], left[1], left[0]]


def test_a_study_starts_its_runs_in_that_order(tmp_path, monkeypatch):
    jobs, found, _ = run(monkeypatch, STUDY, tmp_path / "study")
    expected, records = [], []
    while left := jobs_left(STUDY, records):
        expected.append(left[0].key)
        records.append(record(left[0]))
    assert sorted(jobs) == sorted(expected)  # two at a time: the order of those that end may be another
    assert jobs[:9] == expected[:9]
    assert len(jobs) == len(found) == len(counted(STUDY, found.values()).records) == 30
