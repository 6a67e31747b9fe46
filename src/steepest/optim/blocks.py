"""What is one block: a layer when parameters come with names, else the tensor alone."""

import re
from collections.abc import Hashable, Iterable

from torch import Tensor

# What `torch.nn.utils.parametrize` makes of a layer's weight: the tensors it is computed from.
_PARAMETRIZED = re.compile(r"(?:(?P<layer>.+?)\.)?parametrizations\.[^\W\d]\w*\.(?:original\d*|\d+\..+)")


def block_of(param: Tensor, name: str | None) -> Hashable:
    """Block of a parameter: the module path of its name, so that a layer's weight and bias share one block.

    So do the tensors that a parametrization (``weight_norm``, ``spectral_norm``) computes the weight from. Without a
    name the tensor is its own block.

    Example:
        >>> import torch
        >>> block_of(torch.zeros(2), "layer1.0.conv1.weight")
        'layer1.0.conv1'
        >>> block_of(torch.zeros(2), "layer1.0.conv1.parametrizations.weight.original0")
        'layer1.0.conv1'
    """
    if name is None:
        return id(param)
    if parametrized := _PARAMETRIZED.fullmatch(name):
        return parametrized["layer"] or ""
    return name.rpartition(".")[0]


def refuse_repeated_names(names: Iterable[tuple[str, Tensor]]) -> None:
    """Raise if two tensors have one name: their layers would silently become one block.

    The same tensor may come twice.

    Raises:
        ValueError: a name stands for two tensors; the sentence says how to tell them apart. Or it is no string.

    Example:
        >>> import torch
        >>> refuse_repeated_names([("0.weight", torch.zeros(2)), ("1.weight", torch.zeros(2))])
    """
    seen: dict[str, Tensor] = {}
    for name, tensor in names:
        if not isinstance(name, str):
            raise ValueError(f"the name of a parameter must be a string, got {name!r}")
        if seen.setdefault(name, tensor) is not tensor:
            raise ValueError(
                f"two parameters are named {name!r}: layers are known by their names, so give each network a prefix of "
                "its own, as torch.nn.ModuleDict({'encoder': encoder, 'decoder': decoder}).named_parameters() or "
                "((f'decoder.{name}', p) for name, p in decoder.named_parameters()) does"
            )
