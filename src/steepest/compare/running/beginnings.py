"""From what weights runs began: on one machine the same for all runs of a model and a seed, whatever the method."""

from steepest.compare.records.record import Record


class Beginnings:
    """The initial weights that have been seen.

    Example:
        >>> def record(method, weights):
        ...     return Record("w", method, "tune", 0, 1, {}, "finished", 0.0, 1.0, weights=weights)
        >>> seen = Beginnings()
        >>> [seen.add("w", record(m, w)) for m, w in (("a", "host:1"), ("b", "host:1"), ("c", "other:2"))]
        [None, None, None]
        >>> seen.add("w", record("d", "host:3"))
        'a'
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, str], tuple[str, str]] = {}

    def add(self, model: str, record: Record) -> str | None:
        """The method of a run that began from other weights than this one, if there is one.

        Args:
            model: whose weights they are; a workload's reference.
        """
        if record.weights is None:
            return None
        place = (model, record.seed, record.weights.partition(":")[0])
        method, weights = self._seen.setdefault(place, (record.method, record.weights))
        return None if weights == record.weights else method
