"""How all methods of a comparison are trained, in words."""

from collections.abc import Callable, Mapping
from typing import Any

from steepest.compare.spec import Spec
from steepest.training.definitions.recipe import PLAIN

_WITH: dict[str, Callable[[Any], str]] = {
    "warmup": lambda share: f"the lr rises over the first {100 * share:g} % of a run",
    "clip": lambda norm: f"gradients clipped to a norm of {norm:g}",
    "accumulate": lambda pieces: f"batches evaluated in {pieces} pieces",
    "precision": lambda name: f"computed in {name}",
    "compile": lambda _: "models compiled",
    "ema": lambda decay: f"tested at an average of the weights that decays by {decay:g} a step",
    "keep_best": lambda _: "the weights of the best validation tested as well",
}
_WITHOUT = {
    "warmup": "no warm-up",
    "clip": "not clipped",
    "accumulate": "batches evaluated whole",
    "precision": "computed in float32",
    "compile": "not compiled",
    "ema": "tested at its own weights",
    "keep_best": "only the last weights tested",
}


def recipe_sentence(spec: Spec) -> str:
    """How all methods are trained, and those that say otherwise; empty for plain runs."""
    found = [_spell_recipe(spec.recipe)] if spec.recipe else []
    found += [f"otherwise for {m.name}: {_spell_recipe(m.recipe)}" for m in spec.methods if m.recipe]
    return "; ".join(found)


def _spell_recipe(recipe: Mapping[str, Any]) -> str:
    said = (_WITHOUT[name] if value == getattr(PLAIN, name) else _WITH[name](value) for name, value in recipe.items())
    return ", ".join(said)


def clipping_sentence(spec: Spec) -> str:
    """What clipping by norm is to a method that normalises."""
    if spec.recipe.get("clip") is None:
        return ""
    return (
        "Clipping: a method that divides the whole gradient by its norm, as sngm does, takes the same steps with it "
        "and without; one that divides each block by its own is not touched either, unless an epsilon matters."
    )
