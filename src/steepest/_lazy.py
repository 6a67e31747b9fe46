"""Names of a package that are imported once they are asked for: torch takes seconds to load, and much does without."""

import importlib
from collections.abc import Callable, Collection, Mapping
from typing import Any


def lazy_names(
    namespace: dict[str, Any], homes: Mapping[str, Collection[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__`` (PEP 562).

    Args:
        namespace: the package's ``globals()``.
        homes: modules, and the names that each of them gives; one in the package itself is such a name too.
    """
    package = namespace["__name__"]
    home_of = {name: home for home, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if f"{package}.{name}" in homes:
            return importlib.import_module(f"{package}.{name}")
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        namespace[name] = getattr(importlib.import_module(home_of[name]), name)
        return namespace[name]

    def names() -> list[str]:
        return sorted({*namespace, *home_of})

    return get, names
