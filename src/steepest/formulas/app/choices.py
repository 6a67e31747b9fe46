"""What a training can be made of: networks, methods, and the symbols that come with the package."""

from functools import cache
from typing import Any

from steepest._errors import InputError
from steepest.formulas.logic import LABELS
from steepest.formulas.recognition.networks import ACTIVATIONS
from steepest.formulas.recognition.settings import EPOCHS, Settings
from steepest.formulas.sets import SymbolSet
from steepest.formulas.sets.made import make_symbols
from steepest.training.builtin import METHODS
from steepest.training.builtin.order_estimators import ORDER_ESTIMATORS
from steepest.training.code.lookup import find_method
from steepest.training.definitions.range import Range
from steepest.training.definitions.schedule import SCHEDULES

MADE = "shipped with steepest"
_SEED = 19
MADE_EACH = 100  # symbols of each class
OWN_TIMES = 5  # that a symbol of the user's comes in an epoch beside those that are shipped
FULL_BATCH = ("gradient-descent", "rprop")


@cache
def method_names() -> tuple[str, ...]:
    """The methods of ``steepest compare`` that can train a classifier; those of the paper first."""
    return tuple(name for name in (*FULL_BATCH, *METHODS) if name not in ORDER_ESTIMATORS and _is_known(name))


@cache
def list_choices() -> dict[str, Any]:
    """What the page offers, and what is taken by default."""
    found = []
    for name in method_names():
        method, values = Settings(method=name).find_method()
        searched = method.space.get("lr")
        found.append(
            {
                "name": name,
                "description": method.description,
                "lr": values.get("lr") if "lr" in method.space else None,
                "range": [searched.low, searched.high] if isinstance(searched, Range) else None,
            }
        )
    return {
        "networks": EPOCHS,
        "methods": found,
        "schedules": sorted(SCHEDULES),
        "activations": sorted(ACTIVATIONS),
        "made": made_count(),
        "own_times": OWN_TIMES,
    }


def made_count() -> int:
    """How many symbols that come with the package a training takes."""
    return MADE_EACH * len(LABELS)


@cache
def made_symbols() -> SymbolSet:
    """The symbols that come with the package, of the seed that no shipped model was made with."""
    return make_symbols(MADE_EACH, _SEED)


def _is_known(name: str) -> bool:
    try:
        find_method(name)
    except InputError:
        return False
    return True
