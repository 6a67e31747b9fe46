"""Which runs are planned, taken and finished: an Optuna storage in the study's folder.

Each method of a comparison has two Optuna studies, ``workload/method/tune`` and ``workload/method/final``; trial ``i``
of the first is point ``i``, trial ``i`` of the second is seed ``i``. A run is finished when, and only when, its trial's
state says so: that is one transaction, after everything else about the run has been stored. The record travels whole in
the trial's user attribute ``record``. Every operation may be repeated: its answer, not its effect, may have been lost.
"""

import copy
import functools
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeVar

import optuna
from optuna.trial import FrozenTrial, TrialState

from steepest.compare.method import Range
from steepest.compare.pruners import PRUNERS
from steepest.compare.running.jobs import Job, Key, Phase, Record
from steepest.compare.running.patience import Patience
from steepest.compare.running.storage import embedded_url
from steepest.compare.spec import StudySpec

ENDED = (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)
_STATE = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED}

P = ParamSpec("P")
T = TypeVar("T")
L = TypeVar("L", bound="Ledger")


def patiently(operation: Callable[Concatenate[L, P], T]) -> Callable[Concatenate[L, P], T]:
    """A method of a ledger that waits while the storage is away."""

    @functools.wraps(operation)
    def patient(ledger: L, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return ledger.patience(lambda: operation(ledger, *args, **kwargs))

    return patient


class News(NamedTuple):
    """What other hosts have done: runs that ended since, and those that they have under way."""

    records: list[Record]
    elsewhere: set[Key]


class Ledger:
    """The storage in a study's folder; only the process that holds the folder's lock writes to it.

    Use as a context manager, or close it.

    Args:
        folder: the study's folder, which exists.
        spec: what is studied.
        patience: waits for the storage where it is locked.
        read_only: nothing is created, and nothing can be written.
    """

    prefix = ""

    def __init__(
        self, folder: Path, spec: StudySpec, patience: Patience | None = None, *, read_only: bool = False
    ) -> None:
        self.spec = spec
        self.patience = patience or Patience(f"the study's folder {str(folder)!r}")
        self.open(embedded_url(folder, read_only=read_only))

    def open(self, url: str) -> None:
        """Connect, and make the tables that are not there."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        braced = url.replace("{", "{{").replace("}", "}}")  # Optuna fills in a template
        self.database = optuna.storages.RDBStorage(braced, {"pool_pre_ping": True})
        self.storage = optuna.storages.get_storage(self.database)
        self._ids: dict[str, int] = {}

    def close(self) -> None:
        self.database.remove_session()
        self.database.engine.dispose()

    def __enter__(self: L) -> L:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exclusive(self) -> AbstractContextManager[object]:
        """What nobody else may do at the same time: the folder's lock sees to it."""
        return nullcontext()

    @patiently
    def plan(self, jobs: Sequence[Job]) -> None:
        """Enter jobs that are not entered yet. The jobs of a method and phase come in the order of their index."""
        by_study = sorted(jobs, key=lambda job: job.key[:3])
        for key, group in itertools.groupby(by_study, key=lambda job: job.key[:3]):
            with self.exclusive():
                study = self._create_study(*key)
                entered = len(self.storage.get_all_trials(study, deepcopy=False))
                for job in group:
                    if job.index >= entered:
                        self.storage.create_new_trial(study, self._waiting(job))

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
        pruner = PRUNERS[str(self.spec.comparison(job.workload).pruner)].make()
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
            value = record.validation_metric if record.phase == "tune" else record.test_metric
            state = _STATE.get(record.status, TrialState.FAIL)
            self.storage.set_trial_user_attr(trial_id, "record", json.dumps(record.to_dict(), allow_nan=False))
            self.storage.set_trial_state_values(
                trial_id, state, [value] if record.status == "finished" and value is not None else None
            )
        return record

    def news(self, known: set[Key], *, idle: bool) -> News | None:
        """What others have done since, if it is time to look; nobody else writes to a folder's storage."""
        return None

    def shared_invocations(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of all hosts, of which ``entries`` are ours."""
        return entries

    @patiently
    def records(self) -> list[Record]:
        """All finished runs, in a fixed order: workload, method, phase, index."""
        return [record_in(trial) for trial in self.trials(*ENDED)]

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Trials in these states, of the studies that exist; reading creates none."""
        ids = [self.study_id("/".join(key)) for key in self.studies()]
        found = [self.storage.get_all_trials(i, deepcopy=False, states=states) for i in ids if i is not None]
        return [trial for trials in found for trial in trials]

    def studies(self) -> list[tuple[str, str, Phase]]:
        phases: tuple[Phase, ...] = ("tune", "final")
        return [(s.name, method.name, phase) for s in self.spec.comparisons for method in s.methods for phase in phases]

    def trial_id(self, key: Key) -> int:
        study = self.study_id("/".join(key[:3]))
        if study is None:
            raise KeyError(f"run {key} was never planned")
        return self.storage.get_trial_id_from_study_id_trial_number(study, key[-1])

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

    def _waiting(self, job: Job) -> FrozenTrial:
        return optuna.trial.create_trial(
            state=TrialState.WAITING,
            params=dict(job.hyperparameters),
            distributions=_distributions(self.spec.comparison(job.workload).method(job.method).space),
            user_attrs={"seed": job.seed},
        )


def _distributions(space: Mapping[str, Range]) -> dict[str, optuna.distributions.BaseDistribution]:
    """The search space in Optuna's terms."""
    return {name: optuna.distributions.FloatDistribution(r.low, r.high, log=r.log) for name, r in space.items()}


def record_in(trial: FrozenTrial) -> Record:
    """The record of a trial that has ended."""
    return Record(**json.loads(trial.user_attrs["record"]))
