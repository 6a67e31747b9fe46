"""The queue gives what can be started in the order in which a look at everything would find it."""

import dataclasses
import random
import tempfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.compare.policy.agenda import Agenda
from steepest.compare.policy.queue import jobs_left
from steepest.compare.policy.standing import counted
from steepest.compare.spec import StudySpec
from tests.compare.running.inline import Record, SimulatedPool, outcome, run
from tests.compare.study.frozen import freeze

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


def noisy(job):
    """Metrics that depend on the job alone, some of them missing."""
    draw = random.Random(repr(job.key))
    metric = draw.random()
    if draw.random() < 0.2:
        return {"status": "diverged"}
    return {"status": "finished", "validation_metric": metric, "validation_loss": 1 - metric,
            "test_metric": metric if job.phase == "final" else None}  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(jobs=st.integers(1, 5), seed=st.integers(0, 10**6), until=st.none() | st.integers(1, 20))
@pytest.mark.slow
def test_what_a_study_finds_does_not_depend_on_time(jobs, seed, until):
    """Whatever runs take, however many go on at a time, whichever processes die, and where the study is interrupted."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        pool = partial(
            SimulatedPool,
            jobs,
            noisy,
            seconds=lambda job: draw.choice([0.1, 1, 1, 30]),
            dies=lambda job: draw.random() < 0.1,
        )
        out = Path(folder) / "study"
        _, found, _ = run(patch, STUDY, out, pool=pool(), until=until)
        if until is not None:
            _, found, _ = run(patch, STUDY, out, pool=pool())
        assert {key: timeless(r) for key, r in found.items()} == EXPECTED


def timeless(record):
    return dataclasses.replace(record, started=0.0, finished=0.0)


def expected():
    done = []
    while left := jobs_left(STUDY, done):
        done += [
            Record(*job.key, job.seed, job.hyperparameters, started=0.0, finished=0.0, **noisy(job)) for job in left
        ]
    return {r.key: r for r in done}


EXPECTED = expected()
