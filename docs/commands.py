"""The commands, arguments and options, read from the program itself: nothing of it is written down twice."""

import re
from typing import Any

from typer.main import get_command

from steepest.cli import app

_MARK = "<!-- commands -->"
# Words such as METHOD.NAME=LOW:HIGH, path/to/file.py:name and postgresql://HOST.
_TYPED = re.compile(r"\S*(?:=|://|\.py|\.toml|\.json)(?:\S*\w)?")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the commands in the place of the mark."""
    if _MARK not in markdown:
        return markdown
    return markdown.replace(_MARK, "\n".join(_describe(name, command) for name, command in _commands().items()))


def _commands() -> dict[str, Any]:
    """All commands by what is typed for them; those of a group below its name."""
    found = {}
    for name, command in get_command(app).commands.items():
        inner = getattr(command, "commands", {})
        found |= {f"{name} {below}": one for below, one in inner.items()} or {name: command}
    return found


def _describe(name: str, command: Any) -> str:
    """A heading, the line to type, the help, and a table of what goes with it."""
    rows = [_row(parameter) for parameter in command.params]
    table = ["| argument, option | what it says | default |", "|---|---|---|", *rows, ""] if rows else []
    return "\n".join([f"## {name}", "", f"    {_usage(name, command)}", "", _as_markdown(command.help), "", *table])


def _usage(name: str, command: Any) -> str:
    arguments = [_shown(p) for p in command.params if p.param_type_name == "argument"]
    options = ["[OPTIONS]"] if len(arguments) < len(command.params) else []
    return " ".join(["steepest", name, *arguments, *options])


def _row(parameter: Any) -> str:
    text, _, default = (parameter.help or "").partition(" Default: ")
    if not default and isinstance(parameter.default, str | int) and not isinstance(parameter.default, bool):
        default = f"`{parameter.default}`"
    return f"| {_names(parameter)} | {_as_markdown(text)} | {_as_markdown(default.removesuffix('.'))} |"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_shown(parameter)}`"
    value = "" if parameter.is_flag else f" {_shown(parameter)}"
    return ", ".join(f"`{name}{value}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _shown(parameter: Any) -> str:
    """What stands for the value, such as DIR; an argument that may be repeated is WORKLOAD ..."""
    word = (parameter.metavar or parameter.name.rpartition("_")[2]).upper()
    return word.removesuffix("S") + " ..." if parameter.nargs == -1 else word


def _as_markdown(text: str) -> str:
    """Help, which is written for a terminal: what is to be typed becomes code."""
    text = re.sub(r"(?<!\w)'([^']+)'(?!\w)", r"`\1`", " ".join(text.split()))
    parts = text.split("`")
    parts[::2] = [_TYPED.sub(r"`\g<0>`", part) for part in parts[::2]]
    return "`".join(parts).replace("|", "\\|")
