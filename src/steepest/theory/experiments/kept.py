"""What an experiment has simulated, kept in its folder, so that nothing is simulated twice."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steepest._errors import InputError, argument
from steepest._files import write_atomically

PARTS = "simulated"


def kept(folder: Path, name: str, simulate: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """A simulation's numbers: from its file in the folder, or simulated, and written there whole.

    Arrays are written with all their digits and come back as such, so that nothing shows where they came from.
    """
    path = folder / PARTS / f"{name}.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        plain = {key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in simulate().items()}
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, json.dumps(plain))
        found = json.loads(json.dumps(plain))
    return {key: np.asarray(v) if isinstance(v, list) else v for key, v in found.items()}


def as_input_error(error: Exception, names: set[str]) -> InputError:
    """The same sentence as bad input, in which the setting with which it begins is spelled as the caller does."""
    name, space, rest = str(error).partition(" ")
    return InputError(argument(name) + space + rest if name in names else str(error))
