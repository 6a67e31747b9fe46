"""Which measured inputs belong to a weight: those of the layers that hold it now."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

ProcessGroup = Any  # torch.distributed.ProcessGroup, absent where torch is built without it


class Record:
    """What has been measured since the last optimizer step of the inputs of one layer.

    ``sums``: the power of all rows together, one value for each of ``channels`` (1: in all), and last the number of
    rows. On the device, and changed in place, so that compiled code keeps its hold on it. Never 0-dim: torch 2.13 loses
    what compiled code writes to a 0-dim float64 tensor on the CPU.
    """

    def __init__(
        self, weight: Tensor, channels: int, groups: int, standardize: bool, process_group: ProcessGroup
    ) -> None:
        dtype = torch.promote_types(weight.real.dtype, torch.float32)
        self.sums = torch.zeros(channels + 1, dtype=dtype, device=weight.device)
        self.channels, self.groups, self.standardize = channels, groups, standardize
        self.process_group = process_group
        self.paused = False  # an input was passed over since the last step: under a transform of torch.func

    def can_be_pooled_with(self, other: Record) -> bool:
        """Whether a weight can be shared by both layers."""
        mine, its = (self.channels, self.groups, self.standardize), (other.channels, other.groups, other.standardize)
        return mine == its

    def add(self, power: Tensor, rows: int) -> None:
        self._follow(power.device, torch.promote_types(self.sums.dtype, power.dtype))
        self.sums[:-1].add_(power)
        self.sums[-1:].add_(rows)

    def take(self, device: torch.device) -> Tensor:
        """The sums so far; they then start anew."""
        self._follow(device, self.sums.dtype)
        taken = self.sums.clone()
        self.sums.zero_()
        return taken

    def _follow(self, device: torch.device, dtype: torch.dtype) -> None:
        if self.sums.is_meta and device.type != "meta":  # the model has been given its memory (to_empty)
            self.sums = torch.zeros(self.sums.shape, dtype=dtype, device=device)
        elif self.sums.device != device or self.sums.dtype != dtype:
            self.sums = self.sums.to(device, dtype)


class _Tracked(NamedTuple):
    layer: weakref.ref[nn.Module]
    record: Record


# By the layer and not by its weight: torch refuses to swap a tensor that is referred to weakly, and may replace it.
_tracked: dict[int, _Tracked] = {}


def keep(layer: nn.Module, record: Record) -> None:
    """Find the record by the layer's weight, as long as the layer lives."""
    key = id(layer)
    _tracked[key] = _Tracked(weakref.ref(layer, lambda _: _tracked.pop(key, None)), record)


def drop(layer: nn.Module) -> None:
    """Forget the record of a layer."""
    _tracked.pop(id(layer), None)


def records_by_weight() -> dict[int, list[Record]]:
    """The records of the layers that hold a weight at this moment, by the weight's ``id``."""
    found: dict[int, list[Record]] = {}
    for reference, record in list(_tracked.values()):
        layer = reference()
        weight = None if layer is None else layer._parameters.get("weight")
        if weight is not None:
            found.setdefault(id(weight), []).append(record)
    return found


def records_of(weight: Tensor) -> list[Record]:
    """The records of one weight; none if its input is not tracked."""
    return records_by_weight().get(id(weight), [])


def collect(tracked: Sequence[tuple[Tensor, Sequence[Record]]]) -> list[tuple[Tensor, Tensor]]:
    """Take from every weight's records: summed power, (channels,) or (1,), and number of rows, 0-dim.

    Both are of all ranks: one all-reduce for each process group.
    """
    sums = [_pool([record.take(weight.device) for record in records]) for weight, records in tracked]
    if dist.is_available() and dist.is_initialized():
        together: dict[ProcessGroup, list[int]] = {}
        for i, (_, records) in enumerate(tracked):
            together.setdefault(records[0].process_group, []).append(i)
        for group, where in together.items():
            if dist.get_world_size(group) > 1:
                flat = torch.cat([sums[i].to(sums[where[0]].device) for i in where])
                dist.all_reduce(flat, group=group)
                for i, total in zip(where, torch.split(flat, [len(sums[i]) for i in where]), strict=True):
                    sums[i] = total.to(sums[i])
    return [(s[:-1], s[-1]) for s in sums]


def _pool(taken: list[Tensor]) -> Tensor:
    """Add up the sums of all layers that share a weight, as of one."""
    total = taken[0]
    for other in taken[1:]:
        total = total + other.to(total.dtype)
    return total
