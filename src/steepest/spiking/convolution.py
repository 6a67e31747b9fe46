"""Convolutions of spikes with neurons that do not leak, of which one at each location spikes, once."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steepest.optim.arguments import check_number

MANTISSA = 24  # bits of a float32
FINEST = 10  # binary digits that rounded weights have at least behind the point, if need be in float64
TOGETHER = 16  # images at a time
FEW = 512  # locations


class First(NamedTuple):
    """The only spike of each location: of N images at H' by W' locations.

    ``when``: the time step (N, H', W'), or T where there is none; ``which``: the map; ``potential``: that map's, at
    that time; both are of no meaning where there is no spike.
    """

    when: Tensor
    which: Tensor
    potential: Tensor


class SpikingConv2d(nn.Module):
    r"""A valid convolution of spikes, with instantaneous neurons that do not leak.

    .. code-block:: text

        P_t = P_(t-1) + conv(spikes_t, weight)     0 at the beginning of each image

    A neuron spikes where its potential is at least the threshold. Lateral inhibition: at each location only the map of
    the largest potential may spike, of equals the first; and where one has spiked, none spikes again for this image.

    No gradients flow: the weights learn by :class:`~steepest.spiking.STDP`. Potentials are computed with the weights
    rounded to a binary fraction, of ten digits at least, such that their sums are exact, in float32 or, of layers with
    many inputs, in float64: the spikes are the same to the last bit for every batch size, number of threads and device.

    Args:
        in_channels: of the input, 2 for encoded images.
        out_channels: number of maps.
        kernel_size: side of the square kernel.
        threshold: of the potential.
        mean, std: of the normal distribution that the weights begin with, drawn from torch's global generator; values
            outside of (0, 1) become the mean. ``weight`` has the shape (out, in, kernel, kernel).
        inhibition: without it every neuron spikes once on its own.
        device: of the weights; torch's default by default.

    Raises:
        ValueError: an argument is of the wrong kind or range.

    Source: Vaila, Chiasson, Saxena, arXiv 1903.12272, and its author's code (known).

    Example:
        >>> layer = SpikingConv2d(1, 2, 3, threshold=4.0)
        >>> with torch.no_grad():
        ...     _ = layer.weight[0].fill_(0.5), layer.weight[1].fill_(0.75)
        >>> spikes = torch.zeros(3, 1, 1, 3, 3, dtype=torch.bool)  # T, N, C, H, W
        >>> spikes[1, 0, 0, :2] = True
        >>> layer(spikes).nonzero().tolist()  # step 1, map 1
        [[1, 0, 1, 0, 0]]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 5,
        threshold: float = 15.0,
        *,
        mean: float = 0.8,
        std: float = 0.01,
        inhibition: bool = True,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        for name, value in (
            ("in_channels", in_channels),
            ("out_channels", out_channels),
            ("kernel_size", kernel_size),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
        check_number("threshold", threshold, "a finite number above 0", lambda x: 0 < x < math.inf)
        check_number("mean", mean, "a number between 0 and 1", lambda x: 0 < x < 1)
        check_number("std", std, "a finite number of at least 0", lambda x: 0 <= x < math.inf)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.threshold, self.inhibition = float(threshold), bool(inhibition)
        self.mean, self.std = float(mean), float(std)
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.empty(shape, dtype=torch.float32, device=device), requires_grad=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        self.weight.normal_(self.mean, self.std)
        self.weight.masked_fill_((self.weight <= 0) | (self.weight >= 1), self.mean)

    @torch.no_grad()
    def potentials(self, spikes: Tensor) -> Tensor:
        """The potentials after each time step: (T, N, C, H, W) to float32 (T, N, out, H', W').

        Raises:
            TypeError, ValueError: the spikes are of another shape, or have other values.
        """
        self.check(spikes)
        steps, count = spikes.shape[:2]
        seen = spikes.to(torch.float32).cumsum(dim=0).flatten(0, 1)
        found = self._convolve(seen, *self.rounded(steps))
        return found.reshape(steps, count, *found.shape[1:])

    def _convolve(self, seen: Tensor, weight: Tensor, scale: float) -> Tensor:
        return _exactly(F.conv2d, seen, weight, scale)

    @torch.no_grad()
    def first_spikes(self, spikes: Tensor) -> First:
        """When and in which map each location spikes, under lateral inhibition.

        Raises:
            TypeError, ValueError: the spikes are of another shape, or have other values.
        """
        return self.first_spikes_and_times(spikes)[0]

    @torch.no_grad()
    def first_spikes_and_times(self, spikes: Tensor) -> tuple[First, Tensor]:
        """The same, and when each cell of the input spikes first: float32 (N, C, H, W), T where it never does."""
        self.check(spikes)
        found, times = [], []
        for part in torch.split(spikes, TOGETHER, dim=1):  # few, so that what is computed stays in the cache
            when, most = find_times(part)
            if most > 1 or not self.only_rises:
                found.append(self._find_by_potentials(part))
            else:
                found.append(self.first_of_times(self.patches_of(when), len(spikes)))
            times.append(when)
        return First(*map(torch.cat, zip(*found, strict=True))), torch.cat(times)

    @property
    def only_rises(self) -> bool:
        """Whether no weight is below 0, so that potentials never fall."""
        return not bool((self.weight < 0).any())

    def patches_of(self, times: Tensor) -> Tensor:
        """What each location sees of (N, C, H, W): (C * k * k, N, H', W')."""
        size = self.kernel_size
        windows = times.unfold(2, size, 1).unfold(3, size, 1).permute(1, 4, 5, 0, 2, 3)
        return windows.reshape(-1, *windows.shape[3:])

    def _find_by_potentials(self, spikes: Tensor) -> First:
        potential = self.potentials(spikes)
        fires = potential.amax(dim=2) >= self.threshold
        when = torch.where(fires.any(dim=0), fires.to(torch.uint8).argmax(dim=0), len(spikes))
        at = when.clamp(max=len(spikes) - 1)[None, :, None].expand(-1, -1, self.out_channels, -1, -1)
        highest, which = potential.gather(0, at)[0].max(dim=1)
        return First(when, which, highest)

    @torch.no_grad()
    def first_of_times(self, patches: Tensor, steps: int) -> First:
        """The first spikes where every cell of the input spikes once at most, and no weight is below 0.

        Args:
            patches: of times, from :meth:`patches_of`; ``steps`` for a cell that never spikes.
        """
        places, when, which, potential = self.spikes_of_times(patches.flatten(1), steps, *self.rounded(steps))
        shape, count = patches.shape[1:], patches[0].numel()
        return First(
            places.new_full((count,), steps).index_copy_(0, places, when.long()).reshape(shape),
            places.new_zeros(count).index_copy_(0, places, which).reshape(shape),
            potential.new_zeros(count).index_copy_(0, places, potential).reshape(shape),
        )

    def spikes_of_times(
        self, patches: Tensor, steps: int, weight: Tensor, scale: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same of patches (C * k * k, L): places (S,) that spike, when (float), in which map, at what potential.

        Potentials only rise: those of the last step tell which locations spike at all, and only for these the step is
        searched.
        """
        flat = weight.flatten(1)

        def potentials_at(step: Tensor | float, seen: Tensor) -> Tensor:
            spiked = (step + 1 - seen).clamp_(0, 1)  # 1 where a cell has spiked by that step
            return _exactly(torch.mm, flat, spiked.flatten(1), scale).reshape(len(flat), *spiked.shape[1:])

        places = (potentials_at(steps - 1, patches).amax(dim=0) >= self.threshold).nonzero()[:, 0]
        seen = patches.index_select(1, places)
        ways = steps if len(places) <= FEW else 2  # few searches are not worth several rounds
        first, span = torch.zeros_like(seen[0]), steps
        while span > 1:  # the step is one of so many from ``first`` on
            parts = min(ways, span)
            span = -(-span // parts)
            ends = torch.arange(span - 1, span * (parts - 1), span, dtype=seen.dtype, device=seen.device)
            highest = potentials_at(first + ends[:, None], seen[:, None]).amax(dim=0)
            first += (highest < self.threshold).sum(dim=0) * span
        highest, which = potentials_at(first, seen).max(dim=0)
        return places, first, which, highest

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes (T, N, C, H, W), bool or 0 and 1, to bool (T, N, out, H', W').

        Raises:
            TypeError, ValueError: the spikes are of another shape, or have other values.
        """
        if self.inhibition:
            when, which, _ = self.first_spikes(spikes)
            image, row, column = places = (when < len(spikes)).nonzero(as_tuple=True)
            shape = (len(spikes), len(when), self.out_channels, *when.shape[1:])
            found = torch.zeros(shape, dtype=torch.bool, device=spikes.device)
            found[when[places], image, which[places], row, column] = True
            return found
        fired = (self.potentials(spikes) >= self.threshold).to(torch.uint8).cummax(dim=0).values.bool()
        return torch.cat([fired[:1], fired[1:] & ~fired[:-1]])

    def extra_repr(self) -> str:
        rest = "" if self.inhibition else ", inhibition=False"
        return f"{self.in_channels}, {self.out_channels}, {self.kernel_size}, threshold={self.threshold:g}{rest}"

    def check(self, spikes: Tensor) -> None:
        """Raise unless the layer can take the spikes."""
        if not isinstance(spikes, Tensor):
            raise TypeError(f"spikes must be a tensor, got {type(spikes).__name__}")
        least = self.kernel_size
        if spikes.ndim != 5 or spikes.shape[2] != self.in_channels or min(spikes.shape[-2:]) < least or not len(spikes):
            raise ValueError(
                f"spikes must have the shape (T, N, {self.in_channels}, H, W), with sides of at least {least}, got "
                f"{tuple(spikes.shape)}"
            )
        if spikes.dtype != torch.bool and not bool(((spikes == 0) | (spikes == 1)).all()):
            raise ValueError(
                f"spikes must be 0 or 1, got values from {float(spikes.min()):g} to {float(spikes.max()):g}"
            )

    def rounded(self, spikes: int) -> tuple[Tensor, float]:
        """The weights in whole parts of a scale, so that their dtype adds them without rounding; and the scale.

        Args:
            spikes: that a cell of the input has at most.
        """
        weight = self.weight.detach()
        most = spikes * weight[0].numel() * max(1.0, float(weight.abs().max()))
        digits = MANTISSA - math.ceil(math.log2(most))
        scale = 2.0 ** max(digits, FINEST)
        weight = weight if digits >= FINEST else weight.double()
        return (weight * scale).round() / scale, scale


def _exactly(multiply: Callable[[Tensor, Tensor], Tensor], seen: Tensor, weight: Tensor, scale: float) -> Tensor:
    """Multiply without rounding, also on a GPU, where a product of float32 need not be a plain sum."""
    if seen.is_cuda or weight.dtype == torch.float64:
        return ((multiply(seen.double(), weight.double()) * scale).round() / scale).to(torch.float32)
    return multiply(seen, weight)


def find_times(spikes: Tensor) -> tuple[Tensor, int]:
    """When each cell spikes first, float32 (N, C, H, W), T where it never does; and the most spikes of one cell."""
    steps = len(spikes)
    late = torch.arange(-steps, 0, dtype=torch.float32, device=spikes.device)
    as_numbers = spikes.to(torch.float32).flatten(1)
    summed, counts = (torch.stack([late, torch.ones_like(late)]) @ as_numbers).reshape(2, *spikes.shape[1:])
    most = int(counts.max()) if counts.numel() else 0
    if most <= 1:
        return summed.add_(steps), most
    waited = as_numbers.cumsum(dim=0) == 0
    return waited.sum(dim=0, dtype=torch.float32).reshape(spikes.shape[1:]), most


def pool_spikes(spikes: Tensor, size: int = 2) -> Tensor:
    """Windows of ``size`` by ``size``, side by side, in which something spikes: (T, N, C, H, W) to (T, N, C, H', W').

    Rows and columns that fill no window are left out.

    Raises:
        ValueError: an argument is of another shape or range.

    Example:
        >>> pool_spikes(torch.eye(4, dtype=torch.bool)[None, None, None])[0, 0, 0].long()
        tensor([[1, 0],
                [0, 1]])
    """
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"size must be an integer of at least 1, got {size!r}")
    if spikes.ndim != 5 or min(spikes.shape[-2:]) < size:
        raise ValueError(
            f"spikes must have the shape (T, N, C, H, W), with sides of at least {size}, got {tuple(spikes.shape)}"
        )
    height, width = (side // size for side in spikes.shape[-2:])
    kept = spikes[..., : height * size, : width * size].bool()
    return kept.reshape(*spikes.shape[:3], height, size, width, size).any(dim=-1).any(dim=-2)
