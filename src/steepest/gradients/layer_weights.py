"""What a layer's weight is, where it is computed from other tensors."""

from typing import cast

from torch import Tensor, nn

# What torch's weight_norm, spectral_norm and pruning make of a layer's `weight`, before there were parametrizations.
_COMPUTED_FROM = ("weight_g", "weight_v", "weight_orig")


def weights_of(layer: nn.Module) -> list[tuple[str, Tensor]]:
    """The layer's weight by its name, or the tensors of 2 and more dimensions that it is computed from.

    Example:
        >>> [name for name, _ in weights_of(nn.Linear(2, 3))]
        ['weight']
        >>> [name for name, _ in weights_of(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)))]
        ['parametrizations.weight.original0', 'parametrizations.weight.original1']
    """
    if (weight := layer._parameters.get("weight")) is not None:
        return [("weight", weight)]
    named = [(name, layer._parameters.get(name)) for name in _COMPUTED_FROM]
    found = [(name, weight) for name, weight in named if weight is not None]
    parametrizations = cast("nn.ModuleDict", layer._modules.get("parametrizations") or {})
    if "weight" in parametrizations:
        inner = parametrizations["weight"].named_parameters()
        found += [(f"parametrizations.weight.{name}", weight) for name, weight in inner]
    return [(name, weight) for name, weight in found if weight.dim() >= 2]
