"""Ranges and choices as Optuna has them, for whoever reads a study's runs with it."""

from collections.abc import Mapping
from typing import Any

from steepest.training.definitions.range import Choice, Domain


def choices_of(choice: Choice) -> list[Any]:
    """The values of a choice as Optuna's JSON can hold them: a tuple is a text."""
    return [_plain(value) for value in choice.values]


def distribution_of(domain: Domain) -> dict[str, Any]:
    """A range or a choice, as ``optuna.distributions.json_to_distribution`` takes it.

    Example:
        >>> from steepest.training import Range
        >>> distribution_of(Range(0.1, 1.0))["attributes"]
        {'step': None, 'low': 0.1, 'high': 1.0, 'log': True}
        >>> distribution_of(Choice((0.9, 0.99), (0.9, 0.999)))["attributes"]
        {'choices': ['(0.9, 0.99)', '(0.9, 0.999)']}
    """
    if isinstance(domain, Choice):
        return {"name": "CategoricalDistribution", "attributes": {"choices": choices_of(domain)}}
    step = {"step": 1 if domain.integer else None}
    name = "IntDistribution" if domain.integer else "FloatDistribution"
    return {"name": name, "attributes": {**step, "low": domain.low, "high": domain.high, "log": domain.log}}


def distribution_at(space: Mapping[str, Domain], name: str, value: Any) -> dict[str, Any]:
    """That of a value; one that was given and lies in no range is the one of its choice."""
    if _is_searched(space, name, value):
        return distribution_of(space[name])
    return {"name": "CategoricalDistribution", "attributes": {"choices": [_plain(value)]}}


def number_at(space: Mapping[str, Domain], name: str, value: Any) -> float:
    """A value as Optuna's tables have it: of a choice its place."""
    if not _is_searched(space, name, value):
        return 0.0
    domain = space[name]
    return float(domain.values.index(value)) if isinstance(domain, Choice) else value


def _is_searched(space: Mapping[str, Domain], name: str, value: Any) -> bool:
    return name in space and space[name].holds(value)


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name as Optuna has them in Python."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, tuple) else value
