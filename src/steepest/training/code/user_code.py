"""The user's own modules: what a program imports that is neither Python's, nor installed, nor ours.

A module counts as the user's by where it lies: not in the library of this Python, not in a folder that packages are
installed into, not in this package. What a module imports is read from its source, the imports within functions among
them, so that the answer does not depend on what has run; what is imported by a computed name is seen once it is there.
"""

import ast
import functools
import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

import steepest

_IMPORTERS = ("import_module", "__import__")
OF_FILE = "steepest_user_"  # in front of the name of a module that is a file that a user named


class _BesideFiles:
    """Find what the user's files import from beside them, whenever that is: ``sys.path`` stays as it was."""

    def __init__(self) -> None:
        self.folders: list[str] = []

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, self.folders, target) if path is None and self.folders else None

    def use(self, folders: Iterable[str]) -> None:
        self.folders = list(dict.fromkeys(map(os.path.abspath, folders)))
        if self not in sys.meta_path:
            before = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
            sys.meta_path.insert(before, self)


BESIDE_FILES = _BesideFiles()


@contextmanager
def searched_first(folder: str) -> Iterator[None]:
    """Import from a folder as ``python folder/file.py`` would, and from no other user's folder meanwhile. Later imports
    find it too, and what the code adds to ``sys.path``."""
    before, others = list(sys.path), BESIDE_FILES.folders
    sys.path.insert(0, folder)
    BESIDE_FILES.folders = []
    try:
        yield
        others = [*(entry for entry in sys.path if entry not in before), *others]
    finally:
        sys.path[:] = before
        BESIDE_FILES.use(others)


def digest_of_module(spec: ModuleSpec) -> str:
    """SHA-256 of a module's file: its source, or whatever it is loaded from."""
    return hashlib.sha256(_bytes_of(spec)).hexdigest()


def is_users(spec: ModuleSpec | None) -> bool:
    """Whether a module is the user's own; a namespace package is nobody's, for it has no file."""
    if spec is None or not spec.has_location or spec.origin is None:
        return False
    if spec.origin.startswith(_library_folders()):  # which most are, and a link takes long to follow
        return False
    place = os.path.realpath(spec.origin)
    if place.startswith(_library_folders()):
        return False
    depth = spec.name.count(".") + (spec.submodule_search_locations is not None)
    return not _holds_installations(str(Path(place).parents[min(depth, len(Path(place).parents) - 1)]))


def is_users_file(path: str) -> bool:
    """Whether a file lies where no packages are installed."""
    return _is_users_file(path) and not any(_holds_installations(str(folder)) for folder in Path(path).parents)


def same_place(one: ModuleSpec, other: ModuleSpec) -> bool:
    """Whether two finds are one module; of packages without a file, whether they share a folder."""
    if one.origin is None or other.origin is None:
        folders = [{os.path.realpath(f) for f in spec.submodule_search_locations or ()} for spec in (one, other)]
        return bool(folders[0] & folders[1])
    return _file_of(one) == _file_of(other)


def imported_by(roots: Iterable[ModuleSpec]) -> dict[str, ModuleSpec]:
    """The user's modules that these import, and those import, and so on, the roots left out; by name."""
    left = list(roots)
    own = {_file_of(root) for root in left}
    found: dict[str, ModuleSpec] = {}
    asked: dict[str, ModuleSpec | None] = {}
    while left:
        for name in _find_imported_names(left.pop()):
            if name in asked or not _may_be_users(name, asked):
                continue
            spec = asked[name] = located(name)
            if spec is not None and is_users(spec):
                found[name] = spec
                left.append(spec)
    return {name: spec for name, spec in sorted(found.items()) if _file_of(spec) not in own}


def beside(root: ModuleSpec, folder: str) -> dict[str, ModuleSpec]:
    """What a file and its imports would import from its folder, as modules without a dot in their names."""
    found: dict[str, ModuleSpec] = {}
    left = [root]
    while left:
        for name in _find_imported_names(left.pop()):
            top = name.partition(".")[0]
            spec = found[top] if top in found else PathFinder.find_spec(top, [folder])
            if spec is not None and top not in found:
                found[top] = spec
                left.append(spec)
    return found


def located(name: str) -> ModuleSpec | None:
    """Where a module is, or would be, imported from; imports nothing."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if isinstance(loaded, ModuleSpec):
        return loaded
    parent, _, _ = name.rpartition(".")
    if not parent:
        return _asked_finders(name, None)
    package = located(parent)
    if package is None or package.submodule_search_locations is None:
        return None
    return _asked_finders(name, package.submodule_search_locations)


def loaded_users_modules() -> dict[str, ModuleSpec]:
    """The user's modules that this process has imported by their names; what a compiler makes up is none."""
    found, libraries = {}, _library_folders()
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if name == "__main__" or not isinstance(spec, ModuleSpec):
            continue
        if spec.origin is None or spec.origin.startswith(libraries):
            continue
        if not name.startswith(OF_FILE) and _lies_as_named(name, spec.origin) and is_users(spec):
            found[name] = spec
    return found


def place_of(error: BaseException, near: str | None = None) -> str | None:
    """File and line of the user's own code that an error comes from, the innermost; ``None`` if it has none. Files in
    the folder ``near``, and in those that modules are imported from, are named as seen from there.

    Example:
        >>> namespace = {}
        >>> exec(compile("def f(): return {}['foo']", "/home/me/mynet.py", "exec"), namespace)
        >>> try:
        ...     namespace["f"]()
        ... except KeyError as error:
        ...     place_of(error)
        '/home/me/mynet.py, line 1'
    """
    if isinstance(error, SyntaxError) and error.filename and _is_users_file(error.filename):
        return f"{_shorten(error.filename, near)}, line {error.lineno}"
    place = None
    step = error.__traceback__
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if _is_users_file(name):
            place = f"{_shorten(name, near)}, line {step.tb_lineno}"
        step = step.tb_next
    return place


def told(error: BaseException, near: str | None = None) -> str:
    """Type, first line and place of an error that the user's code raised, for the end of a sentence.

    Where the first line only announces, as torch's does, the next one is told too.
    """
    while isinstance(error, BaseExceptionGroup):  # which says how many they are, and not what
        error = error.exceptions[0]
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    place = place_of(error, near)
    if len(lines) > 1 and lines[0].endswith(":"):
        lines[0] = f"{lines[0]} {lines[1]}"
    said = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return f"{said} ({place})" if place else said


def _bytes_of(spec: ModuleSpec) -> bytes:
    origin = str(spec.origin)
    read = getattr(spec.loader, "get_data", None)
    found: bytes = read(origin) if read is not None else Path(origin).read_bytes()
    return found[16:] if origin.endswith(".pyc") else found  # its head says when its source was written


def _file_of(spec: ModuleSpec) -> str:
    return os.path.realpath(str(spec.origin))


@functools.cache
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = [paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages(), str(Path(steepest.__file__).parent)]
    return tuple({path + os.sep for folder in folders for path in (folder, os.path.realpath(folder))})


@functools.cache
def _holds_installations(folder: str) -> bool:
    """Say whether packages are installed here, as with ``pip install --target``."""
    return next(Path(folder).glob("*.dist-info"), None) is not None


def _is_users_file(name: str) -> bool:
    if name.startswith("<"):
        return name.startswith("<ipython-input")
    return os.path.isabs(name) and not os.path.realpath(name).startswith(_library_folders())


def _shorten(name: str, near: str | None) -> str:
    """Name a file as seen from the nearest folder that it was imported from."""
    full = os.path.realpath(name)
    bases = [os.path.realpath(folder) + os.sep for folder in [near or "", *BESIDE_FILES.folders, *sys.path]]
    return min([full, *(full.removeprefix(base) for base in bases)], key=len)


def _lies_as_named(name: str, origin: str) -> bool:
    path, parts = Path(origin), name.split(".")
    stem = path.name.partition(".")[0]
    return (*path.parent.parts, stem)[-len(parts) :] == tuple(parts) or (
        stem == "__init__" and path.parent.parts[-len(parts) :] == tuple(parts)
    )


def _may_be_users(name: str, asked: dict[str, ModuleSpec | None]) -> bool:
    """Say whether it is not of an installed package, whose many parts need not be looked for one by one."""
    top = name.partition(".")[0]
    if top == name:
        return True
    if top not in asked:
        asked[top] = located(top)
    package = asked[top]
    return package is not None and (package.origin is None or is_users(package))


def _asked_finders(name: str, path: object) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        found = None if find is None else find(name, path)
        if isinstance(found, ModuleSpec):
            return found
    return None


def _find_imported_names(spec: ModuleSpec) -> Iterator[str]:
    """Yield names of what the source of a module may import; without a source, as of a compiled extension, none are
    known."""
    try:
        raw = _bytes_of(spec)
        tree = ast.parse(raw) if str(spec.origin).endswith((".py", ".pyw")) else ast.Module([], [])
    except (SyntaxError, ValueError, OSError):  # whoever imports it says so
        return
    package = spec.name if spec.submodule_search_locations is not None else spec.name.rpartition(".")[0]
    for node in ast.walk(tree):
        for name in _names_in(node, package):
            parts = name.split(".")
            yield from (".".join(parts[: i + 1]) for i in range(len(parts)))


def _names_in(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        if base:
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        literal = node.args[0].value
        if called in _IMPORTERS and isinstance(literal, str) and literal and not literal.startswith("."):
            yield literal


def digests_of(modules: Mapping[str, ModuleSpec]) -> dict[str, str]:
    """Of all that are there: one whose file is gone, nobody can import any more."""
    found = {}
    for name, spec in sorted(modules.items()):
        with suppress(OSError):
            found[name] = digest_of_module(spec)
    return found
