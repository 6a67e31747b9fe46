"""Recordings of event cameras: N-MNIST's files, and events as spikes in time steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, overload

import torch
from torch import Tensor

from steepest._errors import InputError
from steepest.optim.arguments import check_choice, check_flag, check_integer

SIDE = 34  # pixels of N-MNIST's sensor
RECORD = 5  # bytes of an event
OVERFLOW = 240  # as y: no event, but a sign that the clock has begun anew
LAP = 2**13  # microseconds that are then missing


class Events(NamedTuple):
    """Events of one recording, each a tensor (n,): ``x`` and ``y`` int64, ``polarity`` bool, ``time`` int64.

    ``x`` is the column and ``y`` the row, from 0 at the upper left; ``polarity`` is True where it became brighter (ON);
    ``time`` is in microseconds.
    """

    x: Tensor
    y: Tensor
    polarity: Tensor
    time: Tensor


class Recordings(Sequence[Events]):
    """Recordings whose files are read when they are asked for: all of N-MNIST would fill gigabytes of memory.

    Attributes:
        paths: the files.
        labels: int64 (N,), on the CPU.
    """

    def __init__(self, paths: Sequence[Path], labels: Tensor) -> None:
        self.paths, self.labels = list(paths), labels

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Events: ...

    @overload
    def __getitem__(self, index: slice) -> list[Events]: ...

    def __getitem__(self, index: int | slice) -> Events | list[Events]:
        """Read one, or some.

        Raises:
            InputError: a file cannot be read, is cut short or has events off the sensor.
        """
        if isinstance(index, slice):
            return [read_events(path) for path in self.paths[index]]
        return read_events(self.paths[index])


class NMNIST(NamedTuple):
    """Both parts of N-MNIST, as its authors split it."""

    train: Recordings
    test: Recordings


def read_nmnist(folder: str | Path) -> NMNIST:
    """Find the recordings of N-MNIST, in a folder as its authors ship it: ``Train/0`` to ``Test/9``, files ``.bin``.

    Each part is in the order of the names of its files, whatever their digits, so that its first thousand hold all.
    Sizes of files are checked now, their events when they are read.

    Raises:
        InputError: there is no such folder, a part has no recordings, or a file's size is no whole number of events.

    Source: Orchard, Jayawant, Cohen, Thakor, "Converting static image datasets to spiking neuromorphic datasets using
    saccades", Frontiers in Neuroscience 9 (2015).

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for part in ("Train/3", "Test/7"):
        ...     (folder / part).mkdir(parents=True)
        ...     _ = (folder / part / "00001.bin").write_bytes(bytes([16, 9, 128, 4, 1]))
        >>> train, test = read_nmnist(folder)
        >>> train[0], test.labels
        (Events(x=tensor([16]), y=tensor([9]), polarity=tensor([True]), time=tensor([1025])), tensor([7]))
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"the folder of N-MNIST {str(folder)!r} does not exist")
    return NMNIST(_find_recordings(folder, "Train"), _find_recordings(folder, "Test"))


def read_events(path: str | Path) -> Events:
    """Events of one file in N-MNIST's format, in the file's order.

    Five bytes an event: x, y, then a bit of polarity, 1 for ON, and 23 bits of microseconds, the highest first. Where y
    is 240 there is no event: the clock began anew, and 8,192 microseconds are added to all that follow.

    Raises:
        InputError: the file cannot be read, its size is no whole number of events, or events are off the sensor.
    """
    path = Path(path)
    try:
        content = bytearray(path.read_bytes())
    except OSError as error:
        raise InputError(f"the recording {str(path)!r} cannot be read: {error}") from error
    _check_size(path, len(content))
    flat = torch.frombuffer(content, dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8, device="cpu")
    x, y, high, middle, low = flat.view(-1, RECORD).to(torch.int64).unbind(dim=1)
    event = y != OVERFLOW
    time = ((high & 127) << 16 | middle << 8 | low) + LAP * (~event).cumsum(dim=0)
    found = Events(x[event], y[event], high[event] >= 128, time[event])
    if (off := (found.x >= SIDE) | (found.y >= SIDE)).any():
        at = f"x = {found.x[off][0]} and y = {found.y[off][0]}"
        raise InputError(f"the recording {str(path)!r} must lie on {SIDE} by {SIDE} pixels, got {at}")
    return found


@torch.no_grad()
def encode_events(
    events: Events | Sequence[Events],
    *,
    steps: int = 12,
    silent: int = 2,
    size: tuple[int, int] = (SIDE, SIDE),
    by: Literal["count", "time"] = "count",
    first_only: bool = True,
) -> Tensor:
    """Spikes in time steps, from the events of one recording or of several.

    Known of the paper's images, whose form this takes: steps of equally many spikes (plus or minus one), then the
    ``silent`` ones, ON first, and each pixel spikes once for each polarity. Ours, as no paper says it of events:
    the first event is the one that spikes, and both polarities are counted together, so that what comes later is never
    in an earlier step. Events of the same time keep their order.

    Args:
        steps: time steps, T.
        silent: of them, those at the end that have no spikes.
        size: height and width.
        by: ``"count"``, or ``"time"`` for steps of equal spans, from the recording's first event to its last.
        first_only: ``False``: later events of a pixel spike too, those of the same step once; then equally many events,
            not spikes, make a step.

    Returns:
        bool (T, N, 2, H, W), ON first, as :func:`~steepest.spiking.encode` has it; in float it is what
        spikingjelly and snnTorch take.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or range, or events are outside of ``size``.

    Example:
        >>> x, y, on = torch.tensor([5, 5, 6, 5]), torch.tensor([2, 2, 2, 2]), torch.tensor([True, False, True, True])
        >>> spikes = encode_events(Events(x, y, on, torch.tensor([0, 10, 900, 1000])), steps=5)
        >>> spikes.shape, spikes.nonzero().tolist()
        (torch.Size([5, 1, 2, 34, 34]), [[0, 0, 0, 2, 5], [1, 0, 1, 2, 5], [2, 0, 0, 2, 6]])
    """
    for name, value, least in (("steps", steps, 1), ("silent", silent, 0)):
        check_integer(name, value, f"an integer of at least {least}")
        if value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if silent >= steps:
        raise ValueError(f"silent must be below steps, {steps}, got {silent!r}")
    if not isinstance(size, tuple) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise ValueError(f"size must be a height and a width, integers of at least 1, got {size!r}")
    check_choice("by", by, ("count", "time"))
    check_flag("first_only", first_only)
    several: Sequence[Events] = [events] if isinstance(events, Events) else events
    if not isinstance(several, Sequence) or not several or not all(isinstance(one, Events) for one in several):
        got = "an empty one" if isinstance(several, Sequence) and not several else type(events).__name__
        raise TypeError(f"events must be Events, or a sequence of them, got {got}")
    device = several[0].time.device
    spikes = torch.zeros((steps, len(several), 2, *size), dtype=torch.bool, device=device)
    for number, one in enumerate(several):
        _check_events(one, size)
        order = one.time.argsort(stable=True)
        x, y, on, time = (part[order].to(torch.int64) for part in one)
        kind = 1 - on
        keep = _find_firsts((kind * size[0] + y) * size[1] + x) if first_only else torch.ones_like(x, dtype=torch.bool)
        when = _cut_by_count(keep, steps - silent) if by == "count" else _cut_by_time(time, steps - silent)
        spikes[when[keep], number, kind[keep], y[keep], x[keep]] = True
    return spikes


def _find_recordings(folder: Path, part: str) -> Recordings:
    found = [(path, digit) for digit in range(10) for path in (folder / part / str(digit)).glob("*.bin")]
    if not found:
        raise InputError(f"{str(folder / part)!r} must have folders 0 to 9 with recordings (*.bin), got none")
    found.sort(key=lambda pair: (pair[0].name, pair[1]))
    for path, _ in found:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise InputError(f"the recording {str(path)!r} cannot be read: {error}") from error
        _check_size(path, size)
    labels = torch.tensor([digit for _, digit in found], dtype=torch.int64, device="cpu")
    return Recordings([path for path, _ in found], labels)


def _check_size(path: Path, size: int) -> None:
    if size % RECORD:
        raise InputError(f"the recording {str(path)!r} must have {RECORD} bytes for each event, got {size} in all")


def _check_events(events: Events, size: tuple[int, int]) -> None:
    shapes = [tuple(part.shape) for part in events]
    if len(events.time.shape) != 1 or len(set(shapes)) != 1:
        raise ValueError(f"events must be four tensors of one length, got shapes {', '.join(map(str, shapes))}")
    if events.polarity.dtype != torch.bool or any(part.is_floating_point() for part in events):
        kinds = ", ".join(str(part.dtype) for part in events)
        raise TypeError(f"events must be integers x and y, bool polarity and integers time, got {kinds}")
    off = (events.x < 0) | (events.x >= size[1]) | (events.y < 0) | (events.y >= size[0])
    if off.any():
        at = f"x = {events.x[off][0]} and y = {events.y[off][0]}"
        raise ValueError(f"events must lie within size, {size[0]} rows and {size[1]} columns, got {at}")


def _find_firsts(cells: Tensor) -> Tensor:
    """Say of each event whether it is the first of its cell."""
    ordered, order = cells.sort(stable=True)
    first = torch.ones_like(cells, dtype=torch.bool)
    first[order[1:]] = ordered[1:] != ordered[:-1]
    return first


def _cut_by_count(counted: Tensor, steps: int) -> Tensor:
    """Number the steps of events in order of time, so that each step has equally many of those counted."""
    total = counted.sum().clamp(min=1)
    return (counted.cumsum(dim=0) - 1).clamp(min=0) * steps // total


def _cut_by_time(time: Tensor, steps: int) -> Tensor:
    """Number the steps of events in order of time, so that each step lasts equally long."""
    since = time - time[:1]
    return since * steps // (since[-1:] + 1)
