"""Workers that die before they have done anything."""

import pytest

from steepest._errors import StudyError
from steepest.compare.running.jobs import Job
from steepest.compare.running.pool import Pool

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
