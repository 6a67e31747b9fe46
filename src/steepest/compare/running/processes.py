"""Processes that run jobs, one thread each, and outlive nothing: not their parent, not a job that kills them."""

from collections.abc import Sequence
from multiprocessing.connection import wait

from steepest.compare.running.pool import Pool
from steepest.compare.running.setting import Setting
from steepest.compare.running.spares import Spares, Worker


class ProcessPool(Pool[Worker]):
    """Workers that are processes of this machine.

    Args:
        size: number of processes.
        setting: what the jobs share.
        spares: processes that are used before others are started.
    """

    def __init__(self, size: int, setting: Setting, spares: Spares | None = None) -> None:
        super().__init__(size)
        self._setting = setting
        self._spares = spares or Spares(0)

    def _start(self) -> Worker:
        worker = self._spares.take(self._setting.study.shared.threads)
        try:
            worker.send(self._setting)
        except OSError:
            worker.stop()
            raise
        return worker

    def _ready(self, workers: Sequence[Worker], timeout: float) -> Sequence[Worker]:
        ready = wait([worker.connection for worker in workers], timeout)
        return [worker for worker in workers if worker.connection in ready]
