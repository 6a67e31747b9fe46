"""Weight decay where it belongs: parameter groups by module type, names kept."""

import re
from typing import Any

from torch import Tensor, nn

from steepest.optim.arguments import check_number

NORM_LAYERS: tuple[type[nn.Module], ...] = (
    nn.modules.batchnorm._NormBase,  # BatchNorm, SyncBatchNorm and InstanceNorm of every dimension
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)
# The word, in LlamaRMSNorm, T5LayerNorm, Layernorm2d, BatchNormAct2d, layer_norm or LayerNormalization; not in Normal.
_NORM_IN_A_NAME = re.compile(r"(?i:norm)(?:(?i:ali[sz]ation)|(?![a-z]))")


def param_groups(
    model: nn.Module, weight_decay: float, *, no_decay: tuple[type[nn.Module], ...] = NORM_LAYERS
) -> list[dict[str, Any]]:
    """Split a model's parameters into a group with weight decay and one without: biases and normalisation layers.

    The split goes by the *type* of the module that owns a parameter. Besides the types of ``no_decay``, normalisation
    layers that are not torch's own are recognised: by ``Norm`` in the name of their class or of one that it extends
    (``LlamaRMSNorm``, ``T5LayerNorm``, ``LayerNorm2d``), or by a one-dimensional parameter that is all ones, as a gain
    is before training (a trained model whose layers have no such name needs their type in ``no_decay``). Of these only
    what is one vector is passed over: a matrix is decayed, whatever its module is called. :func:`decayed_names` lists
    the outcome; look at it once for a model that is not torch's alone.

    Parameters keep their names, so layer-wise methods find a layer's weight and bias even across the two groups.
    A parameter shared by several modules appears once, and is not decayed if any of its owners says so.

    Args:
        model: any module; frozen parameters are included, optimizers pass over them while they have no gradient.
        weight_decay: decay of the first group, at least 0; the second group's is 0.
        no_decay: module types whose own parameters are not decayed; add your own here. Of torch's normalisation layers
            those that you leave out are decayed.

    Returns:
        Up to two group dicts ``{"params": [(name, tensor), ...], "weight_decay": float}``; an empty group is left out.

    Raises:
        ValueError: an argument is out of range, or the model has no parameters.

    Example:
        >>> groups = param_groups(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)), weight_decay=5e-4)
        >>> [(group["weight_decay"], [name for name, _ in group["params"]]) for group in groups]
        [(0.0005, ['0.weight']), (0.0, ['0.bias', '1.weight', '1.bias'])]
    """
    words = "a finite number of at least 0"
    check_number("weight_decay", weight_decay, words, lambda decay: 0 <= decay < float("inf"))
    decayed, undecayed = _split(model, no_decay)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def decayed_names(model: nn.Module, *, no_decay: tuple[type[nn.Module], ...] = NORM_LAYERS) -> list[str]:
    """Names of the parameters that :func:`param_groups` decays.

    Raises:
        ValueError: an argument is of a wrong type, or the model has no parameters.

    Example:
        >>> decayed_names(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)))
        ['0.weight']
    """
    return [name for name, _ in _split(model, no_decay)[0]]


def _split(
    model: nn.Module, no_decay: tuple[type[nn.Module], ...]
) -> tuple[list[tuple[str, Tensor]], list[tuple[str, Tensor]]]:
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(no_decay, tuple) or not all(isinstance(t, type) for t in no_decay):
        raise ValueError(f"no_decay must be a tuple of module types, got {no_decay!r}")
    undecayed: set[Tensor] = set()
    for module in model.modules():
        for name, param in module.named_parameters(recurse=False):
            if isinstance(module, no_decay) or _is_bias(name) or _belongs_to_foreign_norm(module, param):
                undecayed.add(param)
    named = list(model.named_parameters())
    if not named:
        raise ValueError(f"model must have parameters, got {type(model).__name__} with none")
    return [(n, p) for n, p in named if p not in undecayed], [(n, p) for n, p in named if p in undecayed]


def _is_bias(name: str) -> bool:
    return name == "bias" or name.startswith("bias_") or name.endswith("_bias")


def _belongs_to_foreign_norm(module: nn.Module, param: Tensor) -> bool:
    """Say whether it is the gain or bias of a normalisation layer that is not torch's."""
    if isinstance(module, NORM_LAYERS) or isinstance(param, nn.UninitializedParameter):
        return False
    if sum(size > 1 for size in param.shape) > 1:
        return False
    named = any(_NORM_IN_A_NAME.search(kind.__name__) for kind in type(module).__mro__)
    return (named and not isinstance(module, nn.Linear | nn.modules.conv._ConvNd)) or _is_all_ones(param)


def _is_all_ones(param: Tensor) -> bool:
    if param.dim() != 1 or param.numel() < 2 or param.is_meta:
        return False
    values = param.detach()
    return bool((values.full_tensor() if hasattr(values, "full_tensor") else values).eq(1).all())
