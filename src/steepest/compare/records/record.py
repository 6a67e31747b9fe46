"""What a worker is asked to do and what it answers."""

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from steepest.compare.spec import Phase, StudySpec

Status = Literal["finished", "diverged", "failed", "pruned"]
Key = tuple[str, str, Phase, int]


@dataclass(frozen=True)
class Job:
    """One run. ``workload`` is the name of its comparison; ``index`` is the point's number in the search, or the seed's
    place among the final seeds. In the phase ``screen`` a point is run on a part of the budget. In the phase ``check``
    it is what is tried before the first run, and recorded nowhere: one step of a method, or the workload by itself if
    ``method`` is empty."""

    workload: str
    method: str
    phase: Phase
    index: int
    seed: int
    hyperparameters: dict[str, Any]

    @property
    def key(self) -> Key:
        return self.workload, self.method, self.phase, self.index


@dataclass(frozen=True)
class Record:
    """A run that has ended. Written as one line of ``trials.jsonl``; numbers that do not exist are ``None``.

    ``workload`` is the name of its comparison. ``finished`` and ``started`` are seconds since the epoch. Metrics are
    fractions where the workload shows percent. ``measures`` is what instruments measured at its end, by their names;
    ``notes`` says why a value is missing, or only near. Of a sequence of tasks ``task_matrix`` is the validation metric
    after each task (row) on all of them (columns), ``test_metrics`` the test metric on each at the end. ``weights`` are
    those from which the run began, as :func:`~.run.initial_weights` has them; its line does not have them.
    ``other_metrics`` are those on the test data beside the study's own. ``best_at`` and ``best_test_metric`` are of the
    best validation, where a recipe keeps its weights.
    """

    workload: str
    method: str
    phase: Phase
    trial: int
    seed: int
    hyperparameters: dict[str, Any]
    status: Status
    started: float
    finished: float
    error: str | None = None
    gradient_evaluations: int | None = None
    samples: int | None = None
    evaluations_to_target: int | None = None
    validation_loss: float | None = None
    validation_metric: float | None = None
    test_loss: float | None = None
    test_metric: float | None = None
    seconds: float | None = None
    curve: dict[str, list[float | None]] | None = None
    torch: str | None = None
    device: str | None = None
    measures: dict[str, float | None] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    task_matrix: list[list[float]] | None = None
    test_metrics: list[float] | None = None
    weights: str | None = None
    other_metrics: dict[str, float] = field(default_factory=dict)
    best_at: int | None = None
    best_test_metric: float | None = None

    @property
    def key(self) -> Key:
        return self.workload, self.method, self.phase, self.trial

    @property
    def found(self) -> float | None:
        """What a run adds to the search: its validation metric, unless it diverged, failed or was stopped early."""
        return self.validation_metric if self.status == "finished" else None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Checked(Record):
    """A check that has ended, and in which part of it."""

    stage: str = ""


def may_be_pruned(study: StudySpec, key: Key) -> bool:
    """Whether a run stands still after every validation until it is told to go on or to stop: in a search with a
    pruner, unless it is one of a finalist on a further seed."""
    workload, _, phase, index = key
    spec = study.comparison(workload)
    return phase == "tune" and spec.pruner is not None and index < spec.trials


def record_of(job: Job, started: float, fields: dict[str, Any]) -> Record:
    """The record of a job that ends now; ``fields`` hold its status and whatever else is known."""
    kind = Checked if job.phase == "check" else Record
    return kind(
        workload=job.workload,
        method=job.method,
        phase=job.phase,
        trial=job.index,
        seed=job.seed,
        hyperparameters=job.hyperparameters,
        started=started,
        finished=time.time(),
        **fields,
    )
