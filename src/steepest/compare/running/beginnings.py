"""From what weights runs began: on one machine the same for all runs of a workload and a seed, whatever the method."""

import json
from pathlib import Path

from steepest._files import write_atomically
from steepest.compare.records.record import Record

FILE = "beginnings.json"


class Beginnings:
    """The initial weights that have been seen.

    Args:
        file: where they are remembered from call to call; a damaged one is written anew.

    Example:
        >>> def record(method, weights):
        ...     return Record("w", method, "tune", 0, 1, {}, "finished", 0.0, 1.0, weights=weights)
        >>> seen = Beginnings()
        >>> [seen.add("w", record(m, w)) for m, w in (("a", "host:1"), ("b", "host:1"), ("c", "other:2"))]
        [None, None, None]
        >>> seen.add("w", record("d", "host:3"))
        'a'
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._seen = {} if file is None else _read(file)

    def add(self, workload: str, record: Record) -> str | None:
        """The method of a run that began from other weights than this one, if there is one."""
        if record.weights is None:
            return None
        host, _, weights = record.weights.partition(":")
        place = f"{host} seed {record.seed} {workload}"
        if place not in self._seen:
            self._seen[place] = {"method": record.method, "weights": weights}
            if self._file is not None:
                write_atomically(self._file, json.dumps(self._seen, indent=1) + "\n")
        return None if self._seen[place]["weights"] == weights else self._seen[place]["method"]


def _read(file: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {place: {name: str(seen[name]) for name in ("method", "weights")} for place, seen in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
