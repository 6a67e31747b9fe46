"""What the suite found: how many cases passed and what was left out, or what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Conformance(dict[str, int]):
    """The number of cases that passed, by the name of the check.

    ``left_out`` maps what was not checked to the reason: names of checks that were excluded or apply to no case, and
    paths that refuse a set of options.
    """

    def __init__(self, passed: Mapping[str, int], left_out: Mapping[str, str]) -> None:
        super().__init__(passed)
        self.left_out = dict(left_out)


class ConformanceError(AssertionError):
    """An optimizer failed; ``faults`` maps the name of each failed check to what was seen, case by case."""

    def __init__(self, faults: Mapping[str, Sequence[str]]) -> None:
        self.faults = {name: list(seen) for name, seen in faults.items()}
        lines = [f"{name}: {len(seen)} of its cases fail; the first: {seen[0]}" for name, seen in self.faults.items()]
        super().__init__("\n".join(lines))
