"""Several studies of the same comparisons, read as one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from steepest._errors import InputError
from steepest.compare.records.record import Record
from steepest.compare.spec import MethodSpec, StudySpec


class Read(NamedTuple):
    """A study as its folder has it."""

    folder: Path
    spec: StudySpec
    records: Sequence[Record]


def together(studies: Sequence[Read]) -> tuple[StudySpec, list[Record]]:
    """One study with the methods of all, as if they had been compared at once.

    They must be the same in everything but their methods. Of a method that several have alike, the runs of the first
    count; one of the same name that is another is called after its folder, such as ``mine (second)``.

    Raises:
        InputError: they are not of the same workloads, budget, trials and seeds, or stop early.
    """
    first, *others = studies
    if stopping := [str(study.folder) for study in studies if study.spec.shared.stopping is not None]:
        raise InputError(
            f"a study that stops early decides among its own methods and cannot be put together with another, "
            f"got {stopping[0]!r}"
        )
    methods, found = list(first.spec.methods), list(first.records)
    for study in others:
        _check_alike(first, study)
        own = {method.name: method for method in methods}
        for method in study.spec.methods:
            there = own.get(method.name)
            if there is not None and _are_same(study.spec, there, method):
                continue
            name = method.name if there is None else _name_anew(method.name, study, own)
            methods.append(replace(method, name=name))
            own[name] = methods[-1]
            found += [replace(r, method=name) for r in study.records if r.method == method.name]
    return StudySpec(tuple(replace(spec, methods=tuple(methods)) for spec in first.spec.comparisons)), found


def _check_alike(first: Read, other: Read) -> None:
    asked = StudySpec(tuple(replace(spec, methods=first.spec.methods) for spec in other.spec.comparisons))
    if differences := first.spec.differences(asked):
        raise InputError(
            f"{str(first.folder)!r} and {str(other.folder)!r} cannot be put on one page: {'; '.join(differences[:3])}"
        )


def _are_same(study: StudySpec, one: MethodSpec, other: MethodSpec) -> bool:
    spec = study.comparisons[0]
    return not replace(spec, methods=(one,)).differences(replace(spec, methods=(other,)))


def _name_anew(name: str, study: Read, taken: dict[str, MethodSpec]) -> str:
    for label in (study.folder.resolve().name, str(study.folder)):
        if (found := f"{name} ({label})") not in taken:
            return found
    raise InputError(f"{str(study.folder)!r} is given twice")
