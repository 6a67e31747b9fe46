"""Workers that die before they have done anything, and those that wait for something to do."""

import multiprocessing
import os
import random
import signal

import numpy as np
import pytest

from steepest._errors import StudyError
from steepest.compare import Study
from steepest.compare.records.record import Job, record_of
from steepest.compare.running import fork_server, spares
from steepest.compare.running.pool import Pool
from steepest.compare.running.processes import ProcessPool
from steepest.compare.running.setting import Setting
from steepest.compare.running.spares import Spares
from steepest.compare.spec import StudySpec
from tests.compare import TINY_FILE
from tests.compare.study.frozen import freeze
from tests.compare.tiny import clouds, good

TINY = TINY_FILE
JOB = Job("w", "sgd", "tune", 0, 0, {"lr": 0.1})


class Worker:
    reason = "it fell over"

    def __init__(self, dead=False):
        self.dead, self.stopped, self.job = dead, False, None

    def send(self, message):
        if self.dead:
            raise BrokenPipeError
        self.job = message

    def stop(self):
        self.stopped = True


class Births(Pool):
    """Starts what it is given, and raises what is an error."""

    def __init__(self, *births):
        super().__init__(1)
        self.births = iter(births)

    def _start(self):
        born = next(self.births)
        if isinstance(born, Exception):
            raise born
        return born

    def _ready(self, workers, timeout):
        return []


def test_a_worker_that_is_killed_while_it_is_born_is_replaced():
    stillborn, alive = Worker(dead=True), Worker()
    pool = Births(BrokenPipeError(), stillborn, ConnectionResetError(), alive)
    pool.submit(JOB)
    assert alive.job is JOB
    assert stillborn.stopped
    assert pool.running == [JOB]


@pytest.mark.parametrize("births", [[OSError("no room")] * 10, [Worker(dead=True) for _ in range(10)]])
def test_after_ten_births_it_is_said(births):
    pool = Births(*births)
    with pytest.raises(StudyError, match=r"finished runs are safe"):
        pool.submit(JOB)
    assert pool.running == []


def children():
    return {process.pid for process in multiprocessing.active_children()}


@pytest.fixture
def without_forks(monkeypatch):
    """As with the driver of a GPU, and on other systems than Linux."""
    monkeypatch.setattr(fork_server, "can_fork", lambda: False)


@pytest.mark.usefixtures("without_forks")
@pytest.mark.slow
def test_a_pool_takes_spare_processes_first_and_the_others_are_ended():
    spec = freeze(f"{TINY}:clouds", [f"{TINY}:good"], trials=3)
    jobs = [Job("clouds", "good", "tune", i, 0, {"lr": 0.1}) for i in range(3)]
    before = children()
    with Spares(3) as spares:
        spare = children() - before
        dead = sorted(spare)[1]  # neither the first nor the last
        os.kill(dead, signal.SIGKILL)
        os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
        with ProcessPool(3, Setting(StudySpec((spec,)), None), spares) as pool:
            for job in jobs:
                pool.submit(job)
            assert len(children() - before - spare) == 1  # in the place of the dead one
            events = []
            while pool.running:
                events += pool.events(1.0)
        assert [event.record.status for event in events if event.kind == "ended"] == ["finished"] * 3
    with Spares(2):
        assert len(children() - before) == 2
    assert children() - before == set()


def work(number, waiting=None):
    """So many runs at a time, and their events."""
    spec = freeze(f"{TINY}:clouds", [f"{TINY}:good"], trials=number)
    with ProcessPool(number, Setting(StudySpec((spec,)), None), waiting) as pool:
        for i in range(number):
            pool.submit(Job("clouds", "good", "tune", i, 0, {"lr": 0.1}))
        events = []
        while pool.running:
            events += pool.events(1.0)
    return [event.record for event in events if event.record]


@pytest.mark.usefixtures("without_forks")
@pytest.mark.slow
def test_without_forks_the_same_run_gives_the_same_numbers(monkeypatch):
    alone = work(1)
    monkeypatch.undo()
    assert [r.validation_loss for r in work(2)] == [r.validation_loss for r in alone] * 2


@pytest.mark.skipif(not fork_server.can_fork(), reason="no forks here")
def test_a_server_that_is_killed_is_started_again():
    with Spares(2) as spares:
        assert len(work(2, spares)) == 2
        server = fork_server.running_server()
        os.kill(server._forkserver_pid, signal.SIGKILL)
        os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOWAIT)
        assert [r.status for r in work(2, spares)] == ["finished"] * 2


def tell_what_is_drawn(connection):
    spares._leave_server_behind(dict(os.environ))
    connection.send((random.random(), float(np.random.rand())))


@pytest.mark.skipif(not fork_server.can_fork(), reason="no forks here")
@pytest.mark.slow
def test_what_nobody_seeds_differs_from_fork_to_fork():
    """Else a model that draws from it would look right within a study, and be another one in the next."""
    drawn = []
    for _ in range(2):
        ours, theirs = multiprocessing.Pipe()
        fork = fork_server.Forked(fork_server.running_server(), tell_what_is_drawn, (theirs,))
        fork.start()
        drawn.append(ours.recv())
        fork.join()
    assert not set(drawn[0]) & set(drawn[1])


@pytest.mark.skipif(not fork_server.can_fork(), reason="no forks here")
def test_one_server_serves_until_the_environment_needs_another(monkeypatch):
    first = fork_server.running_server()
    monkeypatch.setenv("ANY", "thing")
    assert fork_server.running_server() is first
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    second = fork_server.running_server()
    assert second is not first
    assert os.waitpid(first._forkserver_pid, 0)[0] == first._forkserver_pid  # it has ended
    assert fork_server.running_server() is second


def run_in_a_daemon(out):
    return Study(clouds, methods=[good], trials=1, seeds=1, jobs=1, out=out).run(progress=False)


@pytest.mark.slow
def test_a_study_runs_in_a_process_that_may_have_no_children(tmp_path):
    """As the workers of a multiprocessing.Pool may not."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(run_in_a_daemon, (tmp_path / "study",))


@pytest.mark.parametrize(
    ("status", "replaceable", "kept"), [("finished", True, 1), ("failed", True, 0), ("failed", False, 1)]
)
def test_a_worker_is_used_again_unless_its_run_failed(status, replaceable, kept):
    worker = Worker()
    worker.receive = lambda: record_of(JOB, 0.0, {"status": status})
    pool = Births(worker)
    pool._ready = lambda workers, timeout: workers
    pool.replaceable = replaceable
    pool.submit(JOB)
    [event] = pool.events(0)
    assert event.record.status == status
    assert (len(pool._idle), worker.stopped) == (kept, not kept)
