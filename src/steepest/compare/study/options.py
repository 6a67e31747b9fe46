"""A study's options, as a TOML file or a frozen spec has them."""

import codecs
import difflib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steepest._errors import InputError, Spelling
from steepest.compare.spec import StudySpec
from steepest.compare.study.request import options_in
from steepest.training.code.lookup import is_given, nearest


@dataclass(frozen=True)
class Options:
    """What a file says.

    Args:
        path: the file.
        values: by the names of the arguments of :class:`~steepest.compare.Study`.
        keys: by the same names, as the file writes them.
        spec: what the file is, if it is a study's frozen spec.
    """

    path: Path
    values: dict[str, Any]
    keys: dict[str, str]
    spec: StudySpec | None = None

    def spelling(self, changes: Mapping[str, Any]) -> Spelling:
        """How an error's sentence names what the file says and ``changes`` do not."""
        spaces = changes.get("space")

        def spell(name: str, *parts: str) -> str | None:
            first, dot, rest = name.partition(".")
            theirs = first not in changes
            if first == "space" and parts and isinstance(spaces, Mapping):
                theirs = parts[0] not in spaces
            if first not in self.keys or not theirs:
                return None
            return f"{'' if self.spec else 'key '}{self.keys[first] + dot + rest!r} of {str(self.path)!r}"

        return spell


def is_file(text: str) -> bool:
    """Whether what a user typed in the place of a workload is a study's file: ``study.toml`` or a ``spec.json``."""
    return text.endswith((".toml", ".json"))


def options_from(path: Path, known: Collection[str]) -> Options:
    """What a study's file says.

    Args:
        known: the names of all options.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    text = _read(path)
    if path.suffix == ".json":
        try:
            spec = StudySpec.from_json(text)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{str(path)!r} is not the spec of a study ({error})") from error
        values = options_of(spec)
        return Options(path, values, {name: name for name in values}, spec)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{str(path)!r} is not a TOML file ({error})") from error
    keys: dict[str, str] = {}
    for key in raw:
        name = key.replace("-", "_")
        if name not in known:
            raise InputError(f"{str(path)!r} has an unknown key {key!r}; {nearest(key, _find_likely(key, known))}")
        if name in keys:
            raise InputError(f"{str(path)!r} must say {name!r} once, and says it as {key!r} too")
        keys[name] = key
    return Options(path, {name: raw[key] for name, key in keys.items()}, keys)


def _find_likely(key: str, known: Collection[str]) -> list[str]:
    """Find the one that a slip of the keyboard makes of it, if there is one; else all."""
    return difflib.get_close_matches(key, known, n=1, cutoff=0.8) or list(known)


def _read(path: Path) -> str:
    """Read the text of a file in UTF-8, with or without the mark that some editors put in front."""
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(f"the study's file {str(path)!r} cannot be read ({_reason(error)})") from error
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"the study's file {str(path)!r} must be in UTF-8, and is in UTF-16; save it in UTF-8")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"the study's file {str(path)!r} must be in UTF-8, and byte {error.start + 1} is not ({error.reason})"
        ) from error


def options_of(spec: StudySpec) -> dict[str, Any]:
    """The options that give this spec again.

    Raises:
        InputError: it refers to what a program gave as objects.
    """
    if given := sorted(part.reference for part in spec.parts if is_given(part.reference)):
        raise InputError(f"the study was given {given[0].partition(':')[2]!r} as an object; run it from that program")
    return options_in(spec)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
