"""What a diagnosis found, as its folder holds it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steepest._errors import InputError, one_line
from steepest.diagnose.observing import Seen

RESULT = "result.json"
SURFACE_SAMPLES = 500


@dataclass(frozen=True)
class Diagnosis:
    """What a run came to and what was seen in it, as ``result.json`` in its folder holds it.

    ``settings``: what was asked for; ``run``: loss, metric and curve; ``seen``: a row for each validation, the first at
    the initial weights; ``end``: what was looked at once; ``surface``: the loss in the plane of the path.
    """

    folder: Path
    settings: dict[str, Any]
    run: dict[str, Any]
    seen: list[Seen]
    end: dict[str, Any]
    surface: dict[str, Any]

    @property
    def page(self) -> Path:
        return self.folder / "report.html"


def read_diagnosis(folder: Path) -> Diagnosis:
    """A finished diagnosis from its folder.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    try:
        held = json.loads((folder / RESULT).read_text("utf-8"))
        return Diagnosis(folder, *(held[name] for name in ("settings", "run", "seen", "end", "surface")))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder} holds no finished diagnosis: {one_line(str(error))}") from error
