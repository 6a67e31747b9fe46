"""Workloads and methods that a program gives as objects, beside those that are found by what a user types."""

from collections.abc import Mapping

import cloudpickle

from steepest._errors import InputError
from steepest.compare.lookup import absolute_reference, find_method, find_workload, source_digest
from steepest.compare.method import Method
from steepest.compare.workload import Workload

Given = Mapping[str, Workload | Method]  # by reference
_PREFIX = "given:"


def reference_of(part: str | Workload | Method) -> str:
    """What a spec records: where the part is found, wherever the user stands, or that it was given.

    Example:
        >>> reference_of("digits-mlp")
        'digits-mlp'
    """
    return absolute_reference(part) if isinstance(part, str) else _PREFIX + part.name


def pickled(given: Given) -> bytes | None:
    """The objects as workers get them, ``None`` if there are none; to be called before any function of theirs is.

    Raises:
        InputError: one cannot be pickled.
    """
    try:
        return cloudpickle.dumps(dict(given)) if given else None
    except Exception as error:  # whatever an object raises that cannot be pickled
        names = ", ".join(repr(part.name) for part in given.values())
        raise InputError(
            f"of what the program gives, {names}, some cannot be sent to the processes that train "
            f"({type(error).__name__}: {error})"
        ) from error


def digest_of(reference: str) -> str | None:
    """SHA-256 of the user's file; ``None`` where there is none, also for what was given."""
    return None if is_given(reference) else source_digest(reference)


def is_given(reference: str) -> bool:
    return reference.startswith(_PREFIX)


def the_workload(part: str | Workload, given: Given | None = None) -> Workload:
    """The workload that is given, or found by its reference; ``given`` holds those that a spec refers to."""
    found = (given or {}).get(part) if isinstance(part, str) else part
    return found if isinstance(found, Workload) else find_workload(str(part))


def the_method(part: str | Method, given: Given | None = None) -> Method:
    """The method that is given, or found by its reference; ``given`` holds those that a spec refers to."""
    found = (given or {}).get(part) if isinstance(part, str) else part
    return found if isinstance(found, Method) else find_method(str(part))
