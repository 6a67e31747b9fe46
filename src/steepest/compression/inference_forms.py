"""Which layers of a network have other forms for a CPU, and these forms."""

import contextlib
from typing import TypeGuard

import torch
from torch import Tensor, nn

from steepest.compression import sparse_pointwise
from steepest.compression.sparse_linear import FORMS, SparseLinear
from steepest.compression.sparse_pointwise import SparsePointwise, is_pointwise
from steepest.compression.ternary_linear import ReducedLinear, TernaryLinear, find_fault

ZEROS = 0.5  # share that a layer needs at least to be measured, unless it is ternary

Replaceable = nn.Linear | nn.Conv1d | nn.Conv2d


def is_replaceable(layer: nn.Module) -> TypeGuard[Replaceable]:
    """Whether a layer has another form that may be faster; what it shares with others is not looked at."""
    if type(layer) is not nn.Linear and not (type(layer) in (nn.Conv1d, nn.Conv2d) and is_pointwise(layer)):
        return False
    if layer._forward_hooks or layer._forward_pre_hooks or layer.weight.dtype not in (torch.float32, torch.float64):
        return False
    return share_zeros(layer.weight) >= ZEROS or find_fault(layer.weight) is None


def share_zeros(weight: Tensor) -> float:
    """The share of a weight's values that are zero."""
    return float((weight == 0).double().mean())


def make_forms(layer: Replaceable, x: Tensor) -> dict[str, nn.Module]:
    """The layer in every form that this build of torch can multiply by, ``dense`` first."""
    weight, bias = layer.weight, layer.bias
    others: dict[str, nn.Module] = {}
    if isinstance(layer, nn.Linear):
        zero = weight == 0
        if bool(zero.all(dim=0).any() or zero.all(dim=1).any()):
            others["reduced"] = ReducedLinear(weight, bias)
        kind = TernaryLinear if find_fault(weight) is None else SparseLinear
        others |= {form: kind(weight, bias, form) for form in FORMS}
    else:
        others |= {form: SparsePointwise(weight, bias, form) for form in sparse_pointwise.FORMS}
    forms: dict[str, nn.Module] = {"dense": layer}
    for form, candidate in others.items():
        with contextlib.suppress(RuntimeError):  # without MKL torch cannot multiply by some
            candidate(x)
            forms[form] = candidate
    return forms
