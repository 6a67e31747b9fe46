"""What a study is about: its data, the user's code and the objects that a program gives, as digests; and whether what a
worker has is the same.

A workload or method that is found in a user's file has the digest of that file, and of every module of the user's that
it imports. One that a program gives as an object has digests of its parts, and of the modules that they are from. What
the code reads besides, such as weights in a file, is nobody's to know: it belongs into ``data``, or into the name.
"""

import os
import platform
from collections.abc import Callable, Iterable
from functools import partial
from importlib.machinery import ModuleSpec

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from steepest._errors import ChangedError, InputError
from steepest.compare.identity.digests import data_digest
from steepest.compare.spec import GIVEN_PART, Part, StudySpec, WorkloadSpec
from steepest.data import Splits
from steepest.training.code import loading, opened_files, user_code
from steepest.training.code.lookup import digest_of, is_given, sources_of
from steepest.training.definitions.workload import Workload
from steepest.training.process.randomness import seed_generators
from steepest.training.process.state import ProcessState


def refusal_in(error: str | None) -> str | None:
    """The sentence of a :class:`ChangedError`, if that is what a run's traceback ends in.

    Example:
        >>> refusal_in("Traceback ...\\nsteepest._errors.ChangedError: the data of 'w' differ")
        "the data of 'w' differ"
    """
    name = f"{ChangedError.__module__}.{ChangedError.__qualname__}: "
    return next((line.removeprefix(name) for line in (error or "").splitlines() if line.startswith(name)), None)


def check_unchanged(frozen: Part) -> None:
    """Make sure that the user's file, and what it imports, are those that the study began with.

    Raises:
        ChangedError: they are not.
    """
    if _digest_or_none(partial(digest_of, frozen.reference)) != frozen.source_sha256:
        raise ChangedError(_differs("file", frozen.name))
    for name, digest in (frozen.code or {}).items():
        if name.startswith(GIVEN_PART):  # it comes with the job's setting, whole
            continue
        spec = _located(name, frozen.reference)
        if spec is None or _digest_or_none(partial(user_code.digest_of_module, spec)) != digest:
            raise ChangedError(_differs(opened_files.shown(name), frozen.name))


def check_all_known(study: StudySpec, before: Iterable[str]) -> None:
    """Make sure that what has been imported since ``before`` is in the study's digests.

    Raises:
        ChangedError: a module of the user's is not.
    """
    if any(part.code is None for part in study.parts):  # of a study from before there were any
        return
    known = {name for part in study.parts for name in part.code or ()} | set(before)
    sources = {source for part in study.parts if not is_given(part.reference) for source in sources_of(part.reference)}
    for name, spec in user_code.loaded_users_modules().items():
        if name not in known | sources and not any(str(spec.origin) == source for source in sources):
            raise ChangedError(
                f"module {name} was imported while a run went on, which no digest can foresee; "
                f"import it by its name, {str(spec.origin)!r}, at the top of the file that needs it"
            )


def check_data(frozen: WorkloadSpec, splits: Splits, again: Callable[[], Splits]) -> None:
    """Make sure that a worker's data are those that the study began with.

    Args:
        again: loads them a second time, to see why they are not.

    Raises:
        ChangedError: they are not.
    """
    found = data_digest(splits)
    if found == frozen.data_sha256:
        return
    if data_digest(again()) != found:
        raise ChangedError(_random_data(frozen.name))
    raise ChangedError(
        f"{_differs('data', frozen.name)}: they must be the same in every process, whatever its hash seed, its number, "
        f"its folder or the time"
    )


def check_same_data(name: str, splits: Splits, again: Splits) -> None:
    """Two calls of a workload's ``data`` must give the same.

    Raises:
        InputError: they do not.
    """
    if data_digest(splits) != data_digest(again):
        raise InputError(_random_data(name))


def check_fresh_models(workload: Workload, seed: int) -> None:
    """Two calls of a workload's ``model`` on one seed must give two models with the same weights.

    Parameters of lazy modules have no values yet, and draw them from the run's generators with the first batch.

    Raises:
        InputError: they share weights that are trained, or the weights differ.
    """
    models, state = [], ProcessState()
    for _ in range(2):
        seed_generators(seed)
        models.append(workload.model())
        state.restore()
    if not all(isinstance(model, nn.Module) for model in models):
        return
    first, second = models
    shared = _storages(first) & _storages(second)
    for name, p in first.named_parameters():
        if first is second or (p.requires_grad and not is_lazy(p) and _storage(p) in shared):
            raise InputError(
                f"the model of {workload.name!r} is not a new one at every call: {name} is shared between two; "
                "build all layers within the function"
            )
    theirs = dict(second.named_parameters())
    for name, p in first.named_parameters():
        if name not in theirs or not _equal(p, theirs[name]):
            raise InputError(
                f"the initial weights of {workload.name!r} differ between two calls with the same seed, first in "
                f"{name}; draw them from torch's global generator, or seed your own within the function"
            )


def _located(name: str, reference: str) -> ModuleSpec | None:
    if not name.startswith(opened_files.PREFIX):
        return user_code.located(name)
    files = [loading.load(source).file for source in sources_of(reference)]
    return opened_files.located(name, [os.path.dirname(file) for file in files if file])


def _digest_or_none(digest: Callable[[], str | None]) -> str | None:
    """Call the digest; return ``None`` where the file is gone."""
    try:
        return digest()
    except OSError:
        return None


def _differs(what: str, name: str) -> str:
    return f"the {what} of {name!r} on {platform.node()} differs from what the study began with"


def _random_data(name: str) -> str:
    return f"the data of {name!r} differ from call to call: fix its seed"


def _storage(tensor: torch.Tensor) -> int:
    return 0 if is_lazy(tensor) or tensor.numel() == 0 else tensor.untyped_storage().data_ptr()


def _storages(model: nn.Module) -> set[int]:
    return {_storage(p) for p in model.parameters()} - {0}


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    if is_lazy(one) or is_lazy(other):
        return is_lazy(one) == is_lazy(other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.is_meta or other.is_meta:
        return one.is_meta == other.is_meta
    return torch.equal(*(t.detach().contiguous().flatten().view(torch.uint8) for t in (one, other)))
