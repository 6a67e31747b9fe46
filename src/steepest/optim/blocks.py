"""What is one block: a layer when parameters come with names, else the tensor alone."""

from collections.abc import Hashable

from torch import Tensor


def block_of(param: Tensor, name: str | None) -> Hashable:
    """Block of a parameter: the module path of its name, so that a layer's weight and bias share one block.

    Without a name the tensor is its own block.

    Example:
        >>> import torch
        >>> block_of(torch.zeros(2), "layer1.0.conv1.weight")
        'layer1.0.conv1'
    """
    return id(param) if name is None else name.rpartition(".")[0]
