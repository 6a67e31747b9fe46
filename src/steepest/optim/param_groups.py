"""Weight decay where it belongs: parameter groups by module type, names kept."""

from typing import Any

from torch import Tensor, nn

NORM_LAYERS: tuple[type[nn.Module], ...] = (
    nn.modules.batchnorm._NormBase,  # BatchNorm, SyncBatchNorm and InstanceNorm of every dimension
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


def param_groups(
    model: nn.Module, weight_decay: float, *, no_decay: tuple[type[nn.Module], ...] = NORM_LAYERS
) -> list[dict[str, Any]]:
    """Split a model's parameters into a group with weight decay and one without: biases and normalisation layers.

    The split goes by the *type* of the module that owns a parameter, never by its name or number of dimensions.
    Parameters keep their names, so layer-wise methods find a layer's weight and bias even across the two groups.
    A parameter shared by several modules appears once, and is not decayed if any of its owners says so.

    Args:
        model: any module; frozen parameters are included, optimizers pass over them while they have no gradient.
        weight_decay: decay of the first group, at least 0; the second group's is 0.
        no_decay: module types whose own parameters are not decayed; add your own normalisation layers here.

    Returns:
        Up to two group dicts ``{"params": [(name, tensor), ...], "weight_decay": float}``; an empty group is left out.

    Raises:
        ValueError: ``weight_decay`` is negative or not finite, or the model has no parameters.

    Example:
        >>> groups = param_groups(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)), weight_decay=5e-4)
        >>> [(group["weight_decay"], [name for name, _ in group["params"]]) for group in groups]
        [(0.0005, ['0.weight']), (0.0, ['0.bias', '1.weight', '1.bias'])]
    """
    if not 0 <= weight_decay < float("inf"):
        raise ValueError(f"weight_decay must be a finite number of at least 0, got {weight_decay!r}")
    undecayed: set[Tensor] = set()
    for module in model.modules():
        for name, param in module.named_parameters(recurse=False):
            if isinstance(module, no_decay) or name == "bias" or name.startswith("bias_") or name.endswith("_bias"):
                undecayed.add(param)
    named = list(model.named_parameters())
    if not named:
        raise ValueError(f"model must have parameters, got {type(model).__name__} with none")
    groups: list[dict[str, Any]] = [
        {"params": [(n, p) for n, p in named if p not in undecayed], "weight_decay": weight_decay},
        {"params": [(n, p) for n, p in named if p in undecayed], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
