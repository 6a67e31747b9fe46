"""The page of a diagnosis, and its numbers as a file."""

from pathlib import Path
from typing import Any

from steepest._files import write_atomically
from steepest.diagnose.figures import figures_of
from steepest.diagnose.result import Diagnosis
from steepest.diagnose.sentences import facts_of, headline_of, sentences_of
from steepest.page.render import render, write_rows


def write_page(found: Diagnosis) -> Path:
    """Write ``report.html`` and ``seen.csv`` into a diagnosis's folder; returns the path of the page."""
    settings = found.settings
    text = render(
        "steepest.diagnose",
        "diagnosis.html.j2",
        f"{settings['method']} on {settings['workload']}",
        figures_of(found),
        headline=headline_of(found),
        facts=facts_of(found),
        sentences=sentences_of(found),
        found=found,
        settings=settings,
        run=found.run,
        failed=_list_failures(found),
    )
    write_atomically(found.page, text)
    write_rows(found.folder / "seen.csv", _flatten(found))
    return found.page


def _flatten(found: Diagnosis) -> list[dict[str, Any]]:
    """Make a row of all numbers that were seen at each validation."""
    rows = []
    for seen in found.seen:
        row: dict[str, Any] = {}
        for name, value in seen.items():
            for key, number in value.items() if isinstance(value, dict) else ():
                numbers = number if isinstance(number, list) else [number]
                places = [f"{name}.{key}.{i + 1}" for i in range(len(numbers))]
                row |= (
                    dict(zip(places, numbers, strict=True)) if isinstance(number, list) else {f"{name}.{key}": number}
                )
            if not isinstance(value, dict):
                row[name] = value
        rows.append(row)
    return rows


def _list_failures(found: Diagnosis) -> dict[str, str]:
    """List what could not be seen, and why, once each."""
    parts = [*found.seen, found.end, {"loss plane": found.surface}]
    failed: dict[str, str] = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict) and "error" in value:
                failed.setdefault(name.replace("_", " "), value["error"])
    return failed
