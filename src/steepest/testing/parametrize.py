"""The conformance suite as pytest cases, one for every optimizer and check."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from steepest.testing.check import CHECKS, check_optimizer
from steepest.testing.demands import reasons_of
from steepest.testing.problem import Make


@dataclass(frozen=True)
class OneCheck:
    """A check of one optimizer: call it in a test. It skips the test where the check does not apply, and says why."""

    name: str
    make: Make
    arguments: Mapping[str, Any]
    reason: str | None = None  # why it is left out

    def __call__(self) -> None:
        """
        Raises:
            ConformanceError: the optimizer fails it.
        """
        import pytest

        if self.reason is not None:
            pytest.skip(self.reason)
        others = {name: "a case of its own" for name in CHECKS if name != self.name}
        passed = check_optimizer(self.make, **{**self.arguments, "exclude": others})
        if self.name not in passed:
            pytest.skip(passed.left_out.get(self.name, "no set of options has this case"))


def parametrize_with_checks(
    optimizers: Mapping[str, tuple[Make, Mapping[str, Any]]],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a pytest case of every check of every optimizer, to be chosen with ``-k`` and seen to fail alone.

    Needs pytest. Modelled on scikit-learn's decorator of the same name.

    Args:
        optimizers: by name, what to make and the other arguments of :func:`check_optimizer`. What is in ``exclude`` is
            skipped with its reason.

    Returns:
        A decorator of a test with one argument, ``check``, which it calls.

    Raises:
        ValueError: a name in an ``exclude`` is not known.

    Example:
        >>> import torch
        >>> @parametrize_with_checks({"nadam": (torch.optim.NAdam, {"options": [{"lr": 0.1}]})})
        ... def test_conformance(check):
        ...     check()
        >>> marks = test_conformance.pytestmark[0].args[1]
        >>> marks[1].id, len(marks)
        ('nadam: agrees with the float64 loop', 19)
    """
    import pytest

    cases = []
    for title, (make, arguments) in optimizers.items():
        reasons = reasons_of(arguments.get("exclude", ()), CHECKS)
        given = {name: value for name, value in arguments.items() if name != "exclude"}
        cases += [
            pytest.param(OneCheck(name, make, given, reasons.get(name)), id=f"{title}: {name}") for name in CHECKS
        ]
    return pytest.mark.parametrize("check", cases)
