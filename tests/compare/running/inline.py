"""A study without processes and without training: a simulated pool and its clock, under the real driver and records."""

import os
import signal

from steepest.compare.records.record import Record
from steepest.compare.running import study_run as drive
from steepest.compare.running.pool import Pool


class Silent:
    """A study's listener; interrupts the command after so many runs."""

    def __init__(self, until=None):
        self.until = until
        self.begun = []

    def begin(self, study, records):
        self.begun = list(records)

    def ended(self, record):
        if self.until is not None:
            self.until -= 1
            if self.until == 0:
                os.kill(os.getpid(), signal.SIGINT)

    def ignore(self, *_):
        pass

    started = progressed = died = waiting = ignore


def outcome(job):
    """Better towards a learning rate of 0.05, and a little by seed."""
    metric = 0.9 - abs(job.hyperparameters["lr"] - 0.05) + 0.001 * job.seed
    return {"status": "finished", "validation_metric": metric, "validation_loss": 1 - metric,
            "test_metric": metric if job.phase == "final" else None}  # fmt: skip


class _Worker:
    reason = "it fell over"

    def __init__(self, pool):
        self._pool = pool

    def send(self, message):
        self._job = message
        self.ends = self._pool.clock + self._pool.seconds(message)
        self._pool.jobs.append(message.key)

    def receive(self):
        job = self._job
        if self._pool.dies(job):
            raise EOFError
        return Record(  # whose times are always the same, so that records can be compared
            job.workload, job.method, job.phase, job.index, job.seed, job.hyperparameters, started=1.0, finished=2.0,
            **self._pool.outcome(job),
        )  # fmt: skip

    def stop(self):
        pass


class SimulatedPool(Pool):
    """Workers by a clock of their own: a run ends as ``outcome`` says, after ``seconds`` that nobody has to wait.

    Args:
        seconds: of a job, on the simulated ``clock``.
        dies: whether the process of a job dies instead of ending it; asked at each attempt.

    ``jobs`` are the keys of all that it was given, in their order.
    """

    def __init__(self, size=2, outcome=outcome, seconds=lambda job: 1.0, dies=lambda job: False):
        super().__init__(size)
        self.outcome, self.seconds, self.dies = outcome, seconds, dies
        self.jobs = []
        self.clock = 0.0

    def _start(self):
        return _Worker(self)

    def _ready(self, workers, timeout):
        self.clock = min(worker.ends for worker in workers)
        return [worker for worker in workers if worker.ends == self.clock]


def run(monkeypatch, spec, folder, *, outcome=outcome, until=None, command="steepest compare", pool=None, **options):
    """The keys of the runs that a command started, its records by key, and its listener."""
    pool, listener = pool or SimulatedPool(outcome=outcome), Silent(until)
    monkeypatch.setattr(drive, "make_pool", lambda *_: pool)
    monkeypatch.setattr(drive, "preflight", lambda *_, **__: None, raising=False)
    given = {"jobs": pool.size, "data_dir": None, "command": command, "listener": listener}
    records, _ = drive.run(spec, folder, **given, **options)
    return pool.jobs, {record.key: record for record in records}, listener
