"""A search space: hyperparameters by name, of which some are searched only where others have a value."""

from collections.abc import Mapping
from typing import Any

from steepest.training.definitions.range import Choice, Domain, Range

Space = Mapping[str, Domain]


def check_space(of: str, space: Space) -> None:
    """Make sure that every condition can be looked up and met.

    Raises:
        ValueError: lr has one; or one names what is not searched, has no such value, or depends on itself.

    Example:
        >>> check_space("", {"lr": Range(0.1, 1.0), "momentum": Range(0.5, 0.9, when={"nesterov": True})})
        Traceback (most recent call last):
            ...
        ValueError: when of 'momentum' must name what is searched too, one of lr, got 'nesterov'
    """
    lr = space.get("lr")
    if isinstance(lr, Choice) and not all(isinstance(v, int | float) and not isinstance(v, bool) for v in lr.values):
        raise ValueError(f"{of}lr must be a number in every trial, got {lr!r}")
    for name, domain in space.items():
        if not domain.when:
            continue
        if name == "lr":
            raise ValueError(f"{of}lr must be searched in every trial, got {domain!r}")
        others = [other for other in space if other != name]
        for other, allowed in domain.when.items():
            if other not in others:
                raise ValueError(
                    f"{of}when of {name!r} must name what is searched too, one of {', '.join(others)}, got {other!r}"
                )
            theirs = space[other]
            if isinstance(theirs, Range) and not theirs.integer:
                raise ValueError(f"{of}when of {name!r} must name a choice or a range of integers, got {other!r}")
            if strange := [value for value in allowed if not theirs.holds(value)]:
                raise ValueError(f"{of}when of {name!r} must be a value of {other!r}, {theirs}, got {strange[0]!r}")
        _check_no_circle(of, space, name, (name,))


def _check_no_circle(of: str, space: Space, name: str, seen: tuple[str, ...]) -> None:
    for other in space[name].when or {}:
        if other in seen:
            raise ValueError(f"{of}when of {seen[0]!r} depends on itself, by way of {', '.join([*seen[1:], other])}")
        _check_no_circle(of, space, other, (*seen, other))


def is_met(domain: Domain, found: Mapping[str, Any]) -> bool:
    """Whether the conditions of a hyperparameter are met by the values of those that are searched."""
    return all(other in found and found[other] in allowed for other, allowed in (domain.when or {}).items())


def is_active(space: Space, values: Mapping[str, Any], name: str) -> bool:
    """Whether a hyperparameter is searched where the others have these values; one that is not meets no condition."""
    when = space[name].when or {}
    return all(values[other] in allowed and is_active(space, values, other) for other, allowed in when.items())


def active(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Of values for all names, those that are searched.

    Example:
        >>> space = {"nesterov": Choice(True, False), "momentum": Range(0.5, 0.9, when={"nesterov": True})}
        >>> active(space, {"nesterov": False, "momentum": 0.7})
        {'nesterov': False}
    """
    return {name: values[name] for name in space if is_active(space, values, name)}


def parents_first(space: Space) -> list[str]:
    """The names, each after those that it depends on, and otherwise in their order.

    Example:
        >>> parents_first({"momentum": Range(0.5, 0.9, when={"nesterov": True}), "nesterov": Choice(True, False)})
        ['nesterov', 'momentum']
    """
    found: list[str] = []

    def add(name: str) -> None:
        for other in space[name].when or {}:
            add(other)
        if name not in found:
            found.append(name)

    for name in space:
        add(name)
    return found


def middle_of(space: Space) -> dict[str, Any]:
    """The middle of every range, and the first value of every choice.

    Example:
        >>> middle_of({"lr": Range(0.01, 1.0), "nesterov": Choice(True, False)})
        {'lr': 0.1, 'nesterov': True}
    """
    return active(space, {name: domain.middle for name, domain in space.items()})


def is_point(space: Space, values: Mapping[str, Any]) -> bool:
    """Whether values are a point of the space: a value for every name that is searched there, and for no other."""
    if not all(name in space and space[name].holds(value) for name, value in values.items()):
        return False
    return names_at(space, values) == set(values)


def names_at(space: Space, values: Mapping[str, Any]) -> set[str]:
    """What is searched where others have these values, whether it has one or not."""
    found: set[str] = set()
    for name in parents_first(space):
        if is_met(space[name], {other: values[other] for other in found if other in values}):
            found.add(name)
    return found


def domain_from(raw: Mapping[str, Any]) -> Domain:
    """A range or choice as JSON has it.

    Raises:
        ValueError, TypeError: it is neither.
    """
    return Choice(*raw["values"], when=raw.get("when")) if "values" in raw else Range(**raw)


def plain_domain(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a range or choice, without what has its default and older specs do not have."""
    return {name: value for name, value in raw.items() if value is not None and (name != "integer" or value)}
