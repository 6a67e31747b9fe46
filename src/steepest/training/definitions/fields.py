"""What the parts of a definition may be: each check returns the value, or raises a ValueError that names the field, the
value and what is allowed."""

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def named(what: str, value: object) -> str:
    """A name that is shown."""
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a text, got {value!r}")
    if not value:
        raise ValueError(f"{what} must not be empty")
    return value


def text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a text, got {value!r}")
    return value


def flag(what: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{what} must be True or False, got {value!r}")
    return value


def number(what: str, value: object) -> float:
    """Any real number, NumPy's too.

    Example:
        >>> number("target", "0.9")
        Traceback (most recent call last):
            ...
        ValueError: target must be a number, got '0.9'
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{what} must be a number, got {value!r}")
    return float(value)


def positive(what: str, value: object) -> int:
    """A whole number from 1 on."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{what} must be a whole number of at least 1, got {value!r}")
    if value < 1:
        raise ValueError(f"{what} must be at least 1, got {value}")
    return int(value)


def function(what: str, value: object, purpose: str) -> Callable[..., Any]:
    """Something that can be called; ``purpose`` says what it returns."""
    if not callable(value):
        raise ValueError(f"{what} must be a function {purpose}, got {_shown(value)}")
    return value


def maker(what: str, value: object) -> "Callable[[], nn.Module]":
    """A function that builds a model, and not a model: that would be trained on and on, from run to run."""
    if _is_module(value) or not callable(value):
        raise ValueError(
            f"{what} must be a function that builds a fresh torch.nn.Module, such as lambda: Net(), got {_shown(value)}"
        )
    return value


def table(what: str, value: object) -> Mapping[str, Any]:
    """A mapping from names."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{what} must map names to values, as a dict does, got {value!r}")
    return value


def _shown(value: object) -> str:
    return f"a {type(value).__name__} object" if _is_module(value) else repr(value)


def _is_module(value: object) -> bool:
    from torch import nn

    return isinstance(value, nn.Module)
