"""Examples for many runs at once: new ones at every step, or of a finite training set."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 64  # steps whose examples are drawn together


class Block(NamedTuple):
    """Examples of the next steps: ``x`` (steps, S, N), and standard normal numbers (steps, S) for the labels' noise."""

    x: Tensor
    zeta: Tensor


class Examples:
    """Where a run's examples come from; every run draws from a generator of its own.

    Args:
        inputs: (rows, N), drawn from with equal probability; ``None`` for standard normal ones.
        samples: how many examples a run's training set has, different rows of ``inputs`` if there are any, from which
            every step draws one with replacement; ``None`` for a new example at every step.
    """

    def __init__(
        self, n: int, generators: Sequence[torch.Generator], inputs: Tensor | None, samples: int | None
    ) -> None:
        self.inputs, self._n, self._generators = inputs, n, generators
        self.sets = (
            None if samples is None else [self._draw(samples, generator, repeat=False) for generator in generators]
        )

    def block(self) -> Block:
        """The examples of the next :data:`BLOCK` steps."""
        if self.sets is None:
            found = [self._draw(BLOCK, generator) for generator in self._generators]
        else:
            found = []
            for (x, zeta), generator in zip(self.sets, self._generators, strict=True):
                rows = torch.randint(len(x), (BLOCK,), generator=generator, device="cpu")
                found.append(Block(x[rows], zeta[rows]))
        return Block(*(torch.stack(part, dim=1) for part in zip(*found, strict=True)))

    def _draw(self, count: int, generator: torch.Generator, repeat: bool = True) -> Block:
        """Draw ``count`` examples of one run; normal ones in float32, which is five times faster and as good."""
        if self.inputs is None:
            x = torch.randn(count, self._n, generator=generator, dtype=torch.float32, device="cpu")
        elif repeat:
            x = self.inputs[torch.randint(len(self.inputs), (count,), generator=generator, device="cpu")]
        else:
            x = self.inputs[torch.randperm(len(self.inputs), generator=generator, device="cpu")[:count]]
        return Block(x.double(), torch.randn(count, generator=generator, dtype=torch.float64, device="cpu"))
