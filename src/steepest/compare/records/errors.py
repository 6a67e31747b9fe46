"""What is told of a run that failed: one line of its traceback, and where in the user's own code it arose."""

import os
import re
import sysconfig
from pathlib import Path

_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^[\s|]+File "(.+?)", line (\d+)', re.MULTILINE)
_GROUP = re.compile(r"^ *\+ Exception Group Traceback", re.MULTILINE)
_SECOND = re.compile(r"^ *\+-+ 2 -+", re.MULTILINE)
_MARGIN = re.compile(r"^ *[|+] ?", re.MULTILINE)  # of what is printed of a group
_SUM = re.compile(r"\(\d+ sub-exceptions?\)$")
_LONGEST = 300  # signs of what an error says
_OTHERS = tuple(
    os.path.join(os.path.realpath(sysconfig.get_path(name)), "") for name in ("stdlib", "purelib", "platlib")
)
_OURS = os.path.join(os.path.realpath(Path(__file__).parents[2]), "")


def headline(error: str) -> str:
    """A failed run's error in one line: the exception's type, the first line of what it says, and the last line of the
    user's own code on the way there.

    Args:
        error: a formatted traceback, or any text.

    Example:
        >>> frames = ["Traceback (most recent call last):", '  File "/home/you/net.py", line 7, in model', "    load()"]
        >>> headline("\\n".join([*frames, "RuntimeError: Error(s) in loading:", "\\tMissing key(s): bias.", "\\tmore"]))
        'RuntimeError: Error(s) in loading: Missing key(s): bias. ... (/home/you/net.py:7)'
    """
    place = users_place(error)
    return f"{summary(error)}{f' ({place})' if place else ''}"


def summary(error: str) -> str:
    """The same without the place."""
    if _GROUP.search(error):
        return _summarize_group(error)
    said, *rest = [line.strip() for line in _cut_frames(error).splitlines() if line.strip()] or [
        "an error without a text"
    ]
    if said.endswith(":") and rest:  # what it announces is on the next line
        said, rest = f"{said} {rest[0]}", rest[1:]
    short = said[:_LONGEST]
    return f"{short} ..." if rest or short != said else said


def _summarize_group(error: str) -> str:
    """Quote what the group says, and the first of its errors that is no group itself."""
    group = _MARGIN.sub("", _SECOND.split(error[[*_GROUP.finditer(error)][-1].start() :])[0])
    said = [line for line in group.splitlines()[1:] if line and not line[0].isspace() and not line.startswith("-")]
    sums = [line for line in said if _SUM.search(line)]
    first = group[group.index(sums[-1]) + len(sums[-1]) :].partition("-\n")[2] if sums else ""
    return f"{sums[0]}, the first: {summary(first)}" if first.strip() else summary(said[0] if said else "")


def users_place(error: str) -> str | None:
    """``file:line`` of the last frame that is neither ours, nor Python's, nor of an installed package."""
    first = _SECOND.split(error)[0] if _GROUP.search(error) else error
    for path, line in reversed(_FRAME.findall(first)):
        real = os.path.realpath(path)
        if path.startswith("<") or real.startswith(_OURS) or real.startswith(_OTHERS):
            continue
        if {"site-packages", "dist-packages"} & set(Path(path).parts):  # of another machine, or another environment
            continue
        inside = os.path.relpath(real) if real.startswith(os.path.join(os.path.realpath(os.getcwd()), "")) else path
        return f"{inside}:{line}"
    return None


def _cut_frames(error: str) -> str:
    """Keep the text from the line on that names the exception: the first that is not indented after the last
    traceback."""
    head, found, frames = error.strip().rpartition(_TRACEBACK)
    if not found:
        return head or frames
    lines = frames.splitlines()
    start = next((i for i, line in enumerate(lines) if line and not line[0].isspace()), None)
    return "\n".join(lines[start:]) if start is not None else frames.strip()
