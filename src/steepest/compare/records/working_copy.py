"""Where the user's code stands when a study runs: the commit of the working directory, and copies of the files."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from steepest._files import say_once, write_atomically

SOURCES = "sources"
_MANIFEST = "files.json"
_SECONDS = 10.0


def commit_of(folder: Path) -> dict[str, Any] | None:
    """The commit that a folder is at, and whether files that git knows differ from it; ``None`` outside of git.

    Example:
        >>> import tempfile
        >>> commit_of(Path(tempfile.mkdtemp())) is None
        True
    """
    commit = _ask_git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _ask_git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "changed": None if changed is None else bool(changed)}


def _ask_git(folder: Path, *words: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        asked = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, timeout=_SECONDS, env=environment, check=False
        )
    except (OSError, subprocess.SubprocessError):  # there is no git, or the repository is on a disk that sleeps
        return None
    return asked.stdout.decode(errors="replace").strip() if asked.returncode == 0 else None


def keep_sources(folder: Path, files: Iterable[Path]) -> None:
    """Copy the user's files into a study's folder, as they lie to each other; ``files.json`` says from where.

    Copies of files that are not among these any more are removed. A study does not need them: what keeps them from
    being written is a warning.
    """
    found = sorted({path.resolve() for path in files if path.is_file()})
    place = folder / SOURCES
    if not found and not place.exists():
        return
    try:
        before = _read_manifest(place)
        contents = {path: path.read_bytes() for path in found}
        base = Path(os.path.commonpath([path.parent for path in found])) if found else Path()
        names = {path.relative_to(base).as_posix(): path for path in found}
        now = {
            name: {"from": str(path), "sha256": hashlib.sha256(contents[path]).hexdigest()}
            for name, path in names.items()
        }
        if now == before and all((place / name).is_file() for name in now):
            return
        for name in before.keys() - now.keys():
            with suppress(OSError):
                (place / name).unlink()
        for name, path in names.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place / name, contents[path])
        place.mkdir(exist_ok=True)
        write_atomically(place / _MANIFEST, json.dumps(now, indent=1) + "\n")
    except (OSError, ValueError) as error:
        say_once(f"the sources could not be copied into {str(place)!r} ({error}); the study goes on without them")


def kept_sources(folder: Path) -> list[str]:
    """The names of the copies in a study's folder."""
    return sorted(_read_manifest(folder / SOURCES))


def _read_manifest(place: Path) -> dict[str, dict[str, str]]:
    """Read what was copied; nothing of a file that is damaged, nor a name that leads out of the folder."""
    try:
        raw = json.loads((place / _MANIFEST).read_text(encoding="utf-8"))
        found = {str(name): {"from": str(of["from"]), "sha256": str(of["sha256"])} for name, of in raw.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {n: of for n, of in found.items() if not Path(n).is_absolute() and ".." not in Path(n).parts}
