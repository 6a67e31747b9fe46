"""A user's files and modules: loaded once, with what they import, and loaded anew where a file has changed."""

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from steepest._errors import InputError
from steepest.training.code import opened_files, user_code
from steepest.training.process.state import users_code


@dataclass
class Loaded:
    """A module that a user named, and the user's modules that it imports, by their names."""

    module: ModuleType
    imports: dict[str, ModuleSpec]
    brought: set[str] = field(default_factory=set)  # names that were not in sys.modules before
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def file(self) -> str | None:
        return self.module.__file__

    def note(self, more: dict[str, ModuleSpec]) -> None:
        """Add modules that no source names, as they were imported by a computed name."""
        self.imports = {**user_code.imported_by([*_spec_of(self.module), *more.values()]), **more}
        self.brought |= more.keys()
        self.stamps = _read_stamps([self.file, *(spec.origin for spec in self.imports.values())])


_LOADED: dict[str, Loaded] = {}
LATE: dict[str, dict[str, ModuleSpec]] = {}
"""What a workload's functions have imported while they ran, by its reference."""


def load(source: str) -> Loaded:
    """Import a user's file by its path, with its folder first as ``python file.py`` would, or a module by its name.

    Raises:
        InputError: there is no such file, its code raises, or it imports another module of a name that is taken.
    """
    is_file = source.endswith(".py")
    key = _key_of(source)
    found = _LOADED.get(key)
    if found is not None and sys.modules.get(found.module.__name__) is found.module:
        return found
    if is_file and not Path(key).is_file():
        raise InputError(f"there is no file {source!r}; give an existing one as 'path/to/file.py:name'")
    before = set(sys.modules)
    try:
        with users_code(source):
            module, read = _executed(Path(key)) if is_file else _imported(source)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        near = str(Path(key).parent) if is_file else None
        raise InputError(f"{source} could not be imported: {user_code.told(error, near)}") from error
    new = sys.modules.keys() - before
    more = {name: spec for name, spec in user_code.loaded_users_modules().items() if name in new and name != source}
    loaded = Loaded(module, {}, brought={source} & new)
    loaded.note({**more, **_as_modules(read - {key}, loaded)})
    _LOADED[key] = loaded
    return loaded


@contextmanager
def noting(reference: str) -> Iterator[None]:
    """What the user's functions import or read while they run is theirs."""
    before = set(sys.modules)
    with opened_files.python_files() as read:
        yield
    source = reference.rpartition(":")[0]
    if read and (loaded := _LOADED.get(_key_of(source))) is not None:
        LATE.setdefault(reference, {}).update(_as_modules(read, loaded))
    if new := sys.modules.keys() - before:
        more = {name: spec for name, spec in user_code.loaded_users_modules().items() if name in new}
        LATE.setdefault(reference, {}).update({**user_code.imported_by(more.values()), **more})


def forget_changed() -> None:
    """Let everything be imported anew that has changed on the disk since: a process may live long, as a notebook's."""
    for key, loaded in list(_LOADED.items()):
        if loaded.stamps != _read_stamps(loaded.stamps):
            _forget(loaded.brought | {loaded.module.__name__})
            del _LOADED[key]


def _key_of(source: str) -> str:
    return str(Path(source).resolve()) if source.endswith(".py") else source


def _as_modules(read: set[str], loaded: Loaded) -> dict[str, ModuleSpec]:
    return opened_files.as_modules(read, os.path.dirname(loaded.file)) if loaded.file else {}


def _executed(path: Path) -> tuple[ModuleType, set[str]]:
    name = user_code.OF_FILE + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{str(path)!r} is no file of Python")
    _make_room(user_code.beside(spec, str(path.parent)), str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with user_code.searched_first(str(path.parent)), opened_files.python_files() as read:
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module, read


def _imported(name: str) -> tuple[ModuleType, set[str]]:
    folder, top = os.getcwd(), name.partition(".")[0]
    if (here := PathFinder.find_spec(top, [folder])) is not None:
        _make_room({top: here}, name)
    with user_code.searched_first(folder), opened_files.python_files() as read:
        module = importlib.import_module(name)
    return module, read


def _make_room(wanted: dict[str, ModuleSpec], who: str) -> None:
    """Forget modules that another file brought, and that have a name which means another module for this one.

    Raises:
        InputError: the program itself has imported one of them.
    """
    brought = {name for found in [*(loaded.brought for loaded in _LOADED.values()), *LATE.values()] for name in found}
    for name, spec in wanted.items():
        there = user_code.located(name) if name in sys.modules else None
        if there is None or user_code.same_place(there, spec) or not user_code.is_users(there):
            continue
        if name not in brought:
            raise InputError(
                f"{who} means {spec.origin} by {name!r}, and this program has imported another module of that name, "
                f"{there.origin}; rename one of them"
            )
        _forget({other for other in brought if other.partition(".")[0] == name})


def _forget(names: set[str]) -> None:
    for name in names:
        sys.modules.pop(name, None)


def _spec_of(module: ModuleType) -> list[ModuleSpec]:
    return [] if module.__spec__ is None else [module.__spec__]


def _read_stamps(files: Iterable[str | None]) -> dict[str, tuple[int, int]]:
    """Read when the files were changed last, and their sizes; those within an archive have none."""
    stats = {file: os.stat(file) for file in files if file and os.path.exists(file)}
    return {file: (stat.st_mtime_ns, stat.st_size) for file, stat in stats.items()}
