"""What a study is made of, as it was when the study began."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from steepest.training.code.opened_files import shown
from steepest.training.definitions.range import Domain

GIVEN_PART = "given:"  # before the name of a part of a given object, among the names of modules


@dataclass(frozen=True)
class MethodSpec:
    """A method as it was when the study began.

    ``source_sha256`` is of the user's own file; ``code`` has the digests of what that file imports, or of what a
    program gave as objects (:mod:`~steepest.compare.identity`). ``points`` are those of the search, a value for every
    name of ``space`` that is searched there. A spec from before format 3 has neither: ``code`` is ``None`` and
    ``points`` is empty.
    """

    reference: str
    name: str
    description: str
    optimizer: str
    space: dict[str, Domain]
    fixed: dict[str, Any]
    evaluations_per_step: int
    source_sha256: str | None
    estimators: dict[str, dict[str, Any]] = field(default_factory=dict)  # name to options
    points: tuple[dict[str, Any], ...] = ()
    more_points: tuple[tuple[dict[str, Any], ...], ...] = ()  # of the searches after the first
    code: dict[str, str] | None = None
    schedule: str | None = None  # of its own
    recipe: dict[str, Any] = field(default_factory=dict)  # what of the study's it changes
    batch_size: int | None = None  # of its own
    whole_epochs: bool = False  # a step takes all batches of an epoch, and ``evaluations_per_step`` are of each
    counted: bool = False  # a step pays for what it takes, evaluations_per_step at most
    values: dict[str, dict[str, Any]] = field(default_factory=dict)  # given, by comparison; "" for all others

    @property
    def names(self) -> list[str]:
        """The hyperparameters that are searched, or given."""
        return list(dict.fromkeys(name for some in (self.space, *self.values.values()) for name in some))

    @property
    def leading(self) -> str:
        """The hyperparameter by which a trial is told: lr, or the first one of a method that searches none."""
        return "lr" if "lr" in self.names else self.names[0]


@dataclass(frozen=True)
class WorkloadSpec:
    """A workload as it was when the study began; of a sequence ``tasks`` are the training samples of each.

    ``data_sha256_before`` is the digest as it was before data was made with one thread, by which older folders know it.
    """

    reference: str
    name: str
    description: str
    train_samples: int
    validation_samples: int
    test_samples: int
    target: float
    metric_name: str
    higher_is_better: bool
    percent: bool
    source_sha256: str | None
    data_sha256: str
    code: dict[str, str] | None = None
    tasks: tuple[int, ...] = ()
    data_sha256_before: str | None = None
    is_function: bool = False


@dataclass(frozen=True)
class InstrumentSpec:
    """An instrument as it was when the study began."""

    reference: str
    name: str
    label: str
    when: Literal["end", "validation"]
    number: str
    in_search: bool
    source_sha256: str | None
    description: str = ""
    code: dict[str, str] | None = None


def code_differences(owner: str, there: Mapping[str, str] | None, here: Mapping[str, str] | None) -> list[str]:
    """What the user's code differs in; nothing where one side does not know.

    Digests of objects are compared only if the same Python made them, which their end says: its bytecode is in them.

    Example:
        >>> code_differences("method 'm'", {"mynet": "1", "given:prepare": "1/3.11"}, {"given:prepare": "2/3.11"})
        ["the prepare of method 'm' was changed since the study began", "module mynet of method 'm' is missing here"]
    """
    found: list[str] = []
    if there is None or here is None:
        return found
    for name in sorted(there.keys() | here.keys()):
        a, b = there.get(name), here.get(name)
        given, what = name.startswith(GIVEN_PART), name.removeprefix(GIVEN_PART)
        if a == b or (given and a and b and a.partition("/")[2] != b.partition("/")[2]):
            continue
        subject = f"the {what} of {owner}" if given else f"{shown(what)} of {owner}"
        change = "is missing here" if b is None else "was not there" if a is None else "was changed"
        found.append(f"{subject} {change}{' since the study began' if a and b else ''}")
    return found
