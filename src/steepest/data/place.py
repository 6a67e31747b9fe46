"""Where data files lie."""

import os
from pathlib import Path

from steepest._errors import InputError, argument

NO_FOLDER = f"no data folder was given ({argument('data_dir')} or STEEPEST_DATA)"


def data_folder(data_dir: str | Path | None) -> Path | None:
    """The folder that data is looked for in: the argument, else the environment variable ``STEEPEST_DATA``."""
    if data_dir is not None:
        return Path(data_dir)
    return Path(os.environ["STEEPEST_DATA"]) if os.environ.get("STEEPEST_DATA") else None


def existing_data_folder(data_dir: str | Path | None) -> Path | None:
    """The same.

    Raises:
        InputError: it was given and does not exist.
    """
    folder = data_folder(data_dir)
    if folder is not None and not folder.is_dir():
        raise InputError(
            f"the data folder {str(folder)!r} does not exist; give one with {argument('data_dir')} or STEEPEST_DATA"
        )
    return folder
