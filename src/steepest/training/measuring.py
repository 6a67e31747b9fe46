"""Instruments while a run goes on: what they say, and that the run does not notice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from steepest.training.definitions.instrument import Instrument, Reading, RunView
from steepest.training.randomness import generator_states, restore_generators

CHANGED = "it changed the weights, which have been put back"


def readings(instruments: Sequence[Instrument], view: RunView) -> dict[str, Reading]:
    """What each says, by its name."""
    found = {}
    for instrument in instruments:
        with _left_alone(view.model, weights=instrument.whole_weights) as changed:
            reading = instrument.read(view)
        found[instrument.name] = Reading(None, CHANGED) if changed else reading
    return found


@contextmanager
def _left_alone(model: nn.Module, *, weights: bool) -> Iterator[list[str]]:
    """Put modes, global generators and, with ``weights``, weights back afterwards; names the weights that had to be."""
    tensors = dict([*model.named_parameters(), *model.named_buffers()]) if weights else {}
    before = {name: (tensor._version, tensor.detach().clone()) for name, tensor in tensors.items()}
    modes = [(module, module.training) for module in model.modules()]
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    random = generator_states(device)
    changed: list[str] = []
    try:
        yield changed
    finally:
        restore_generators(random, device)
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for name, (version, value) in before.items():
                if tensors[name]._version != version and not _is_equal(tensors[name], value):
                    tensors[name].copy_(value)
                    changed.append(name)


def _is_equal(tensor: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether they hold the same numbers, NaN among them."""
    return torch.allclose(tensor, value, rtol=0.0, atol=0.0, equal_nan=True)
