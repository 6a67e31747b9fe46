"""On what it depends whether a hyperparameter is searched at all."""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

Value = float | int | bool | str | tuple[Any, ...] | None
"""What a hyperparameter can be."""


def value_of(what: str, value: object) -> Value:
    """A value of a hyperparameter, NumPy's numbers too; a list is a tuple, as JSON and TOML know none.

    Raises:
        ValueError: it is none that JSON can hold.

    Example:
        >>> value_of("betas", [0.9, 0.999])
        (0.9, 0.999)
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return tuple(value_of(what, part) for part in value)
    raise ValueError(f"{what} must be a finite number, a text, True, False, None or a tuple of these, got {value!r}")


def scalar(text: str) -> Value:
    """What a text is: true, false, none, a number, or else a text.

    Example:
        >>> [scalar(text) for text in ("true", "none", "5", "0.5", "cubic")]
        [True, None, 5, 0.5, 'cubic']
    """
    text = text.strip()
    words: dict[str, Value] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def is_word(text: str) -> bool:
    """Whether a text is one that :func:`scalar` reads back, and no spreadsheet takes for anything else.

    Example:
        >>> is_word("cubic"), is_word("true"), is_word("5")
        (True, False, False)
    """
    return text.isidentifier() and scalar(text) == text


def point_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name as JSON has them."""
    return {name: value_of(name, value) if isinstance(value, list) else value for name, value in raw.items()}


def conditions(when: object) -> dict[str, tuple[Value, ...]] | None:
    """Hyperparameter to the values that it may have: one, or a list of several.

    Raises:
        ValueError: it is no such mapping.

    Example:
        >>> conditions({"nesterov": True, "layers": [2, 3]})
        {'nesterov': (True,), 'layers': (2, 3)}
    """
    if when is None:
        return None
    if not isinstance(when, Mapping) or not when or not all(isinstance(name, str) for name in when):
        raise ValueError(f"when must map a hyperparameter to its value, such as {{'nesterov': True}}, got {when!r}")
    found = {}
    for name, allowed in when.items():
        several = allowed if isinstance(allowed, list | tuple) else (allowed,)
        if not several:
            raise ValueError(f"when must name a value of {name!r}, got {when!r}")
        found[name] = tuple(value_of(f"when of {name!r}", value) for value in several)
    return found


def spell_conditions(when: Mapping[str, tuple[Value, ...]] | None) -> str:
    """As a report has them.

    Example:
        >>> spell_conditions({"nesterov": (True,), "layers": (2, 3)})
        ' if nesterov=True and layers=2,3'
    """
    said = (f"{name}={','.join(map(str, allowed))}" for name, allowed in (when or {}).items())
    return f" if {' and '.join(said)}" if when else ""
