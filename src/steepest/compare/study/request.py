"""What a user asks for, before it is resolved and frozen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steepest.compare.names import DEFAULT_METHODS
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.method import Method, Range
from steepest.training.definitions.workload import Workload

ALL = ""  # every workload that is not named


@dataclass(frozen=True)
class Request:
    """What a user asks for, as flags, a file and the Python API say it; every field but the first has a default.

    Numbers that may differ by workload are given for one name of a workload each, or under ``ALL`` for the others.

    Args:
        workloads: references, at least one; or workloads themselves.
        methods: references; or methods themselves.
        trials: points that every method tries, at least 1.
        seeds: final runs of every method, at least 1.
        epochs: instead of the workload's own.
        batch_sizes: instead of the workload's own; each is a comparison of its own.
        targets: instead of the workload's own; the first of them counts in the table.
        spaces: method name to ranges that replace its own, or search what it has fixed.
        schedule: of the learning rate, one of ``SCHEDULES``.
        instruments: references; or instruments themselves.
        pruner: one of ``PRUNERS``, to stop hopeless runs of the search; ``None`` for none.
        strategy: one of ``STRATEGIES``, by which ``ranks`` processes do every run together; ``None`` for one process.
        device: ``"auto"`` (the GPU if there is one), or anything ``torch.device`` takes.
    """

    workloads: Sequence[str | Workload]
    methods: Sequence[str | Method] = DEFAULT_METHODS
    trials: int = 8
    seeds: int = 5
    epochs: Mapping[str, int] = field(default_factory=dict)
    batch_sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    targets: Mapping[str, Sequence[float]] = field(default_factory=dict)
    spaces: Mapping[str, Mapping[str, Range]] = field(default_factory=dict)
    schedule: str = "linear"
    instruments: Sequence[str | Instrument] = ()
    pruner: str | None = None
    strategy: str | None = None
    ranks: int = 1
    device: str = "auto"
