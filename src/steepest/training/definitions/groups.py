"""Values of hyperparameters for some of a model's parameters: groups by patterns of their names."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.optim import param_groups

SCALE = "lr_scale"
Named = list[tuple[str, Tensor]]


class Own(NamedTuple):
    """Of which parameters a hyperparameter is, such as ``weight_decay@head.*``; all where there is no pattern."""

    name: str
    pattern: str | None


def own_of(name: str) -> Own:
    """What a name of a search space says.

    Example:
        >>> own_of("lr_scale@head.*"), own_of("lr")
        (Own(name='lr_scale', pattern='head.*'), Own(name='lr', pattern=None))
    """
    first, at, pattern = name.partition("@")
    return Own(first, pattern if at else None)


def check_names(of: str, names: Iterable[str]) -> None:
    """Make sure that a method's names of hyperparameters can be looked up.

    Raises:
        ValueError: nothing stands before or behind an @, or a scale has no pattern.
    """
    for full in names:
        name, pattern = own_of(full)
        if not name or pattern == "":
            raise ValueError(f"{of}{full!r} must be NAME@PATTERN, such as 'lr_scale@head.*'")
        if name == SCALE and pattern is None:
            raise ValueError(f"{of}{full!r} must say of which parameters, such as 'lr_scale@head.*'")


def grouped(of: str, model: nn.Module, options: Mapping[str, Any], patterns: Iterable[str]) -> list[dict[str, Any]]:
    """A model's parameters as groups of an optimizer: those of each pattern with their own values, then the others.

    Patterns are those of a shell (``fnmatch``) over the names that ``model.named_parameters()`` has: ``head.*``,
    ``*.bias``. A parameter is in one group: no two patterns may match it. ``lr_scale`` gives ``lr``: that many times
    the lr of all, which a schedule then moves by the same factor. A ``weight_decay`` of a pattern is that of all that
    it matches; the weight decay of all passes over biases and normalisation layers, as
    :func:`steepest.param_groups` has it.

    Args:
        of: who asks, for a sentence.
        options: of the optimizer, with those of patterns, whose names have an @.
        patterns: that must match something, whether they have values or not.

    Raises:
        InputError: a pattern matches nothing, two match the same parameter, or a scale has no lr to multiply.
    """
    owners = _owners(of, model, patterns)
    values: dict[str, dict[str, Any]] = {pattern: {} for pattern in owners}
    for full, value in options.items():
        name, pattern = own_of(full)
        if pattern is not None:
            values[pattern][name] = value
    values = {pattern: own for pattern, own in values.items() if own}
    owners = {pattern: owners[pattern] for pattern in values}
    for pattern, own in values.items():
        if SCALE in own:
            if "lr" in own:
                raise InputError(f"{of} has both lr@{pattern} and {SCALE}@{pattern}; choose one")
            if "lr" not in options:
                raise InputError(f"{of} has {SCALE}@{pattern}, and no lr that it could multiply")
            own["lr"] = own[SCALE] * options["lr"]  # and the scale, for an optimizer of several learning rates
    decay = options.get("weight_decay")
    parts = param_groups(model, decay) if decay else [{"params": list(model.named_parameters())}]
    found = []
    for pattern, own in [*values.items(), (None, {})]:
        taken = {name for name, owner in _owner_by_name(model, owners).items() if owner == pattern}
        split = [{"params": list(model.named_parameters())}] if "weight_decay" in own else parts
        for part in split:
            if params := [(name, p) for name, p in part["params"] if name in taken]:
                found.append({**part, "params": params, **own})
    return found


def check_known(of: str, optimizer: Optimizer, names: Iterable[str]) -> None:
    """Make sure that the values of patterns are some that the optimizer's groups have.

    Raises:
        InputError: one is not, and would be kept and never read.
    """
    for full in names:
        name, pattern = own_of(full)
        if pattern is not None and name != SCALE and name not in optimizer.defaults:
            raise InputError(
                f"{of} has {full!r}, and its optimizer no {name!r} that a group could have; those are "
                f"{', '.join(optimizer.defaults)}"
            )


def _owners(of: str, model: nn.Module, patterns: Iterable[str]) -> dict[str, set[str]]:
    """Find the names that each pattern matches."""
    names = [name for name, _ in model.named_parameters()]
    found: dict[str, set[str]] = {}
    for pattern in dict.fromkeys(patterns):
        found[pattern] = {name for name in names if fnmatchcase(name, pattern)}
        if not found[pattern]:
            raise InputError(
                f"{of} has values for {pattern!r}, which matches no parameter of the model; it has "
                f"{', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
            )
        for other, theirs in found.items():
            if other != pattern and (both := theirs & found[pattern]):
                raise InputError(
                    f"{of} has values for {other!r} and for {pattern!r}, which both match {min(both)!r}; a parameter "
                    f"is in one group"
                )
    return found


def _owner_by_name(model: nn.Module, owners: Mapping[str, set[str]]) -> dict[str, str | None]:
    found: dict[str, str | None] = {name: None for name, _ in model.named_parameters()}
    return found | {name: pattern for pattern, names in owners.items() for name in names}
