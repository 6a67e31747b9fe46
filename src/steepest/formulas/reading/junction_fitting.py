"""The net that looks at cuts from near, fitted to pages that are made."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from steepest.formulas.reading.junctions import SIDE, Junctions, Pictures, as_tensors

Values = NDArray[np.float64]
Truth = NDArray[np.bool_]
_CHANNELS, _HIDDEN = (8, 16, 24), 48
_EPOCHS, _PIECES, _LR, _DECAY, _DROPPED = 8, 10, 4e-3, 0.05, 0.2
_RIGHT, _MOST = 10, 28  # right cuts of a piece that are learnt from at a time at most, and cuts
_AMONG = 0.5  # how much it counts that a right cut is above the wrong ones of the same piece


class Looks(NamedTuple):
    """The cuts of a piece of ink: pictures, layouts, and which are right."""

    pictures: Pictures
    layouts: Values
    right: Truth


class _Network(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = [
            (nn.Conv2d(taken, given, 3, padding=1, bias=False), nn.BatchNorm2d(given))
            for taken, given in pairwise((2, *_CHANNELS))
        ]
        self.seen = nn.Sequential(*(part for both in self.layers for part in (*both, nn.ReLU(), nn.MaxPool2d(2))))
        self.hidden = nn.Linear(_CHANNELS[-1] * (SIDE // 2 ** len(_CHANNELS)) ** 2 + inputs, _HIDDEN)
        self.drop, self.head = nn.Dropout(_DROPPED), nn.Linear(_HIDDEN, 1)

    def forward(self, pictures: Tensor, layouts: Tensor) -> Tensor:
        told = torch.cat([self.seen(pictures).flatten(1), layouts], dim=1)
        logits: Tensor = self.head(self.drop(torch.relu(self.hidden(told))))[:, 0]
        return logits


def fit_junctions(pieces: Sequence[Looks], seed: int) -> Junctions:
    """Fit the net by AdamW: each cut right or not, and the right ones above the others of their piece.

    Args:
        pieces: of several symbols, and of one, of which no cut is right.
        seed: the same net for the same seed.
    """
    every = np.concatenate([np.zeros((0, 11)), *(piece.layouts for piece in pieces)])
    mean, scale = (every.mean(axis=0), every.std(axis=0) + 1e-6) if len(every) else (np.zeros(11), np.ones(11))
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        network = _Network(len(mean))
        optimizer = torch.optim.AdamW(network.parameters(), lr=_LR, weight_decay=_DECAY)
        steps = _EPOCHS * (len(pieces) // _PIECES)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=steps + 1)
        for _ in range(_EPOCHS):
            order = rng.permutation(len(pieces))
            for at in range(0, len(pieces) - _PIECES + 1, _PIECES):
                chosen = [_choose(pieces[k], rng) for k in order[at : at + _PIECES]]
                loss = _find_loss(network, chosen, mean, scale)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
    return Junctions(mean, scale, _fold(network.eval()))


def _choose(piece: Looks, rng: np.random.Generator) -> Looks:
    """Choose some of a piece's right cuts, and wrong ones."""
    right = rng.permutation(np.flatnonzero(piece.right))[:_RIGHT]
    wrong = rng.permutation(np.flatnonzero(~piece.right))[: _MOST - len(right)]
    some = np.concatenate([right, wrong])
    return Looks(piece.pictures[some], piece.layouts[some], piece.right[some])


def _find_loss(network: _Network, chosen: Sequence[Looks], mean: Values, scale: Values) -> Tensor:
    pictures, layouts, right = (np.concatenate(parts) for parts in zip(*chosen, strict=True))
    logits, truth = network(*as_tensors(pictures, layouts, mean, scale)), torch.from_numpy(right)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, truth.float())
    sizes = [len(piece.right) for piece in chosen]
    among = [
        torch.logsumexp(part, 0) - torch.logsumexp(part[which], 0)
        for part, which in zip(torch.split(logits, sizes), torch.split(truth, sizes), strict=True)
        if which.any()
    ]
    return loss + _AMONG * sum(among, logits.new_zeros(())) / len(chosen)


@torch.no_grad()
def _fold(network: _Network) -> tuple[tuple[Tensor, Tensor], ...]:
    """Put each BatchNorm into the convolution before it, in 16 bits."""
    layers = []
    for convolution, norm in network.layers:
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        factor = norm.weight / torch.sqrt(variance + norm.eps)
        layers.append((convolution.weight * factor[:, None, None, None], norm.bias - mean * factor))
    layers += [(layer.weight, layer.bias) for layer in (network.hidden, network.head)]
    return tuple((weight.half().float(), bias.half().float()) for weight, bias in layers)
