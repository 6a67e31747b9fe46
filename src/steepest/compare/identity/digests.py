"""What a study is about, as digests."""

import hashlib
import itertools
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import torch

from steepest._errors import InputError
from steepest.compare.identity.objects import ObjectDigest
from steepest.compare.spec import GIVEN_PART, StudySpec
from steepest.data.items import Items
from steepest.data.splits import Splits, Tasks
from steepest.training.code import loading, opened_files, user_code
from steepest.training.code.lookup import Definition, is_given, sources_of
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.workload import Workload

Parts = Mapping[str, Definition]  # by reference


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def modules_of(reference: str, part: Definition | None) -> dict[str, ModuleSpec]:
    """The user's modules that a definition needs, but for the files that its reference names."""
    if is_given(reference) and part is not None:
        found = [_modules_of_given(_gather_parts(part))]
    else:
        found = [loading.load(source).imports for source in sources_of(reference)]
    return {name: spec for some in [*found, loading.LATE.get(reference, {})] for name, spec in some.items()}


def digests_of_given(reference: str, part: Definition) -> dict[str, str]:
    """Digests of the parts of a given object, as it is now: what it holds may change once its functions are called."""
    if not is_given(reference):
        return {}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"  # whose bytecode it is
    return {GIVEN_PART + name: f"{ObjectDigest().of(value)}/{python}" for name, value in _gather_parts(part).items()}


def with_code(study: StudySpec, parts: Parts, given: Mapping[str, dict[str, str]]) -> StudySpec:
    """A study with the digests of its code.

    Args:
        parts: its workloads, methods and instruments by reference, once their functions have been called.
        given: what :func:`digests_of_given` said before, by reference.

    Raises:
        InputError: two of them mean different files by the name of one module, and a process can have one only.
    """
    modules = {reference: modules_of(reference, part) for reference, part in parts.items()}
    _check_one_meaning(modules.values())
    code = {r: {**user_code.digests_of(found), **given[r]} for r, found in modules.items()}
    return StudySpec(
        tuple(
            replace(
                spec,
                workload=replace(spec.workload, code=code[spec.workload.reference]),
                methods=tuple(replace(m, code=code[m.reference]) for m in spec.methods),
                instruments=tuple(replace(i, code=code[i.reference]) for i in spec.instruments),
            )
            for spec in study.comparisons
        )
    )


def _check_one_meaning(modules: Iterable[Mapping[str, ModuleSpec]]) -> None:
    seen: dict[str, ModuleSpec] = {}
    for name, spec in itertools.chain.from_iterable(found.items() for found in modules):
        other = seen.setdefault(name, spec)
        if not (name.startswith(opened_files.PREFIX) or user_code.same_place(other, spec)):
            raise InputError(
                f"the study imports two modules of the name {name!r}, {other.origin} and {spec.origin}; rename one"
            )


def data_digest(splits: Splits) -> str:
    digest = hashlib.sha256()
    for split in splits:
        if isinstance(split, Items):
            digest.update(split.digest())
            continue
        for tensor in (split.inputs, split.targets):
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    if isinstance(splits, Tasks):
        digest.update(f"{splits.lengths}".encode())
    return digest.hexdigest()


def plain(value: object) -> str:
    """A value for a spec, where JSON has none: what Python writes for it, or a digest where that holds an address."""
    written = repr(value)
    return f"{type(value).__name__} {ObjectDigest().of(value)[:16]}" if _ADDRESS.search(written) else written


def _gather_parts(part: Definition) -> dict[str, object]:
    """Gather what digests cannot see elsewhere in the spec; the data are digested themselves."""
    found: dict[str, object]
    if isinstance(part, Workload):
        found = {"model": part.model, "loss": part.loss, "metric": part.metric, "augment": part.augment}
        found |= {name: getattr(part, name) for name in ("training_step", "evaluation_step", "collate")}
        found["metrics"] = dict(part.metrics) or None
    elif isinstance(part, Instrument):
        found = {"measure": part.measure, "caption": part.caption, "check": part.check}
    else:
        found = {"optimizer": part.optimizer, "prepare": part.prepare, "closure": part.closure or None}
        found |= {f"estimator {e.name}": (e.attach, dict(e.options)) for e in part.estimators}
        found["fixed"] = dict(part.fixed) or None
        found["counted"] = part.counted or None
        found["schedule"] = part.schedule and (part.schedule.factor, part.schedule.controller)
    return {name: value for name, value in found.items() if value is not None}


def _modules_of_given(parts: Mapping[str, object]) -> dict[str, ModuleSpec]:
    digest = ObjectDigest()
    for value in parts.values():
        digest.of(value)
    packages = tuple(f"{name}." for name in digest.modules)
    loaded = user_code.loaded_users_modules()
    names = digest.modules | {name for name in loaded if name.startswith(packages)}
    roots = {name: spec for name in sorted(names) if (spec := user_code.located(name)) is not None}
    return {**roots, **user_code.imported_by(roots.values())}


def source_files(reference: str, part: Definition | None = None) -> list[Path]:
    """The user's Python files that define a part of a study: those that its reference names, and what they import.

    Args:
        part: what was given as an object; another is found by its reference.
    """
    named = [] if is_given(reference) else [loading.load(source).file for source in sources_of(reference)]
    if is_given(reference) and part is None:
        return []
    imported = [spec.origin for spec in modules_of(reference, part).values()]
    return [Path(f) for f in (*named, *imported) if f and f.endswith((".py", ".pyw")) and user_code.is_users_file(f)]
