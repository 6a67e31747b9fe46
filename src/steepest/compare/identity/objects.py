"""A digest of what a program gives as objects: of code and values, the same in every process that makes them alike.

The bytes of a pickle will not do: they hold file names, line numbers and the order of sets. So it follows what
cloudpickle would send: functions and classes of a script, a notebook or a closure by their bytecode, constants,
defaults and the values they refer to; those of an importable module by name, and :attr:`ObjectDigest.modules` has the
user's modules among these, whose files are to be digested.
"""

import copyreg
import dis
import functools
import hashlib
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from steepest.training.code.user_code import is_users, located

_MADE_BY_PYTHON = {
    "__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__", "__slotnames__",
    "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "_abc_impl", "__qualname__",
}  # fmt: skip
_AS_WRITTEN = (type(None), bool, int, float, complex, str, bytes, type(...), range, torch.dtype, torch.device)
_WITHOUT_STATE = (types.BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType,
                  types.MethodDescriptorType, types.ClassMethodDescriptorType, types.GetSetDescriptorType,
                  types.MemberDescriptorType)  # fmt: skip


class ObjectDigest:
    """Digests of objects of one program.

    Example:
        >>> [ObjectDigest().of(f) == ObjectDigest().of(lambda x: x + 1) for f in (lambda y: y + 1, lambda x: x + 2)]
        [False, False]
        >>> ObjectDigest().of({"a": {3, 1}}) == ObjectDigest().of({"a": {1, 3}})
        True
    """

    def __init__(self) -> None:
        self.modules: set[str] = set()
        """Names of the user's modules that the objects are from."""
        self._known: dict[int, tuple[str, object]] = {}  # with the object, so that its id stays its own
        self._open: set[int] = set()

    def of(self, value: object) -> str:
        """SHA-256 of what a value is; of what cannot be pickled, such as a lock, of its type."""
        if isinstance(value, _AS_WRITTEN):
            return _hashed("value", type(value).__name__, repr(value))
        if isinstance(value, float | complex):
            return _hashed("value", type(value).__name__, repr(value))
        if id(value) in self._known:
            return self._known[id(value)][0]
        if id(value) in self._open:
            return _hashed("within itself", type(value).__name__, getattr(value, "__qualname__", ""))
        self._open.add(id(value))
        try:
            found = _hashed(*self._parts(value))
        finally:
            self._open.discard(id(value))
        self._known[id(value)] = found, value
        return found

    def _parts(self, value: Any) -> Iterator[str]:
        if isinstance(value, types.ModuleType):
            self._note_module(value.__name__)
            yield from ("module", value.__name__)
        elif isinstance(value, type | types.FunctionType) and self._is_found_by_name(value):
            yield from ("name", value.__module__, value.__qualname__)
        elif isinstance(value, types.FunctionType):
            yield from self._function(value)
        elif isinstance(value, type):
            yield from self._class(value)
        elif isinstance(value, types.CodeType):
            yield from self._code(value)
        elif isinstance(value, torch.Tensor):
            yield from self._tensor(value)
        elif isinstance(value, np.ndarray) and value.dtype != object:
            yield from ("array", value.dtype.str, repr(value.shape), hashlib.sha256(value.tobytes()).hexdigest())
        elif isinstance(value, list | tuple) and type(value) in (list, tuple):
            yield from (type(value).__name__, *map(self.of, value))
        elif type(value) is dict:
            yield from ("dict", *self._pairs(value))
        elif isinstance(value, types.MappingProxyType):
            yield from ("mapping", *self._pairs(dict(value)))
        elif isinstance(value, set | frozenset):
            yield from (type(value).__name__, *sorted(map(self.of, value)))
        else:
            yield from self._instance(value)

    def _function(self, value: types.FunctionType) -> Iterator[str]:
        yield from ("function", value.__name__, *self._code(value.__code__))
        yield from (self.of(value.__defaults__), self.of(value.__kwdefaults__), self.of(vars(value)))
        for cell in value.__closure__ or ():
            try:
                yield self.of(cell.cell_contents)
            except ValueError:
                yield "empty cell"
        for name in sorted(set(_globals_in(value.__code__))):
            if name in value.__globals__:
                yield from (name, self.of(value.__globals__[name]))
        for name in set(_find_imports(value.__code__)):
            if is_users(located(name)):
                self.modules.add(name)

    def _class(self, value: type) -> Iterator[str]:
        yield from ("class", value.__name__, *map(self.of, value.__bases__))
        yield from self._pairs({name: part for name, part in vars(value).items() if name not in _MADE_BY_PYTHON})

    def _code(self, code: types.CodeType) -> Iterator[str]:
        """Yield what makes up a code object, without names of files and numbers of lines."""
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_name)
        counts = (code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags)
        yield from ("code", code.co_code.hex(), repr(names), repr(counts), code.co_exceptiontable.hex())
        yield from map(self.of, code.co_consts)

    def _tensor(self, value: torch.Tensor) -> Iterator[str]:
        yield from (
            "tensor",
            type(value).__name__,
            str(value.dtype),
            repr(tuple(value.shape)),
            str(value.requires_grad),
        )
        if value.is_meta or value.layout != torch.strided or torch.nn.parameter.is_lazy(value):
            yield f"{value.device} {value.layout}"
        else:
            plain = value.detach().resolve_conj().resolve_neg().cpu().contiguous().flatten()
            yield hashlib.sha256(plain.view(torch.uint8).numpy().data).hexdigest()

    def _instance(self, value: Any) -> Iterator[str]:
        kind = type(value)
        yield from ("instance", self.of(kind))
        if isinstance(value, _WITHOUT_STATE):
            yield from (str(getattr(value, "__module__", "")), getattr(value, "__qualname__", ""))
            owner = getattr(value, "__self__", None)
            if owner is not None and not isinstance(owner, types.ModuleType):
                yield self.of(owner)
        elif isinstance(value, types.MethodType):
            yield from (self.of(value.__func__), self.of(value.__self__))
        elif isinstance(value, staticmethod | classmethod):
            yield self.of(value.__func__)
        elif isinstance(value, property):
            yield from map(self.of, (value.fget, value.fset, value.fdel))
        elif isinstance(value, torch.Generator):
            yield self.of(value.get_state())
        elif isinstance(value, functools.partial):
            yield from (self.of(value.func), self.of(value.args), self.of(value.keywords))
        elif hasattr(value, "cache_info") and hasattr(value, "__wrapped__"):  # what is in a cache does not count
            yield self.of(value.__wrapped__)
        else:
            yield from self._reduced(value)

    def _reduced(self, value: Any) -> Iterator[str]:
        """Yield the value as a pickle has it."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # whatever an object that cannot be pickled raises
            return
        if isinstance(reduced, str):
            yield reduced
            return
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        if make is not getattr(copyreg, "__newobj__", None):
            yield self.of(make)
        yield from (self.of(arguments), self.of(state))
        yield from map(self.of, items or ())
        if pairs is not None:
            yield from self._pairs(dict(pairs))

    def _pairs(self, values: dict[Any, Any]) -> Iterable[str]:
        return sorted(_hashed(self.of(key), self.of(value)) for key, value in values.items())

    def _is_found_by_name(self, value: Any) -> bool:
        """Say whether another process imports it: what is pickled is its name."""
        module = sys.modules.get(value.__module__ or "")
        if module is None or module.__name__ == "__main__":
            return False
        found: Any = module
        for name in value.__qualname__.split("."):
            found = getattr(found, name, None)
        if found is value:
            self._note_module(value.__module__)
        return found is value

    def _note_module(self, name: str) -> None:
        if is_users(getattr(sys.modules.get(name), "__spec__", None)):
            self.modules.add(name)


def _globals_in(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if "GLOBAL" in instruction.opname or instruction.opname == "LOAD_NAME":
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_in(constant)


def _find_imports(code: types.CodeType) -> Iterator[str]:
    """Yield the names of what a function imports when it runs."""
    listed: object = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            parts = str(instruction.argval).split(".")
            yield from (".".join(parts[: i + 1]) for i in range(len(parts)))
            yield from (f"{instruction.argval}.{name}" for name in (listed if isinstance(listed, tuple) else ()))
        listed = instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _find_imports(constant)


def _hashed(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(raw)} ".encode() + raw)
    return digest.hexdigest()
