"""What a compressed network is held against: other ways to make the same base network small."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from steepest.compression.format.writing import format_file
from steepest.compression.net import Net
from steepest.compression.pruning import global_masks
from steepest.compression.training import Trainer
from steepest.compression.weights import Place

HALVINGS = 12  # of the sparsities between which a file has a size


def pruned_to(trainer: Trainer, size: int) -> Net:
    """The base network pruned by magnitude, all layers together, until its file has at most so many bytes, or nearly
    all weights are gone; before any retraining."""
    net = Net.of(trainer.model)
    weights = {key: net.shadow[key] for key in trainer.places}
    low, high = 0.0, 1 - 1e-4
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        small = replace(net, masks=global_masks(weights, middle))
        if len(format_file(small.plain(trainer.model).state_dict())) > size:
            low = middle
        else:
            high = middle
    return replace(net, masks=global_masks(weights, high))


def in_eight_bits(model: nn.Module, places: "list[Place]") -> tuple[nn.Module, dict[str, Tensor]]:
    """A copy whose weights are multiples of a step of their output channel's, from -127 to 127, and what a file of it
    holds: those integers (int8), a step for each channel, and all other tensors.

    Nothing is trained: 8-bit quantisation after training, of weights alone.
    """
    net = Net.of(model)
    shadow, stored = dict(net.shadow), dict(net.shadow)
    for place in places:
        weight = net.shadow[place.key]
        over = tuple(range(1, weight.dim()))
        step = (weight.abs().amax(dim=over, keepdim=True) / 127).clamp(min=torch.finfo(weight.dtype).tiny)
        levels = (weight / step).round()
        shadow[place.key] = levels * step
        stored[place.key] = levels.to(torch.int8)
        stored[f"{place.key}.step"] = step.reshape(-1)
    return Net(shadow).plain(model).eval(), stored


def dense_bytes(state: "dict[str, Tensor]") -> int:
    """What the tensors take in memory, in their own dtypes."""
    return sum(math.prod(tensor.shape) * tensor.element_size() for tensor in state.values())
