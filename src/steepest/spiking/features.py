"""Features of images from a spiking convolution: its filters learnt once, and both kept in files."""

import contextlib
import copy
import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from steepest._files import sweep, write_atomically
from steepest.optim.arguments import check_number
from steepest.spiking.convolution import SpikingConv2d, pool_spikes
from steepest.spiking.encoding import encode
from steepest.spiking.stdp import STDP

Filters = Literal["stdp", "initial", "random"]
FILTERS: tuple[Filters, ...] = get_args(Filters)
FORMAT = 1  # of the files, and of what is computed
TOGETHER = 200  # images
SNAPSHOTS = 9  # of the filters as they grow, the first and the last among them
SIZE = 27  # of encoded images
CALIBRATED = 500  # images on which the threshold of random filters is chosen
Progress = Callable[[str, float], object]


@dataclass(frozen=True)
class FeatureSettings:
    """How features are made.

    Args:
        maps: of the convolution.
        images: that the filters learn from, one after another, drawn from the training images.
        kernel_size, threshold: of the convolution.
        radius, history: of STDP, see :class:`~steepest.spiking.STDP`; history 0 is no homeostasis.
        contrast: grey levels below which a response is silent in :func:`~steepest.spiking.encode`.
        filters: ``"stdp"``; to compare, ``"initial"``, as they begin, or ``"random"``: uniform with the mean that
            STDP's have, and with a threshold at which as many features are active as with STDP's.
        seed: of the filters and of the images that they learn from.

    Raises:
        ValueError: an argument is of the wrong kind or range.
    """

    maps: int = 30
    images: int = 6000
    kernel_size: int = 5
    threshold: float = 15.0
    radius: int = 5
    history: int = 5
    contrast: float = 50.0
    filters: Filters = "stdp"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("maps", 1), ("images", 1), ("kernel_size", 1), ("radius", 0), ("history", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
        if self.kernel_size > SIZE - 1:
            raise ValueError(f"kernel_size must be at most {SIZE - 1}, got {self.kernel_size}")
        check_number("threshold", self.threshold, "a finite number above 0", lambda x: 0 < x < float("inf"))
        check_number("contrast", self.contrast, "a finite number of at least 0", lambda x: 0 <= x < float("inf"))
        if self.filters not in FILTERS:
            raise ValueError(f"filters must be one of {', '.join(FILTERS)}, got {self.filters!r}")

    @property
    def side(self) -> int:
        """Height and width of the maps after pooling."""
        return (SIZE - self.kernel_size + 1) // 2

    @property
    def count(self) -> int:
        """Features of an image."""
        return self.maps * self.side**2


class Learnt(NamedTuple):
    """Filters as they have grown.

    ``layer``; ``seen``: images after which there is a snapshot; ``snapshots`` (S, out, in, k, k); ``convergence``: the
    mean of w (1 - w) at each.
    """

    layer: SpikingConv2d
    seen: list[int]
    snapshots: Tensor
    convergence: list[float]


def learn_filters(
    images: Tensor,
    settings: FeatureSettings,
    cache: Path | None = None,
    progress: Progress = lambda name, share: None,
) -> Learnt:
    """Filters for images uint8 (N, H, W), from a file of the cache if it has them.

    What is random follows from the settings' seed alone, and torch's global generator is left as it is.
    """
    key = _digest(images, asdict(settings))
    state = _read(cache, f"filters-{key}.pt", {"threshold", "seen", "snapshots", "convergence"})
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(settings.seed)
        if state is None:
            state = _learn(images, settings, cache, progress)
            _write(cache, f"filters-{key}.pt", state)
        layer = SpikingConv2d(2, settings.maps, settings.kernel_size, state["threshold"], device="cpu")
        layer.weight.copy_(state["snapshots"][-1])
    return Learnt(layer, state["seen"], state["snapshots"], state["convergence"])


def extract_features(
    layer: SpikingConv2d,
    images: Tensor,
    *,
    contrast: float = 50.0,
    cache: Path | None = None,
    progress: Progress = lambda name, share: None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Whether each map spikes in each window of 2 by 2: bool (N, maps * H' * W') of images uint8 (N, H, W).

    They are kept in one file of the folder ``cache``, by the images, the weights and the threshold. They are computed
    on the ``device``, the same to the last bit on every one that has float64, and returned in the CPU's memory.
    """
    key = _digest(images, layer.weight.detach().cpu(), layer.threshold, contrast)
    side = (SIZE - layer.kernel_size + 1) // 2
    count = layer.out_channels * side**2
    state = _read(cache, f"features-{key}.pt", {"features"})
    if state is None:
        packed, here = [], copy.deepcopy(layer).to(device)
        for start in range(0, len(images), TOGETHER):
            progress("features", start / len(images))
            spikes = encode(images[start : start + TOGETHER].to(device), threshold=contrast)
            packed.append(_pack(_extract(here, spikes)).cpu())
        state = {"features": torch.cat(packed)}
        _write(cache, f"features-{key}.pt", state)
    return _unpack(state["features"], count)


def cache_folder() -> Path:
    """``STEEPEST_CACHE``, else ``steepest`` in ``XDG_CACHE_HOME`` or in ``~/.cache``."""
    if given := os.environ.get("STEEPEST_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "steepest")


def _learn(images: Tensor, settings: FeatureSettings, cache: Path | None, progress: Progress) -> dict[str, Any]:
    layer = SpikingConv2d(2, settings.maps, settings.kernel_size, settings.threshold, device="cpu")
    if settings.filters == "initial":
        return _state_of(layer, [0], [layer.weight.detach().clone()])
    if settings.filters == "random":
        return _draw_alike(layer, images, settings, cache, progress)
    order = torch.randperm(len(images), device="cpu")
    count = settings.images
    stdp = STDP(layer, radius=settings.radius, history=settings.history)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    seen, snapshots = [0], [layer.weight.detach().clone()]
    marks = {round(count * (i / (SNAPSHOTS - 1)) ** 2) for i in range(1, SNAPSHOTS)}
    for start in range(0, count, TOGETHER):
        progress("filters", start / count)
        chosen = [order[i % len(order)] for i in range(start, min(start + TOGETHER, count))]
        spikes = encode(images[torch.stack(chosen)], threshold=settings.contrast)
        done = 0
        for mark in [*sorted(m - start for m in marks if start < m < start + spikes.shape[1]), spikes.shape[1]]:
            stdp.learn(spikes[:, done:mark], optimizer)
            done = mark
            if stdp.images in marks:
                seen.append(stdp.images)
                snapshots.append(layer.weight.detach().clone())
    return _state_of(layer, seen, snapshots)


def _state_of(layer: SpikingConv2d, seen: list[int], snapshots: list[Tensor]) -> dict[str, Any]:
    convergence = [float((w * (1 - w)).mean()) for w in snapshots]
    return {
        "threshold": layer.threshold,
        "seen": seen,
        "snapshots": torch.stack(snapshots),
        "convergence": convergence,
    }


def _draw_alike(
    layer: SpikingConv2d, images: Tensor, settings: FeatureSettings, cache: Path | None, progress: Progress
) -> dict[str, Any]:
    """Draw filters of the mean that STDP's have, and choose a threshold at which as many features are active."""
    other = learn_filters(images, FeatureSettings(**{**asdict(settings), "filters": "stdp"}), cache, progress).layer
    mean = float(other.weight.detach().mean())
    width = min(mean, 1 - mean)
    with torch.no_grad():
        layer.weight.uniform_(mean - width, mean + width)
    spikes = encode(images[:CALIBRATED], threshold=settings.contrast)
    wanted = float(_extract(other, spikes).float().mean())
    low, high = 0.0, layer.threshold * 4
    for _ in range(24):
        layer.threshold = (low + high) / 2
        if float(_extract(layer, spikes).float().mean()) > wanted:
            low = layer.threshold
        else:
            high = layer.threshold
    return _state_of(layer, [0], [layer.weight.detach().clone()])


def _extract(layer: SpikingConv2d, spikes: Tensor) -> Tensor:
    first = layer.first_spikes(spikes)
    maps = torch.arange(layer.out_channels, dtype=torch.int64, device=spikes.device)[:, None, None]
    active = (first.which[:, None] == maps) & (first.when < len(spikes))[:, None]
    return pool_spikes(active[None])[0].flatten(1)


def _pack(features: Tensor) -> Tensor:
    """Eight to a byte."""
    padded = torch.nn.functional.pad(features.to(torch.uint8), (0, -features.shape[1] % 8))
    powers = 2 ** torch.arange(8, dtype=torch.uint8, device=features.device)
    return (padded.reshape(len(padded), -1, 8) * powers).sum(dim=2, dtype=torch.uint8)


def _unpack(packed: Tensor, count: int) -> Tensor:
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return ((packed[:, :, None] >> shifts) & 1).bool().flatten(1)[:, :count]


def _digest(*parts: Any) -> str:
    found = hashlib.sha256(str(FORMAT).encode())
    for part in parts:
        if isinstance(part, Tensor):
            found.update(str((part.dtype, tuple(part.shape))).encode())
            found.update(part.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        else:
            found.update(json.dumps(part, sort_keys=True).encode())
    return found.hexdigest()[:24]


def _read(cache: Path | None, name: str, keys: set[str]) -> dict[str, Any] | None:
    if cache is None:
        return None
    try:
        found: dict[str, Any] = torch.load(cache / name, weights_only=True, map_location="cpu")
        return found if set(found) == keys else None
    except Exception:  # a file that is not there, torn, or something else: it is computed again
        return None


def _write(cache: Path | None, name: str, state: dict[str, Any]) -> None:
    if cache is None:
        return
    content = io.BytesIO()
    torch.save(state, content)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the features
        cache.mkdir(parents=True, exist_ok=True)
        sweep(cache)
        write_atomically(cache / name, content.getvalue())
