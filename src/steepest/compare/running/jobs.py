"""What a worker is asked to do and what it answers."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from steepest.compare.running.train import Outcome

Phase = Literal["tune", "final"]
Status = Literal["finished", "diverged", "failed"]


@dataclass(frozen=True)
class Job:
    """One run. ``index`` is the point's number in the search, or the seed's place among the final seeds."""

    method: str
    phase: Phase
    index: int
    seed: int
    hyperparameters: dict[str, float]

    @property
    def key(self) -> tuple[str, Phase, int]:
        return self.method, self.phase, self.index


@dataclass(frozen=True)
class Setting:
    """What all runs of a study share; a worker makes its workload and methods from it."""

    workload: str
    reference: str
    methods: dict[str, str]  # name to reference
    epochs: int
    batch_size: int
    device: str
    threads: int
    data_dir: Path | None
    sharpness_samples: int = 0
    schedule: str = "linear"


@dataclass(frozen=True)
class Record:
    """A run that has ended. Written as one line of ``trials.jsonl``; numbers that do not exist are ``None``.

    ``finished`` and ``started`` are seconds since the epoch. Metrics are fractions where the workload shows percent.
    """

    workload: str
    method: str
    phase: Phase
    trial: int
    seed: int
    hyperparameters: dict[str, float]
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
    sharpness: float | None = None
    sharpness_note: str | None = None

    @property
    def key(self) -> tuple[str, Phase, int]:
        return self.method, self.phase, self.trial

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def record_of(workload: str, job: Job, started: float, fields: dict[str, Any]) -> Record:
    """The record of a job that ends now; ``fields`` hold its status and whatever else is known."""
    return Record(
        workload=workload,
        method=job.method,
        phase=job.phase,
        trial=job.index,
        seed=job.seed,
        hyperparameters=job.hyperparameters,
        started=started,
        finished=time.time(),
        **fields,
    )


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the fields of a record: JSON has no NaN, so a number that is not finite becomes ``None``."""
    fields = dataclasses.asdict(outcome)
    del fields["pruned"]
    status: Status = "diverged" if fields.pop("diverged") else "finished"
    finite = {key: [x if abs(x) < float("inf") else None for x in values] for key, values in fields["curve"].items()}
    return {**fields, "curve": finite, "status": status}
