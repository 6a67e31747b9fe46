"""How the learning rate moves over a run: the same for every method of a study."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A factor of the learning rate, by the share of the run that is behind.

    Args:
        name: what a user writes.
        description: how a report goes on after "learning rate".
        factor: of a share in [0, 1); at 0 it is 1.
    """

    name: str
    description: str
    factor: Callable[[float], float]


_ALL = (
    Schedule("linear", "linear to 0, every step", lambda share: 1 - share),
    Schedule("constant", "constant", lambda share: 1.0),
    Schedule("cosine", "half a cosine to 0, every step", lambda share: (1 + math.cos(math.pi * share)) / 2),
    Schedule("polynomial", "the square of what is left of the run, to 0, every step", lambda share: (1 - share) ** 2),
    Schedule(
        "step",
        "times 0.1 at one half of the run and at three quarters",
        lambda share: 0.1 ** ((share >= 0.5) + (share >= 0.75)),
    ),
)
SCHEDULES = {schedule.name: schedule for schedule in _ALL}
