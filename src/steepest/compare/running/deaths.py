"""Runs whose process ends under them: how often each is tried again, and when there is no use in going on."""

import re
from collections import Counter

from steepest._errors import StudyError
from steepest.compare.records.record import Key

# Deaths before a run is recorded as failed. Who killed a process cannot be told, so that this is high enough for a few
# strokes of bad luck. One that ended by itself, by an exit code or a crash, was not killed by anybody.
ATTEMPTS = 5
ATTEMPTS_BY_ITSELF = 2
_FIRST = 3  # runs that ended alike before anything else did
_KILLED = {-1, -2, -9, -15}  # SIGHUP, SIGINT, SIGKILL, SIGTERM: whoever sent it
_EXIT_CODE = re.compile(r"exit code (-?\d+)$")


class Deaths:
    """Counts the deaths of each run's process since the run last got further than ever.

    Example:
        >>> deaths, key = Deaths(), ("digits-mlp", "sgd", "tune", 0)
        >>> deaths.died(key, "exit code 3"), deaths.died(key, "exit code 3")
        (None, 'The process of this run died 2 times without getting further, the last time with exit code 3.')
    """

    def __init__(self) -> None:
        self._counts: Counter[Key] = Counter()
        self._furthest: dict[Key, float] = {}
        self._lost: list[str] = []  # why, for every run that was given up, until a run ends otherwise
        self._any_ended = False

    def __getitem__(self, key: Key) -> int:
        return self._counts[key]

    def got_to(self, key: Key, fraction: float) -> None:
        """A run is there; further than before, all of its attempts are left again."""
        if fraction > self._furthest.get(key, 0.0):
            self._furthest[key] = fraction
            del self._counts[key]

    def ended(self) -> None:
        """A run has ended otherwise."""
        self._any_ended = True

    def died(self, key: Key, reason: str) -> str | None:
        """The error with which the run is to be recorded, if it is not to be tried again."""
        self._counts[key] += 1
        count = self._counts[key]
        if count < _attempts(reason):
            return None
        self._lost.append(reason)
        return f"The process of this run died {count} times without getting further, the last time with {reason}."

    def check_hope(self) -> None:
        """
        Raises:
            StudyError: the first runs all died alike, and nothing else ended.
        """
        if not self._any_ended and len(self._lost) >= _FIRST and len(set(self._lost)) == 1:
            raise StudyError(
                f"the processes of the first {len(self._lost)} runs all died with {self._lost[0]}, and none has ended "
                f"otherwise; the rest was not tried"
            )


def _attempts(reason: str) -> int:
    code = _EXIT_CODE.search(reason)
    return ATTEMPTS if code is None or int(code[1]) in _KILLED else ATTEMPTS_BY_ITSELF
