"""The random numbers of a run: everything is drawn from its seed, and can be taken up again where it stood."""

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch


def derived_seed(purpose: str, seed: int) -> int:
    """A seed of its own for one purpose. With the run's, its first draws would repeat those of the initial weights.

    Example:
        >>> derived_seed("ssgd", 0) == derived_seed("ssgd", 0) != derived_seed("csgd", 0)
        True
    """
    return int.from_bytes(hashlib.sha256(f"{purpose} {seed}".encode()).digest()[:4], "big")


def seed_generators(seed: int, *, devices: bool = True) -> None:
    """Seed the global generators of torch, on all ``devices`` or the CPU alone, of numpy and of Python."""
    random.seed(seed)
    np.random.seed(seed)
    if devices:
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def generator_states(device: torch.device) -> dict[str, Any]:
    """Where the global generators stand, that of ``device`` among them."""
    version, words, normal = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    states = {
        "random": (version, torch.tensor(words), normal),
        "numpy": (name, torch.from_numpy(np.asarray(keys)).clone(), *rest),
        "cpu": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["device"] = torch.mps.get_rng_state()
    return states


def restore_generators(states: dict[str, Any], device: torch.device) -> None:
    """Put the global generators where :func:`generator_states` found them."""
    version, words, normal = states["random"]
    random.setstate((version, tuple(words.tolist()), normal))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy(), *rest))
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["device"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["device"])


def lent_generators(seed: int) -> Callable[[], AbstractContextManager[None]]:
    """Generators of one's own in the place of the global ones of the CPU, wherever the result is called and held.

    Example:
        >>> lend = lent_generators(7)
        >>> with lend():
        ...     first = torch.rand(2)
        >>> _ = torch.manual_seed(7)
        >>> torch.equal(torch.rand(2), first)
        True
    """
    device = torch.device("cpu")
    own: dict[str, Any] | None = None

    @contextmanager
    def lend() -> Iterator[None]:
        nonlocal own
        before = generator_states(device)
        if own is None:
            seed_generators(seed, devices=False)
        else:
            restore_generators(own, device)
        try:
            yield
        finally:
            own = generator_states(device)
            restore_generators(before, device)

    return lend
