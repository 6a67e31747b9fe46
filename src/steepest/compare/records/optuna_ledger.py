"""The runs of a study in an Optuna storage that many processes share.

Each method of a comparison has an Optuna study for every phase: ``workload/method/tune``, ``workload/method/final``,
and ``workload/method/screen`` where there are short runs. Trial ``i`` is run ``i`` of its phase. A run that is tried
again is one more trial, whose user attribute ``index`` says which run it is: the last trial of a run counts. A run is
finished when, and only when, its trial's state says so: that is one transaction, after everything else about the run
has been stored. The record travels whole in the trial's user attribute ``record``. Every operation may be repeated: its
answer, not its effect, may have been lost.
"""

import contextlib
import copy
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import optuna
import sqlalchemy.exc
from optuna.trial import FrozenTrial, TrialState

from steepest.compare.records.distributions import plain_values
from steepest.compare.records.lines import json_of_record, record_of_json
from steepest.compare.records.optuna_tools import PRUNERS, STATES, braced, distributions_at, quiet
from steepest.compare.records.record import Job, Key, Record
from steepest.compare.records.retries import Patience
from steepest.compare.spec import Phase, StudySpec

ENDED = (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)

P = ParamSpec("P")
T = TypeVar("T")
L = TypeVar("L", bound="OptunaLedger")


def patiently(operation: Callable[Concatenate[L, P], T]) -> Callable[Concatenate[L, P], T]:
    """A method of a ledger that waits while the storage is away."""

    @functools.wraps(operation)
    def patient(ledger: L, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with quiet():
                return operation(ledger, *args, **kwargs)
        except sqlalchemy.exc.SQLAlchemyError:
            ledger.database.remove_session()  # the next attempt begins with a transaction of its own
            raise

    @functools.wraps(operation)
    def waiting(ledger: L, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return ledger.patience(lambda: patient(ledger, *args, **kwargs))

    return waiting


class OptunaLedger:
    """The runs of a study in an Optuna storage.

    Use as a context manager, or close it.

    Args:
        url: of the storage, as SQLAlchemy takes it.
        spec: what is studied.
        prefix: of the names of Optuna's studies.
        patience: waits for the storage where it is locked or away.
    """

    def __init__(self, url: str, spec: StudySpec, patience: Patience, prefix: str = "") -> None:
        self.spec = spec
        self.prefix = prefix
        self.patience = patience
        self.open(url)

    def open(self, url: str) -> None:
        """Connect, and make the tables that are not there."""
        with quiet():
            self.database = optuna.storages.RDBStorage(braced(url), {"pool_pre_ping": True})
        self.storage = optuna.storages.get_storage(self.database)
        self._ids: dict[str, int] = {}
        self._last: dict[int, dict[int, int]] = {}  # Optuna's study to a run's index to its last trial

    def close(self) -> None:
        self.database.remove_session()
        self.database.engine.dispose()

    def __enter__(self: L) -> L:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exclusive(self) -> AbstractContextManager[object]:
        """What nobody else may do at the same time; nobody else has this storage, unless a subclass says otherwise."""
        return contextlib.nullcontext()

    @patiently
    def plan(self, jobs: Sequence[Job]) -> None:
        """Enter jobs that are not entered yet, or were with other hyperparameters. The jobs of a method and phase come
        in the order of their index."""
        by_study = sorted(jobs, key=lambda job: job.key[:3])
        for key, group in itertools.groupby(by_study, key=lambda job: job.key[:3]):
            with self.exclusive():
                study = self._create_study(*key)
                last = self.last_trials(study)
                entered = len(self.storage.get_all_trials(study, deepcopy=False))
                for job in group:
                    if job.index in last and _is_point(last[job.index].params, job.hyperparameters):
                        continue
                    self.storage.create_new_trial(study, self._waiting(job, again=job.index != entered))
                    entered += 1
                self.last_trials(study)

    @patiently
    def reopen(self, records: Iterable[Record]) -> None:
        """Let runs that have ended be run again."""
        for record in records:
            job = Job(*record.key, record.seed, record.hyperparameters)
            with self.exclusive():
                study = self._create_study(*record.key[:3])
                trial = self.last_trials(study).get(job.index)
                if trial is not None and trial.state in ENDED and record_in(trial) == record:
                    self.storage.create_new_trial(study, self._waiting(job, again=True))
                    self.last_trials(study)

    def drop(self, records: Iterable[Record]) -> None:
        """Final runs of a point that is no longer chosen: :meth:`plan` enters those of the new one beside them."""

    @patiently
    def take(self, job: Job) -> bool:
        """Mark a planned job as running; whether it is ours to run.

        Raises:
            RuntimeError: it is not waiting, though nobody else can have taken it.
        """
        if not self.storage.set_trial_state_values(self.trial_id(job.key), TrialState.RUNNING):
            raise RuntimeError(f"run {job.key} was to be started, but it is not waiting")
        return True

    @patiently
    def give_back(self, job: Job) -> None:
        """Put a run that we took back into the queue."""
        with self.exclusive():
            trial = self.storage.get_trial(self.trial_id(job.key))
            if trial.state == TrialState.RUNNING and self.is_ours(trial):
                self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    @patiently
    def release(self) -> None:
        """Put runs back into the queue that we took and, being killed, never finished."""
        with self.exclusive():
            for trial in self.trials(TrialState.RUNNING):
                if self.is_ours(trial):
                    self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def is_ours(self, trial: FrozenTrial) -> bool:
        """Whether this study's folder, and no other host, took a running trial."""
        return True

    @patiently
    def is_hopeless(self, job: Job, step: int, metric: float) -> bool:
        """Whether the pruner of a search stops a run, whose validation number ``step`` found this metric.

        What was decided before a run was interrupted holds when it comes there again: the metric is stored last.
        """
        trial_id = self.trial_id(job.key)
        trial = copy.copy(self.storage.get_trial(trial_id))
        if step in trial.intermediate_values:
            return bool(trial.user_attrs.get("hopeless_at") == step)
        trial.intermediate_values = {**trial.intermediate_values, step: metric}
        pruner = PRUNERS[str(self.spec.comparison(job.workload).pruner)]()
        study = optuna.load_study(study_name=self.prefix + "/".join(job.key[:3]), storage=self.storage)
        hopeless = pruner.prune(study, trial)
        if hopeless:
            self.storage.set_trial_user_attr(trial_id, "hopeless_at", step)
        self.storage.set_trial_intermediate_value(trial_id, step, metric)
        return hopeless

    @patiently
    def finish(self, record: Record) -> Record:
        """Store a run's record, then mark it as finished. Whoever is first counts; returns the record that is kept."""
        trial_id = self.trial_id(record.key)
        with self.exclusive():
            trial = self.storage.get_trial(trial_id)
            if trial.state.is_finished():
                return record_in(trial)
            if not _is_point(trial.params, record.hyperparameters):  # the search has chosen another point since
                return record
            value = record.test_metric if record.phase == "final" else record.validation_metric
            state = STATES.get(record.status, TrialState.FAIL)
            self.storage.set_trial_user_attr(trial_id, "record", json_of_record(record))
            self.storage.set_trial_state_values(
                trial_id, state, [value] if record.status == "finished" and value is not None else None
            )
        return record

    @patiently
    def records(self) -> list[Record]:
        """All finished runs, in a fixed order: workload, method, phase, index."""
        return [record_in(trial) for trial in self.trials(*ENDED)]

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The last trials of all runs, where they are in these states, of the studies that exist; reading creates none.

        They come in the order of the runs.
        """
        ids = [self.study_id("/".join(key)) for key in self.studies()]
        found = [self.last_trials(i) for i in ids if i is not None]
        return [trials[index] for trials in found for index in sorted(trials) if trials[index].state in states]

    def last_trials(self, study: int) -> dict[int, FrozenTrial]:
        """A run's index to its last trial, of one of Optuna's studies."""
        last = {index_of(trial): trial for trial in self.storage.get_all_trials(study, deepcopy=False)}
        self._last[study] = {index: trial._trial_id for index, trial in last.items()}
        return last

    def studies(self) -> list[tuple[str, str, Phase]]:
        return [(s.name, m.name, phase) for s in self.spec.comparisons for m in s.methods for phase in s.phases]

    def trial_id(self, key: Key) -> int:
        """Optuna's number of a run's last trial, as far as it is known here."""
        study = self.study_id("/".join(key[:3]))
        if study is not None and key[-1] not in self._last.get(study, {}):
            self.last_trials(study)
        if study is None or key[-1] not in self._last[study]:
            raise KeyError(f"run {key} was never planned")
        return self._last[study][key[-1]]

    def _create_study(self, workload: str, method: str, phase: Phase) -> int:
        higher = self.spec.comparison(workload).workload.higher_is_better
        return self.create_study(f"{workload}/{method}/{phase}", "maximize" if higher else "minimize")

    def study_id(self, name: str) -> int | None:
        """Optuna's number of a study, or ``None`` if it is not there."""
        if name not in self._ids:
            try:
                self._ids[name] = self.storage.get_study_id_from_name(self.prefix + name)
            except KeyError:
                return None
        return self._ids[name]

    def create_study(self, name: str, direction: Literal["minimize", "maximize"] = "minimize") -> int:
        """Optuna's number of a study, which is created if it is not there."""
        found = self.study_id(name)
        if found is None:
            optuna.create_study(
                storage=self.storage, study_name=self.prefix + name, direction=direction, load_if_exists=True
            )
            found = self._ids[name] = self.storage.get_study_id_from_name(self.prefix + name)
        return found

    def _waiting(self, job: Job, *, again: bool) -> FrozenTrial:
        return optuna.trial.create_trial(
            state=TrialState.WAITING,
            params=plain_values(job.hyperparameters),
            distributions=distributions_at(
                self.spec.comparison(job.workload).method(job.method).space, job.hyperparameters
            ),
            user_attrs={"seed": job.seed, **({"index": job.index} if again else {})},
        )


def _is_point(params: Mapping[str, Any], point: Mapping[str, Any]) -> bool:
    """Say whether two points are one, however a database rounds."""
    plain = plain_values(point)
    return params.keys() == plain.keys() and all(_is_near(params[name], plain[name]) for name in plain)


def _is_near(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other)
    return bool(one == other)


def index_of(trial: FrozenTrial) -> int:
    """The index of the run that a trial is one of."""
    return int(trial.user_attrs.get("index", trial.number))


def record_in(trial: FrozenTrial) -> Record:
    """The record of a trial that has ended."""
    return record_of_json(trial.user_attrs["record"])
