"""What an experiment came to, and its page, its tables and its numbers as files."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steepest._files import write_atomically
from steepest._machine import machine
from steepest._version import __version__
from steepest.page.figure import Figure
from steepest.page.render import render, write_rows

PAGE = "report.html"


@dataclass(frozen=True)
class Story:
    """What a page tells.

    ``command``: of steepest, such as ``"theory momentum"``, whose first word names the JSON file; ``headline``,
    ``facts``, ``sentences``: words below the title; ``table``: rows of texts by their headings, below ``table_title``;
    ``rows``: of numbers, by the name of the CSV file; ``told``: all of it for the JSON file.
    """

    command: str
    title: str
    headline: str
    facts: str
    sentences: Sequence[str]
    conventions: str
    figures: Sequence[Figure]
    table_title: str
    table: Sequence[Mapping[str, str]]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    told: Mapping[str, Any]


def write_story(
    folder: Path,
    story: Story,
    typed: str,
    template: str = "story.html.j2",
    package: str = "steepest.page",
    files: Sequence[str] = (),
    **said: Any,
) -> Path:
    """Write ``report.html``, a JSON file and a CSV file for each of the story's rows; returns the page's path.

    Args:
        typed: the command as the user typed it.
        template: of a package, which is given ``said`` besides.
        files: others that are in the folder.
    """
    numbers = f"{story.command.split()[0]}.json"
    origin = {
        "command": typed,
        "machine": machine(),
        "versions": {"steepest": __version__, "torch": torch.__version__, "numpy": np.__version__},
    }
    told = {**story.told, **story.rows, "conventions": story.conventions, **origin}
    write_atomically(folder / numbers, json.dumps(plain(told), indent=1, allow_nan=False) + "\n")
    for name, rows in story.rows.items():
        write_rows(folder / f"{name}.csv", rows)
    there = [numbers, *(f"{name}.csv" for name in story.rows), *files]
    text = render(package, template, story.title, story.figures, story=story, origin=origin, files=there, **said)
    write_atomically(folder / PAGE, text)
    return folder / PAGE


def plain(value: Any) -> Any:
    """The same for JSON, which has no arrays, and nothing for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
