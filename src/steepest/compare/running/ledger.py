"""Which runs are planned, taken and finished: an Optuna storage in the study's folder.

Each method of a comparison has two Optuna studies, ``workload/method/tune`` and ``workload/method/final``; trial ``i``
of the first is point ``i``, trial ``i`` of the second is seed ``i``. A run is finished when, and only when, its trial's
state says so: that is one transaction, after everything else about the run has been stored. The record travels whole in
the trial's user attribute ``record``. Only the process that holds the folder's lock writes.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from steepest.compare.points import distributions
from steepest.compare.running.jobs import Job, Key, Record
from steepest.compare.spec import StudySpec

FILE = "study.db"


class Ledger:
    """The storage of one study.

    Args:
        folder: the study's folder, which exists.
        spec: what is studied.
    """

    def __init__(self, folder: Path, spec: StudySpec) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._spec = spec
        self._storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / FILE).resolve()}")
        self._studies: dict[str, optuna.Study] = {}

    def close(self) -> None:
        self._storage.remove_session()
        self._storage.engine.dispose()

    def plan(self, jobs: Sequence[Job]) -> None:
        """Enter jobs that are not entered yet. The jobs of a method and phase come in the order of their index."""
        entered: dict[str, int] = {}
        for job in jobs:
            study = self._study(job.key)
            if study.study_name not in entered:
                entered[study.study_name] = len(study.get_trials(deepcopy=False))
            if job.index >= entered[study.study_name]:
                study.add_trial(
                    optuna.trial.create_trial(
                        state=TrialState.WAITING,
                        params=dict(job.hyperparameters),
                        distributions=distributions(self._spec.comparison(job.workload).method(job.method).space),
                        user_attrs={"seed": job.seed},
                    )
                )

    def release(self) -> None:
        """Put runs back into the queue that a process took and, being killed, never finished."""
        for trial in self._trials(TrialState.RUNNING):
            self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def take(self, job: Job) -> None:
        """Mark a planned job as running.

        Raises:
            RuntimeError: it is not waiting, but running or finished already.
        """
        if not self._storage.set_trial_state_values(self._trial_id(job.key), TrialState.RUNNING):
            raise RuntimeError(f"run {job.key} was to be started, but it is not waiting")

    def finish(self, record: Record) -> None:
        """Store a run's record, then mark it as finished."""
        study = self._study(record.key)
        self._storage.set_trial_user_attr(
            self._trial_id(record.key), "record", json.dumps(record.to_dict(), allow_nan=False)
        )
        if record.status == "finished":
            value = record.validation_metric if record.phase == "tune" else record.test_metric
            study.tell(record.trial, value)
        else:
            study.tell(record.trial, state=TrialState.FAIL)

    def records(self) -> list[Record]:
        """All finished runs, in a fixed order: workload, method, phase, index."""
        return [
            Record(**json.loads(trial.user_attrs["record"]))
            for trial in self._trials(TrialState.COMPLETE, TrialState.FAIL)
        ]

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Trials in these states, of the studies that exist; reading creates none."""
        existing = {study.study_name: study._study_id for study in self._storage.get_all_studies()}
        ids = [existing[name] for name in self._names() if name in existing]
        return [trial for i in ids for trial in self._storage.get_all_trials(i, deepcopy=False, states=states)]

    def _names(self) -> list[str]:
        return [
            _name(spec.name, method.name, phase)
            for spec in self._spec.comparisons
            for method in spec.methods
            for phase in ("tune", "final")
        ]

    def _trial_id(self, key: Key) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study(key)._study_id, key[-1])

    def _study(self, key: Key) -> optuna.Study:
        workload, method, phase, _ = key
        name = _name(workload, method, phase)
        if name not in self._studies:
            higher = self._spec.comparison(workload).workload.higher_is_better
            self._studies[name] = optuna.create_study(
                storage=self._storage,
                study_name=name,
                direction="maximize" if higher else "minimize",
                load_if_exists=True,
            )
        return self._studies[name]


def _name(workload: str, method: str, phase: str) -> str:
    return f"{workload}/{method}/{phase}"
