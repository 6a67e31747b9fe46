"""Global magnitude pruning."""

from collections.abc import Mapping

import torch
from torch import Tensor


def global_masks(weights: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    """Masks (bool) of the largest weights of all layers together, so that a share ``sparsity`` of them is left out.

    Exactly ``round(sparsity * all)`` are left out: of weights of the same magnitude those that come first. Weights that
    are 0 already are the first to go, and are left out beyond that, too.

    Args:
        weights: by name.
        sparsity: in [0, 1).

    Example:
        >>> found = global_masks({"a": torch.tensor([3.0, -1.0]), "b": torch.tensor([0.5, 2.0])}, 0.5)
        >>> found["a"].tolist(), found["b"].tolist()
        ([True, False], [False, True])
    """
    flat = torch.cat([weight.detach().abs().reshape(-1).cpu().double() for weight in weights.values()])
    kept = flat > 0
    kept[flat.argsort(stable=True)[: round(sparsity * len(flat))]] = False
    found, start = {}, 0
    for name, weight in weights.items():
        found[name] = kept[start : start + weight.numel()].reshape(weight.shape).to(weight.device)
        start += weight.numel()
    return found


def share_of_zeros(mask: Tensor) -> float:
    """How much of a weight a mask leaves out."""
    return 1 - float(mask.sum()) / max(mask.numel(), 1)
