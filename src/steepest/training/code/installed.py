"""Workloads, methods, estimators and instruments that other installed packages offer, by their entry points.

A package that has ::

    [project.entry-points."steepest.methods"]
    cool = "coolpackage.methods:cool"

in its ``pyproject.toml`` adds the method ``cool``; the other groups are ``steepest.workloads``, ``steepest.estimators``
and ``steepest.instruments``. A study records ``coolpackage.methods:cool``, and needs the package where it is run again.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Literal

from steepest._errors import InputError

Kind = Literal["workload", "method", "estimator", "instrument"]


def installed(kind: Kind) -> list[EntryPoint]:
    """What installed packages offer of a kind, by name; nothing of it is imported."""
    return sorted(entry_points(group=f"steepest.{kind}s"), key=lambda point: point.name)


def reference_to(kind: Kind, name: str) -> str | None:
    """The ``package.module:name`` of what an installed package offers under a name; ``None`` if none does.

    Raises:
        InputError: several do.
    """
    found = sorted({point.value.replace(" ", "").partition("[")[0] for point in installed(kind) if point.name == name})
    if len(found) > 1:
        raise InputError(f"{len(found)} installed packages offer the {kind} {name!r}; write it as {' or '.join(found)}")
    return found[0] if found else None
