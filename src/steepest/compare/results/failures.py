"""Runs that failed, those together that failed alike."""

from dataclasses import dataclass

from steepest.compare.analysis.summary import Summary
from steepest.compare.records.errors import headline
from steepest.compare.records.record import Record
from steepest.compare.results.tables import records_of
from steepest.page.text import listed

_NAMED = 4


@dataclass(frozen=True)
class Failure:
    """Runs of one method whose errors have one headline; ``traceback`` is the first one's."""

    method: str
    runs: str
    number: int
    headline: str
    traceback: str


def failures(summary: Summary) -> list[Failure]:
    """All failed runs, in the order of the results."""
    alike: dict[tuple[str, str], list[Record]] = {}
    for record in records_of(summary):
        if record.error:
            alike.setdefault((record.method, headline(record.error)), []).append(record)
    return [
        Failure(method, _name_runs(records), len(records), said, (records[0].error or "").strip())
        for (method, said), records in alike.items()
    ]


def _name_runs(records: list[Record]) -> str:
    """Name the runs, such as ``search run 4``, or ``search runs 1, 2 and final run 1``."""
    parts = []
    for phase, name in (("screen", "short"), ("tune", "search"), ("final", "final")):
        places = [str(record.trial + 1) for record in records if record.phase == phase]
        if len(places) == 1:
            parts.append(f"{name} run {places[0]}")
        elif len(places) > _NAMED:
            parts.append(f"{len(places)} {name} runs")
        elif places:
            parts.append(f"{name} runs {listed(places, 'and')}")
    return listed(parts, "and")
