"""Pruning unpromising runs of the search before their end."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pruner:
    """A rule by which a run of the search is stopped.

    Args:
        name: what a user writes.
        description: how a report goes on after "a run was stopped early".
    """

    name: str
    description: str


_ALL = (
    Pruner(
        "median",
        "once its best validation metric so far was worse than the median of the method's finished runs at that "
        "point, of which there had to be 4 (Optuna's MedianPruner)",
    ),
    Pruner(
        "halving",
        "unless it was among the best quarter of the method's runs so far at the 1st, 4th, 16th, ... validation "
        "(Optuna's SuccessiveHalvingPruner)",
    ),
)
PRUNERS = {pruner.name: pruner for pruner in _ALL}
