"""Checks of arguments: a ValueError that names the argument, what is allowed, and what was given."""

from collections.abc import Callable, Sequence
from numbers import Integral, Rational, Real


def check_number(name: str, value: object, words: str, allowed: Callable[[float], bool]) -> None:
    """Raise unless the value is a number, and one that is allowed.

    A truth value and a string are none, nor is a fraction, or an integer beyond all floats: torch cannot use them.

    Example:
        >>> check_number("lr", 1e-3, "a number of at least 0", lambda lr: lr >= 0)
        >>> check_number("lr", "1e-3", "a number of at least 0", lambda lr: lr >= 0)
        Traceback (most recent call last):
        ...
        ValueError: lr must be a number of at least 0, got '1e-3'
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    number &= isinstance(value, Integral) or not isinstance(value, Rational)
    try:
        fits = number and allowed(float(value))  # type: ignore[arg-type]
    except OverflowError:
        fits = False
    if not fits:
        raise ValueError(f"{name} must be {words}, got {value!r}")


def check_flag(name: str, value: object) -> None:
    """Raise unless the value is ``True`` or ``False``; ``"False"`` would count as true."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise unless the value is one of the choices, and of their type: ``True`` is not 1.

    Example:
        >>> check_choice("per", "layer", ("tensor", "filter"))
        Traceback (most recent call last):
        ...
        ValueError: per must be 'tensor' or 'filter', got 'layer'
    """
    alike = [choice for choice in choices if isinstance(value, type(choice)) and not isinstance(value, bool)]
    if value not in alike:
        *first, last = map(repr, choices)
        raise ValueError(f"{name} must be {', '.join(first)} or {last}, got {value!r}")


def check_integer(name: str, value: object, words: str = "an integer") -> None:
    """Raise unless the value is an ``int``; ``True`` is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be {words}, got {value!r}")
