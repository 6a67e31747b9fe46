"""What an experiment has computed, kept in its folder, so that nothing is computed twice."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from steepest._errors import InputError, argument
from steepest._files import write_atomically
from steepest._threads import threads
from steepest.page.folder import take_folder

FORMAT = 1
SETTINGS = "settings.json"
Progress = Callable[[str, float], object]


class Preset(NamedTuple):
    """A claim, and the experiment's settings that show it."""

    claim: str
    settings: Any


def take_experiment(folder: Path, settings: Any) -> None:
    """Take a new folder for an experiment, or the one that has it.

    Args:
        settings: a dataclass.

    Raises:
        InputError: the folder holds something else.
    """
    take_folder(folder, SETTINGS, json.loads(json.dumps({"format": FORMAT, **asdict(settings)})), "experiment")


def kept(
    folder: Path,
    name: str,
    compute: Callable[[], Mapping[str, Any]],
    parts: str = "simulated",
    one_thread: bool = True,
) -> dict[str, Any]:
    """Numbers: from their file in the folder's ``parts``, or computed, and written there whole.

    Arrays are written with all their digits and come back as such, so that nothing shows where they came from.

    Args:
        one_thread: compute with one: more only get into each other's way over small matrices.
    """
    path = folder / parts / f"{name}.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        with threads(1) if one_thread else nullcontext():
            plain = {key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in compute().items()}
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, json.dumps(plain))
        found = json.loads(json.dumps(plain))
    return {key: np.asarray(v) if isinstance(v, list) else v for key, v in found.items()}


@contextmanager
def settings_refused(settings: type) -> Iterator[None]:
    """Refuse what is wrong as bad input, in which the setting with which the sentence begins is spelled as an option.

    Raises:
        InputError: a TypeError or ValueError was raised.
    """
    try:
        yield
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        name, space, rest = str(error).partition(" ")
        known = name in {field.name for field in fields(settings)}
        raise InputError(argument(name) + space + rest if known else str(error)) from error
