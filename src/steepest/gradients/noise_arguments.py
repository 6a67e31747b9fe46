"""What symmetric noise may be told."""

from collections.abc import Iterable
from typing import Any, Literal, cast

from torch import Tensor
from torch.nn import UninitializedParameter
from torch.optim.optimizer import ParamsT

from steepest.optim.arguments import check_integer, check_number

Noise = Literal["sign", "gaussian"]
Per = Literal["tensor", "filter"]
Memory = Literal["copy", "regenerate"]
Statistics = Literal["both", "plus", "neither"]
_CHOICES: dict[str, tuple[object, ...]] = {
    "noise": ("sign", "gaussian"),
    "per": ("tensor", "filter"),
    "sides": (1, 2),
    "memory": ("copy", "regenerate"),
    "batch_norm": ("both", "plus", "neither"),
}


def check_noise(alpha: float, seed: int, **choices: object) -> None:
    """Raise ValueError if an option of the noise is out of range."""
    check_number("alpha", alpha, "a finite number of at least 0", lambda alpha: 0 <= alpha < float("inf"))
    check_integer("seed", seed, "an integer, the same on all ranks")
    for name, value in choices.items():
        if isinstance(value, bool) or value not in _CHOICES[name]:  # True is 1
            raise ValueError(f"{name} must be {' or '.join(map(repr, _CHOICES[name]))}, got {value!r}")


def noise_groups(params: ParamsT, alpha: float) -> list[dict[str, Any]]:
    """Group dicts of tensors, each with an ``alpha``, from what an optimizer takes."""
    if isinstance(params, Tensor):
        raise ValueError("params must be an iterable of tensors, pairs or groups, got a tensor: give [tensor]")
    given: list[Any] = list(cast("Iterable[Any]", params))
    if not given:
        raise ValueError("params must not be empty")
    groups = given if isinstance(given[0], dict) else [{"params": given}]
    made = []
    for group in groups:
        members = [group["params"]] if isinstance(group["params"], Tensor) else group["params"]
        tensors = [p[1] if isinstance(p, tuple) else p for p in members]
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise ValueError(f"params must hold tensors or (name, tensor) pairs, got {type(tensor).__name__}")
        made.append({"alpha": alpha, **group, "params": tensors})
        check_noise(made[-1]["alpha"], 0)
    return made


def refuse_unmovable(groups: Iterable[dict[str, Any]]) -> None:
    """Raise ValueError if there is nothing to move, or no way to know it yet."""
    params = [p for group in groups for p in group["params"]]
    if any(isinstance(p, UninitializedParameter) for p in params):
        raise ValueError("params must have a shape, got one of a lazy layer: run a batch through the model first")
    if not any(p.dim() >= 2 for p in params):
        raise ValueError("params must hold a weight tensor of 2 or more dimensions, got none: nothing would move")
