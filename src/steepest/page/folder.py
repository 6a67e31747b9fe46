"""The folder of what ends in a page: new, or of the very same settings."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from steepest._errors import InputError, argument, one_line
from steepest._files import is_empty, sweep, write_atomically


def take_folder(
    folder: Path, name: str, settings: Mapping[str, Any], what: str, before: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Take a new folder, or one of these very settings, which its file ``name`` holds.

    Args:
        what: the noun of what is in it, such as ``"diagnosis"``.
        before: what the settings were that folders of earlier releases do not name; by default ``None``.

    Raises:
        InputError: it holds something else, or cannot be read.
    """
    path = folder / name
    if path.exists():
        try:
            there = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read: {one_line(str(error))}") from error
        for key in dict.fromkeys((*settings, *there)):
            held, value = there.get(key, before.get(key)), settings.get(key)
            if held != value:
                raise InputError(
                    f"{argument('out')} {folder} holds another {what}: its {key} is {held!r}, and {value!r} is asked "
                    "for; give another folder"
                )
        return
    if folder.exists() and (not folder.is_dir() or not is_empty(folder)):
        raise InputError(f"{argument('out')} must be a new or empty folder, or one of this {what}, got {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    write_atomically(path, json.dumps(settings, indent=1))
