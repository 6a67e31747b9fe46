"""Which tensors the fused paths move together: kept from step to step, since finding it out would take longer."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from steepest.optim.method import Method


class Run(NamedTuple):
    """Neighbours in the plan's list of parameters that share block, group, dtype and device: one call of the kernel."""

    start: int
    stop: int
    group: int  # index into `optimizer.param_groups`
    dtype: torch.dtype
    device: torch.device


class Plan(NamedTuple):
    """The parameters that have a gradient, block by block; it serves until they or the groups change."""

    groups: list[dict[str, Any]]
    found: list[Tensor]  # in the groups' order
    params: list[Tensor]  # in the blocks' order
    blocks: list[list[Run]]
    plain: bool  # neither sharded nor complex
    group_of: list[int]  # indices into the groups, parallel to the parameters
    kinds: list[tuple[type, torch.dtype, torch.device]]  # of the parameters found, whose memory may be exchanged
    names: list[list[str] | None]
    own: list[Tensor | None]  # momentum buffers that were seen to be dense and to share no memory
    places: list[int]  # where parameters and buffers lay then: `.data` and `set_` move a tensor
    kept: dict[Any, Any]  # what a path found out about the plan


def made_plan(optimizer: Method, last: Plan | None) -> Plan:
    """The last plan where it still serves, else a new one."""
    groups = optimizer.param_groups
    found = [p for group in groups for p in group["params"] if p.grad is not None]
    kinds = [(type(p), p.dtype, p.device) for p in found]
    all_names = [group.get("param_names") for group in groups]
    unchanged = last is not None and same(found, last.found) and same(groups, last.groups)
    if last is not None and unchanged and kinds == last.kinds and all_names == last.names:
        return last
    blocks: dict[Hashable, dict[tuple[int, torch.dtype, torch.device], list[Tensor]]] = {}
    for i, group in enumerate(groups):
        names = group.get("param_names") or [None] * len(group["params"])
        for param, name in zip(group["params"], names, strict=True):
            if param.grad is None:
                continue
            # Without norms there is nothing to keep apart.
            block = optimizer.block_of(param, name) if optimizer.normalizes else "all"
            blocks.setdefault(block, {}).setdefault((i, param.dtype, param.device), []).append(param)
    params: list[Tensor] = []
    runs: list[list[Run]] = []
    # Blocks of one size side by side, so that their norms can be combined together.
    for block_runs in sorted(blocks.values(), key=lambda block_runs: sum(map(len, block_runs.values()))):
        runs.append([])
        for (i, dtype, device), members in block_runs.items():
            runs[-1].append(Run(len(params), len(params) + len(members), i, dtype, device))
            params += members
    plain = all(type(p) in (Tensor, nn.Parameter) and not p.is_complex() for p in params)
    group_of = [run.group for run in itertools.chain.from_iterable(runs) for _ in range(run.start, run.stop)]
    return Plan(
        list(groups), found, params, runs, plain, group_of, kinds, [n and list(n) for n in all_names], [], [], {}
    )


def same(a: Sequence[object], b: Sequence[object]) -> bool:
    """Whether two lists hold the same objects."""
    return len(a) == len(b) and all(map(operator.is_, a, b))
