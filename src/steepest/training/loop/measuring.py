"""Instruments while a run goes on: what they say, and that the run does not notice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from steepest.optim.norms import local
from steepest.training.definitions.instrument import Instrument, Reading, RunView
from steepest.training.loop.checkpoint import same
from steepest.training.process.randomness import generator_states, restore_generators

CHANGED = "it changed the weights, which have been put back"


def readings(instruments: Sequence[Instrument], view: RunView) -> dict[str, Reading]:
    """What each says, by its name; nothing of one that has left the run with other weights."""
    found = {}
    for instrument in instruments:
        with _left_alone(view.model) as changed:
            reading = instrument.read(view)
        found[instrument.name] = Reading(None, CHANGED) if changed else reading
    return found


@contextmanager
def _left_alone(model: nn.Module) -> Iterator[list[str]]:
    """Put weights, buffers, modes and global generators back afterwards; name the weights that had to be."""
    weights = dict(model.named_parameters())
    before = {name: tensor.clone() for name, tensor in _list_tensors(model).items()}
    modes = [(module, module.training) for module in model.modules()]
    device = next((p.device for p in weights.values()), torch.device("cpu"))
    random = generator_states(device)
    changed: list[str] = []
    try:
        yield changed
    finally:
        restore_generators(random, device)
        for module, training in modes:
            module.training = training
        after = _list_tensors(model)
        for name, value in before.items():
            if not same(after[name], value):
                after[name].copy_(value)
                changed += [name] if name in weights else []


def _list_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """List weights and buffers as they lie in memory, on this rank."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: local(tensor.detach()) for name, tensor in named}
