"""What all runs of a study share, and what becomes of the outcome of one."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steepest.compare.records.record import Status
from steepest.compare.spec import StudySpec
from steepest.training.definitions.outcome import Outcome

CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class Setting:
    """What all runs of a study share; a worker makes its workloads and methods from it.

    ``given`` are the objects that the study was given, pickled: a worker unpickles them once it has threads and memory
    set up. Checkpoints go into ``folder``, nowhere if it is ``None``; so do the weights of final runs, with
    ``save_weights``.
    """

    study: StudySpec
    data_dir: Path | None
    given: bytes | None = None
    folder: Path | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    save_weights: bool = False


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the fields of a record: JSON has no NaN, so a number that is not finite becomes ``None``."""
    fields = dict(vars(outcome))
    diverged, pruned = fields.pop("diverged"), fields.pop("pruned")
    status: Status = "diverged" if diverged else "pruned" if pruned else "finished"
    curve = {
        name: [x if x is not None and math.isfinite(x) else None for x in values]
        for name, values in outcome.curve.items()
    }
    return {**fields, "curve": curve, "status": status}
