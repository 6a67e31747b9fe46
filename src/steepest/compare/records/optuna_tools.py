"""What a study has of Optuna wherever its runs are kept: the tables of a storage in a file, and the pruners."""

import copy
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.trial import TrialState

from steepest.compare.records.distributions import distribution_at, distribution_of
from steepest.compare.records.record import Status
from steepest.compare.records.storage import file_url
from steepest.training.definitions.range import Domain

STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0),
    "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=4),
}


@contextmanager
def quiet() -> Iterator[None]:
    """Within, Optuna tells of nothing but errors, and afterwards of as much as before; its errors are SQLAlchemy's."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None
    finally:
        optuna.logging.set_verbosity(before)


def distributions(space: Mapping[str, Domain]) -> dict[str, Any]:
    """A search space in Optuna's terms."""
    return {name: _distribution(distribution_of(domain)) for name, domain in space.items()}


def distributions_at(space: Mapping[str, Domain], point: Mapping[str, Any]) -> dict[str, Any]:
    """Of the values of a point, each in Optuna's terms."""
    return {name: _distribution(distribution_at(space, name, value)) for name, value in point.items()}


def _distribution(raw: Mapping[str, Any]) -> Any:
    return optuna.distributions.json_to_distribution(json.dumps(raw))


def make_tables(path: Path) -> None:
    """Make an empty file of Optuna's, or none.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with quiet():
            database = optuna.storages.RDBStorage(braced(file_url(temporary)))
            database.remove_session()
            database.engine.dispose()
        os.replace(temporary, path)
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise sqlite3.OperationalError(str(getattr(error, "orig", error))) from error
    finally:
        temporary.unlink(missing_ok=True)


def braced(url: str) -> str:
    """A URL as Optuna takes it, which fills in a template."""
    return url.replace("{", "{{").replace("}", "}}")


class Search:
    """A method's search as a pruner sees it, in memory.

    Args:
        pruner: one of ``PRUNERS``.
        higher_is_better: of the validation metric.
    """

    def __init__(self, pruner: str, higher_is_better: bool) -> None:
        self._pruner = PRUNERS[pruner]()
        self._storage = optuna.storages.InMemoryStorage()
        with quiet():
            self._study = optuna.create_study(
                storage=self._storage, direction="maximize" if higher_is_better else "minimize"
            )
        self._number = self._storage.get_study_id_from_name(self._study.study_name)
        self._ids: dict[int, int] = {}

    def enter(self, index: int, values: Mapping[int, float], attributes: Mapping[str, Any]) -> None:
        """A run that has told so much."""
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING, intermediate_values=dict(values), system_attrs=dict(attributes)
        )
        self._ids[index] = self._storage.create_new_trial(self._number, trial)

    def end(self, index: int, status: Status) -> None:
        """A run has ended; whether it counts for others depends on how."""
        state = STATES.get(status, TrialState.FAIL)
        self._storage.set_trial_state_values(self._ids[index], state, [0.0] if state == TrialState.COMPLETE else None)

    def is_hopeless(self, index: int, step: int, metric: float) -> tuple[bool, dict[str, Any]]:
        """Whether to stop a run, and what the pruner wants to be kept of it."""
        trial = copy.copy(self._storage.get_trial(self._ids[index]))
        trial.intermediate_values = {**trial.intermediate_values, step: metric}
        with quiet():
            hopeless = self._pruner.prune(self._study, trial)
        self._storage.set_trial_intermediate_value(self._ids[index], step, metric)
        return bool(hopeless), dict(self._storage.get_trial(self._ids[index]).system_attrs)
