"""The weights that final runs end with, each in a file of its own: ``weights/COMPARISON/METHOD/seed-N.safetensors``."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from steepest._files import write_atomically
from steepest._safetensors import to_bytes
from steepest._version import __version__
from steepest.compare.records.record import Job, Record
from steepest.compare.spec import Spec, StudySpec

WEIGHTS = "weights"
_GIVEN = "given:"  # a workload that a program gave as an object: nobody can look it up


def weights_path(folder: Path, study: StudySpec, comparison: str, method: str, seed: int) -> Path:
    """Where the weights of a final run lie in the folder of a study."""
    places = [
        _find_plain(comparison, [spec.name for spec in study.comparisons]),
        _find_plain(method, [each.name for each in study.methods]),
    ]
    return folder.joinpath(WEIGHTS, *places, f"seed-{seed}.safetensors")


def keep_weights(
    folder: Path, study: StudySpec, spec: Spec, job: Job, state: Mapping[str, Any], *, first: bool
) -> None:
    """Write the weights of a final run, with what they are of: ``steepest compress FILE`` reads the workload there.

    Args:
        state: the model's ``state_dict``; what is spread over ranks is gathered, so that all of them call this. What is
            no tensor in it, as a module's extra state may be, is left out.
        first: whether this rank writes the file.
    """
    from torch import Tensor

    own = {}
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            continue
        gather = getattr(tensor, "full_tensor", None)
        whole = tensor if gather is None else gather()
        own[name] = whole.detach().cpu().contiguous().clone()
    if first:
        path = weights_path(folder, study, spec.name, job.method, job.seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, to_bytes(own, _describe(spec, job)))


def without_weights(study: StudySpec, folder: Path, records: Iterable[Record]) -> list[Record]:
    """The finished final runs of which there are no weights, or those of another point."""
    return [
        record
        for record in records
        if record.phase == "final" and record.status == "finished" and not _has_weights(study, folder, record)
    ]


def _has_weights(study: StudySpec, folder: Path, record: Record) -> bool:
    from safetensors import SafetensorError, safe_open

    path = weights_path(folder, study, record.workload, record.method, record.seed)
    try:
        with safe_open(str(path), "pt") as file:
            said = file.metadata() or {}
    except (OSError, SafetensorError):
        return False
    return said.get("hyperparameters") == json.dumps(record.hyperparameters)


def _describe(spec: Spec, job: Job) -> dict[str, str]:
    reference = spec.workload.reference
    return {
        **({} if reference.startswith(_GIVEN) else {"workload": reference}),
        "comparison": spec.name,
        "method": job.method,
        "seed": str(job.seed),
        "hyperparameters": json.dumps(job.hyperparameters),
        "steepest": __version__,
    }


def _find_plain(name: str, names: list[str]) -> str:
    """Find a name as a path can have it; one that others become too is numbered."""
    plain = re.sub(r"[^\w.+=-]+", "-", name).strip(".") or "-"
    alike = [other for other in names if (re.sub(r"[^\w.+=-]+", "-", other).strip(".") or "-") == plain]
    return plain if len(alike) == 1 else f"{plain}-{alike.index(name) + 1}"
