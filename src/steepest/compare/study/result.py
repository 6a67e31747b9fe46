"""What a study came to: its report on the disk, and the one sentence if it has no result."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from steepest._errors import StudyError
from steepest.compare.analysis.summary import Summary
from steepest.compare.records.errors import headline
from steepest.compare.records.folder import invocations
from steepest.compare.report import write_report


def write(folder: Path, summaries: Sequence[Summary], folders: Sequence[Path] | None = None) -> Path:
    """Write a study's report; returns the path of the page.

    Args:
        folders: of the studies that it is about, if they are not ``folder``.

    Raises:
        StudyError: it cannot be written.
    """
    try:
        called = [entry for study in folders or [folder] for entry in invocations(study)]
        return write_report(folder, summaries, called)
    except OSError as error:
        raise StudyError(
            f"the report could not be written to {str(folder)!r} ({error.strerror}); the records are safe, "
            f"'steepest report {shlex.quote(str(folder))}' writes it later"
        ) from error


def without_result(summaries: Sequence[Summary]) -> str | None:
    """The sentence for a study that is at its end and of which no final run finished; ``None`` for any other."""
    rows = [row for summary in summaries for row in summary.rows]
    if any(record.status == "finished" for row in rows for record in row.finals):
        return None
    finals = [record for row in rows for record in row.finals]
    what, lost = (
        ("final run", finals) if finals else ("run of the search", [r for row in rows for r in row.runs_of_search])
    )
    statuses = [record.status for record in lost]
    stopped = f", {statuses.count('pruned')} were stopped early" if "pruned" in statuses else ""
    errors = [record.error for record in lost if record.error]
    first = f"; the first failure was: {headline(errors[0]).rstrip('.')}" if errors else ""
    ended = f"{statuses.count('diverged')} diverged and {statuses.count('failed')} failed"
    return f"no {what} finished: {ended}{stopped}{first}"
