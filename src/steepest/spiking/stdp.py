"""Spike-timing-dependent plasticity of a spiking convolution, as an estimator: any optimizer takes the step."""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from steepest.optim.arguments import check_number
from steepest.spiking.convolution import TOGETHER, SpikingConv2d, find_times


class Winner(NamedTuple):
    """A neuron that learns: of a map, at a row and a column, with the time step of its spike."""

    map: int
    row: int
    column: int
    when: int


class STDP:
    r"""Fill ``layer.weight.grad`` with -dw, from spikes alone: without labels, and without a graph.

    .. code-block:: text

        dw = rate w (1 - w)              where the input has spiked, up to the time of the winner's spike
           = -ratio rate w (1 - w)       elsewhere

    for each winner's patch. Winners are sought among the spikes of an image, in order of time, then of potential, the
    largest first, then of their places: a map has one at most, and no other map has one within ``radius`` of it. An
    optimizer with lr 1 takes exactly that step (``torch.optim.SGD(layer.parameters(), lr=1.0)``); weights that another
    one has taken out of [0, 1] are put back at the next call.

    A synapse whose input has spiked with probability p by the time of its winner is driven to 1 where p exceeds
    ratio / (1 + ratio), 3/7, else to 0; :meth:`convergence` tells how far all are.

    Homeostasis: a map that has won more than a third of the last ``history`` images pauses: it cannot win, and decays
    by ``decay`` w (1 - w) an image.

    One image at a time is the method. Several at once learn from the same weights, and their changes are added, so that
    a map may learn once for each: faster, and a little different.

    Args:
        layer: with lateral inhibition.
        rate: of potentiation, A+ in the paper; it doubles every ``double_every`` images up to ``most``. The paper's are
            .002, 500 and .15 for a first layer, .0002 and 1,500 for a second.
        ratio: of depression's rate to it.
        radius: 5 blocks 11 by 11 locations around a winner, 1 blocks 3 by 3.
        history: images that homeostasis looks back on; 0 is none. 5 and 3 in the paper.
        decay: .003 and .0003 in the paper.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or range.

    Source: Vaila, Chiasson, Saxena, arXiv 1903.12272, and its author's code (known); that winners are sought over time,
    block for the rest of the image, and that the change is made at its end, is our reading.

    Example:
        >>> from steepest.spiking import SpikingConv2d, encode
        >>> _ = torch.manual_seed(0)
        >>> layer = SpikingConv2d(2, 4, threshold=8.0)
        >>> stdp, optimizer = STDP(layer), torch.optim.SGD(layer.parameters(), lr=1.0)
        >>> spikes = encode(torch.rand(3, 27, 27))
        >>> winners = stdp(spikes[:, :1])
        >>> optimizer.step()
        >>> winners = stdp.learn(spikes[:, 1:], optimizer)  # the same for the others, one by one
        >>> stdp.images, 0 < stdp.convergence() < 0.25
        (3, True)
    """

    def __init__(
        self,
        layer: SpikingConv2d,
        *,
        rate: float = 0.002,
        ratio: float = 0.75,
        double_every: int = 500,
        most: float = 0.15,
        radius: int = 5,
        history: int = 5,
        decay: float = 0.003,
    ) -> None:
        if not isinstance(layer, SpikingConv2d):
            raise TypeError(f"layer must be a SpikingConv2d, got {type(layer).__name__}")
        if not layer.inhibition:
            raise ValueError("layer must have lateral inhibition, as winners are sought among its spikes")
        check_number("rate", rate, "a number above 0 and below 1", lambda x: 0 < x < 1)
        check_number("most", most, f"a number from rate, {rate:g}, to below 1", lambda x: rate <= x < 1)
        check_number("ratio", ratio, "a number above 0 with ratio times most below 1", lambda x: 0 < x * most < 1)
        check_number("decay", decay, "a number of at least 0 and below 1", lambda x: 0 <= x < 1)
        for name, value, least in (("double_every", double_every, 1), ("radius", radius, 0), ("history", history, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
        self.layer = layer
        self.ratio, self.radius, self.decay = ratio, radius, decay
        self.double_every, self.most, self.history = double_every, most, history
        self.images = 0
        self._first_rate = rate
        self._won: deque[frozenset[int]] = deque(maxlen=history)  # by the maps, the latest last

    @property
    def rate(self) -> float:
        """Of the next image."""
        doublings = min(self.images // self.double_every, 64)
        return float(min(self._first_rate * 2.0**doublings, self.most))

    @property
    def pausing(self) -> frozenset[int]:
        """Maps that have won too often."""
        if not self._won:
            return frozenset()
        counts = Counter(number for won in self._won for number in won)
        return frozenset(number for number, count in counts.items() if 3 * count > self.history)

    @torch.no_grad()
    def __call__(self, spikes: Tensor) -> list[list[Winner]]:
        """Set ``layer.weight.grad`` to -dw for spikes (T, N, C, H, W): zero where none wins.

        Returns:
            The winners of each image.

        Raises:
            TypeError, ValueError: the spikes are of another shape, or have other values.
        """
        layer, steps = self.layer, len(spikes)
        layer.weight.clamp_(0, 1)
        first, times = layer.first_spikes_and_times(spikes)
        patches = layer.patches_of(times)
        change, found = torch.zeros_like(layer.weight), []
        for image in range(spikes.shape[1]):
            when, which, potential = (part[image].flatten() for part in first)
            places = (when < steps).nonzero()[:, 0]
            candidates = places, when[places], which[places], potential[places]
            found.append(self._learn(change, patches[:, image].flatten(1), patches.shape[-1], *candidates))
        layer.weight.grad = change.neg_()
        return found

    @torch.no_grad()
    def learn(self, spikes: Tensor, optimizer: Optimizer) -> list[list[Winner]]:
        """Learn from one image of (T, N, C, H, W) after another, with a step of the optimizer for each.

        The same as to call this, and ``optimizer.step()``, for each image alone, and faster.

        Returns:
            The winners of each image.

        Raises:
            TypeError, ValueError: the spikes are of another shape, or have other values.
        """
        layer, steps = self.layer, len(spikes)
        layer.check(spikes)
        found: list[list[Winner]] = []
        for part in torch.split(spikes, TOGETHER, dim=1):
            times, most = find_times(part)
            patches = layer.patches_of(times)
            for image in range(part.shape[1]):
                if most > 1:
                    found += self(part[:, image : image + 1])
                else:
                    layer.weight.clamp_(0, 1)
                    one = patches[:, image].flatten(1)
                    change = torch.zeros_like(layer.weight)
                    candidates = layer.spikes_of_times(one, steps, *layer.rounded(steps))
                    found.append(self._learn(change, one, patches.shape[-1], *candidates))
                    layer.weight.grad = change.neg_()
                optimizer.step()
        return found

    def _learn(
        self,
        change: Tensor,
        patches: Tensor,
        width: int,
        places: Tensor,
        when: Tensor,
        which: Tensor,
        potential: Tensor,
    ) -> list[Winner]:
        """Add to the change what one image teaches, of which the places spike."""
        weight, pausing = self.layer.weight, self.pausing
        # Exact: a potential is a whole multiple of a small power of 2, and far below 2^20.
        order = (when.double() * 2.0**20 - potential).argsort(stable=True)
        told = torch.stack([which, places, when.long()])[:, order].tolist()
        winners = self._find_winners(zip(*told, strict=True), width, pausing)
        if winners:
            maps, at = [w.map for w in winners], [w.row * width + w.column for w in winners]
            steps = patches.new_tensor([w.when for w in winners])
            seen = (patches[:, at] <= steps).t().reshape(-1, *weight.shape[1:])
            own = weight[maps]
            change[maps] += torch.where(seen, self.rate, -self.ratio * self.rate) * (own * (1 - own))
        if pausing:
            own = weight[paused := sorted(pausing)]
            change[paused] -= own * (1 - own) * self.decay
        self.images += 1
        if self.history:
            self._won.append(frozenset(winner.map for winner in winners))
        return winners

    def convergence(self) -> float:
        """The mean of w (1 - w) over the weights: .16 as they begin at .8, towards 0 as each nears 0 or 1."""
        weight = self.layer.weight.detach()
        return float((weight * (1 - weight)).mean())

    def state_dict(self) -> dict[str, Any]:
        """What changes but for the layer's weights."""
        return {"images": self.images, "won": [sorted(won) for won in self._won]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images = int(state["images"])
        self._won = deque((frozenset(won) for won in state["won"]), maxlen=self.history)

    def _find_winners(
        self, candidates: Iterable[tuple[int, int, int]], width: int, pausing: frozenset[int]
    ) -> list[Winner]:
        """Choose greedily from the spikes of one image: map, place and time step, the best first."""
        left = [Winner(m, place // width, place % width, time) for m, place, time in candidates if m not in pausing]
        found: list[Winner] = []
        while left:
            number, row, column, _ = best = left[0]
            found.append(best)
            far = self.radius
            left = [c for c in left if c[0] != number and (abs(c[1] - row) > far or abs(c[2] - column) > far)]
        return found
