"""The step on CUDA in one Triton kernel for all tensors of a group, after their norms; over lists without Triton.

It reads g, m and p once and writes m and p, whatever the scale, and waits for nothing. What it is told beside the
scales lies on the device from step to step, as long as it stays the same.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import Tensor

from steepest.optim.fused_lists import Ready, Share, lists_step, make_ready, move_others, shares_of, those_of
from steepest.optim.method import Method, Signals
from steepest.optim.step import Decay

_TRITON = importlib.util.find_spec("triton") is not None
_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_DECAYS: dict[Decay, int] = {"after_scaling": 1, "before_scaling": 2, "decoupled": 3}


def cuda_step(optimizer: Method, signals: Signals) -> None:
    """Take the step; what the kernel cannot walk through takes the path over lists, and so does a CUDA graph.

    A graph would read the addresses again at every replay, from memory of the host that is long given back.
    """
    serves = _TRITON and not (_is_captured(optimizer) or any(group["nesterov"] for group in optimizer.param_groups))
    ready = make_ready(optimizer, signals) if serves else None
    if ready is None:
        lists_step(optimizer, signals)
        return
    for index, share in enumerate(shares_of(ready.plan)):
        taken = those_of(share, ready.lists.alike if share.dtype in _DTYPES else [False] * len(ready.lists.alike))
        if taken.members:
            _launch(optimizer, ready, taken, index)
        move_others(optimizer, ready, share, taken)


def _is_captured(optimizer: Method) -> bool:
    on_cuda = any(p.is_cuda for group in optimizer.param_groups for p in group["params"])
    return on_cuda and torch.cuda.is_current_stream_capturing()


def _launch(optimizer: Method, ready: Ready, share: Share, index: int) -> None:
    from steepest.optim.cuda_kernel import BLOCK, step_kernel, tl

    group, lists, device = ready.plan.groups[share.group], ready.lists, share.device
    with_momentum = group["momentum"] != 0
    wide = torch.float64 if share.dtype == torch.float64 else torch.float32
    tables = _Tables(ready.plan.kept, index, device)
    which, starts, sizes, blocks = tables.layout([lists.params[i].numel() for i in share.members], share.blocks)
    if len(which) == 0:
        return
    used = (lists.params, lists.grads, lists.buffers) if with_momentum else (lists.params, lists.grads)
    lr = float(group["lr"]) if isinstance(group["lr"], Tensor) and group["lr"].is_cpu else group["lr"]
    on_host = [0.0 if isinstance(lr, Tensor) else lr, group["momentum"], group["weight_decay"]]
    numbers = tables.of("numbers", [*on_host, -1.0 if group["maximize"] else 1.0], wide)
    ones = tables.of("ones", [1.0] * len(ready.plan.blocks), wide)
    scales, missed, loss_scale = ready.scales.get(id(group)), ready.missed, ready.signals.grad_scale
    step_kernel[(len(which),)](
        tables.of("addresses", [tensors[i].data_ptr() for tensors in used for i in share.members], torch.int64),
        len(share.members),
        which,
        starts,
        sizes,
        blocks,
        ones if scales is None else scales.to(device, wide).contiguous(),
        tables.of("zeros", [0] * len(ready.plan.blocks), torch.int32)
        if missed is None
        else missed.to(device, torch.int32),
        ones if loss_scale is None else loss_scale.to(device, wide).reciprocal(),
        lr.to(device, wide) if isinstance(lr, Tensor) else numbers,
        numbers,
        DTYPE=getattr(tl, str(share.dtype).removeprefix("torch.")),
        WIDE=getattr(tl, str(wide).removeprefix("torch.")),
        WITH_MOMENTUM=with_momentum,
        DECAY=_DECAYS[optimizer.decay_of(group)] if group["weight_decay"] != 0 else 0,
        BLOCK=BLOCK,
    )


class _Tables:
    """Keep lists of numbers on the device, sent there when they change; kept in the plan."""

    def __init__(self, kept: dict[Any, Any], index: int, device: torch.device) -> None:
        self._kept, self._device = kept.setdefault(("tables", index), {}), device

    def of(self, name: str, values: list[Any], dtype: torch.dtype) -> Tensor:
        """Return the values as a tensor."""
        seen, table = self._kept.get(name, (None, None))
        if seen != values:
            table = _on(self._device, torch.tensor(values, dtype=dtype, device="cpu"))
            self._kept[name] = values, table
        return table  # type: ignore[no-any-return]

    def layout(self, sizes: list[int], blocks: list[int]) -> tuple[Tensor, ...]:
        """List each program's tensor and its first element there, and each tensor's size and block."""
        from steepest.optim.cuda_kernel import BLOCK

        seen, layout = self._kept.get("layout", (None, ()))
        if seen != (sizes, blocks):
            programs = [(i, start) for i, size in enumerate(sizes) for start in range(0, size, BLOCK)]
            columns = [i for i, _ in programs], [start for _, start in programs], sizes, blocks
            layout = tuple(_on(self._device, torch.tensor(c, dtype=torch.int64, device="cpu")) for c in columns)
            self._kept["layout"] = (sizes, blocks), layout
        return layout  # type: ignore[no-any-return]


def _on(device: torch.device, host: Tensor) -> Tensor:
    """Copy to the device, without waiting for it."""
    return host if device.type == "cpu" else host.pin_memory().to(device, non_blocking=True)
