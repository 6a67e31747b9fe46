"""Runs in MLflow: where ``MLFLOW_TRACKING_URI`` says, or else in ``mlflow.db`` of the current folder."""

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from steepest._errors import require
from steepest.compare.results.trackers.told import ToldRun, plain_name

T = TypeVar("T")
_TAG = "steepest.run"
_METRICS, _PARAMS, _LONGEST = 1000, 100, 6000  # what one request may hold
_SIGNS = r"\w\-. /:"
_STATUS = {"finished": "FINISHED", "pruned": "KILLED"}


class MlflowStore:
    """The experiment ``MLFLOW_EXPERIMENT_NAME``, or that of the study's name."""

    def __init__(self) -> None:
        mlflow: Any = require("mlflow", "mlflow")
        self._entities: Any = require("mlflow.entities", "mlflow")
        logger = logging.getLogger("mlflow")
        level = logger.level
        logger.setLevel(logging.WARNING)  # it tells of every table that it makes
        try:
            self._client = mlflow.MlflowClient()
            self._client.search_experiments(max_results=1)
        finally:
            logger.setLevel(level)

    def enter(self, run: ToldRun) -> None:
        experiment = self._find_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", run.study))
        for there in self._client.search_runs([experiment], f"tags.`{_TAG}` = '{run.id}'"):
            if there.info.end_time is not None:
                return  # another host of the study was faster
            self._client.delete_run(there.info.run_id)
        tags = {_TAG: run.id, "study": run.study, "phase": run.phase, "status": run.status}
        made = self._client.create_run(experiment, int(1000 * run.started), tags, run.name).info.run_id
        ended = int(1000 * run.finished)
        metrics = [(name, x, at) for at, seen in run.points for name, x in seen.items()]
        metrics += [(f"final/{name}", x, run.last) for name, x in run.ends.items()]
        for batch in _split(metrics, _METRICS):
            found = [self._entities.Metric(plain_name(name, _SIGNS), x, ended, at) for name, x, at in batch]
            self._client.log_batch(made, metrics=found)
        texts = [(plain_name(name, _SIGNS), str(value)[:_LONGEST]) for name, value in run.settings.items()]
        for some in _split(texts, _PARAMS):
            self._client.log_batch(made, params=[self._entities.Param(name, text) for name, text in some])
        self._client.set_terminated(made, _STATUS.get(run.status, "FAILED"), ended)

    def _find_experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)


def _split(values: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    yield from (values[start : start + most] for start in range(0, len(values), most))
