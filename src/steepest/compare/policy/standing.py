"""Which of a study's records count, as the choice of its searches stands."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from steepest.compare.analysis.choice import search_of
from steepest.compare.records.record import Record
from steepest.compare.spec import StudySpec


class Counted(NamedTuple):
    """Records that count; ``pending`` final runs, whose search is open again, and which count if the same point is
    chosen again; ``outdated`` ones, of another point than the one that their search chose."""

    records: list[Record]
    pending: list[Record]
    outdated: list[Record]


def counted(study: StudySpec, records: Iterable[Record]) -> Counted:
    """What counts of a study's records: a failed run of a search that is tried again may have changed its choice."""
    records = list(records)
    tuned: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.phase == "tune":
            tuned[record.workload, record.method].append(record)
    searches = {key: search_of(study.comparison(key[0]), own) for key, own in tuned.items()}
    chosen = {key: search.chosen for key, search in searches.items() if search.is_over}
    found = Counted([], [], [])
    for record in records:
        best = chosen.get((record.workload, record.method))
        if record.phase != "final" or (best is not None and best.hyperparameters == record.hyperparameters):
            found.records.append(record)
        elif (record.workload, record.method) in chosen:
            found.outdated.append(record)
        else:
            found.pending.append(record)
    return found
