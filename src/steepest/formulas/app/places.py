"""Where the application keeps what is its user's."""

import os
from pathlib import Path

from steepest._errors import InputError

DATABASE, TRAININGS, MODELS = "formulas.sqlite", "trainings", "models"
# In the folder of a training: what is asked, on what, the model in use then, and how it ended; and the folder of what
# `train_recognizer` writes.
REQUEST, SYMBOLS, BEFORE, ENDED = "request.json", "symbols.npz", "before.safetensors", "ended.json"
RUN = "run"


def name_data_folder(given: Path | str | None = None) -> Path:
    """The folder that is given, else ``STEEPEST_FORMULAS``, else ``steepest/formulas`` in ``XDG_DATA_HOME`` or in
    ``~/.local/share``, whether it is there or not."""
    place = given or os.environ.get("STEEPEST_FORMULAS")
    shared = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(place) if place else Path(shared, "steepest", "formulas")


def find_data_folder(given: Path | str | None = None) -> Path:
    """The same, made where it is not.

    Raises:
        InputError: it cannot be made, or written to.
    """
    folder = name_data_folder(given)
    try:
        for part in (folder, folder / TRAININGS, folder / MODELS):
            part.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the data folder {str(folder)!r} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"the data folder {str(folder)!r} must be one that can be written to")
    return folder.resolve()
