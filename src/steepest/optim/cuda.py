"""The step on CUDA in one Triton kernel for all tensors of a group, after their norms; over lists without Triton.

It reads g, m and p once and writes m and p, whatever the scale, and waits for nothing. In Triton's interpreter, on the
CPU, it takes the steps of the loop; it has run on no GPU yet, so that ``fused=None`` does not choose it.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import Tensor

from steepest.optim.foreach import Batch, Item, foreach_step, gather, move_list
from steepest.optim.layout import is_view_of_bits
from steepest.optim.method import Entry, Method, Signals

_TRITON = importlib.util.find_spec("triton") is not None
_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

Layout = tuple[Tensor, Tensor, Tensor]


def cuda_step(optimizer: Method, blocks: list[list[Entry]], signals: Signals) -> None:
    """Take the step; what the kernel cannot walk through takes the path over lists, and so does a CUDA graph.

    A graph would read the addresses again at every replay, from memory of the host that is long given back.
    """
    if not _TRITON or _is_captured(blocks):
        foreach_step(optimizer, blocks, signals)
        return
    last: dict[Any, Layout] = optimizer._plan if isinstance(optimizer._plan, dict) else {}
    layouts: dict[Any, Layout] = {}
    for batch in gather(optimizer, blocks, signals):
        served: list[Item] = []
        others: list[Item] = []
        for item in batch.items:
            (served if _serves(item) else others).append(item)
        if served:
            key = tuple(item.param.numel() for item in served), served[0].param.device
            layouts[key] = last.get(key) or _layout(*key)
            _launch(batch._replace(items=served), signals.grad_scale, layouts[key])
        for item in others:
            move_list(batch._replace(items=[item]), signals.grad_scale)
    optimizer._plan = layouts  # of this step alone: they lie on the device


def _is_captured(blocks: list[list[Entry]]) -> bool:
    return blocks[0][0].param.is_cuda and torch.cuda.is_current_stream_capturing()


def _serves(item: Item) -> bool:
    """Whether the kernel, which walks through memory, meets the same elements in all tensors."""
    tensors = [t for t in (item.param, item.grad, item.momentum_buffer) if t is not None]
    if item.param.dtype not in _DTYPES or any(is_view_of_bits(t) for t in tensors):
        return False
    return all(t.is_contiguous() and t.dtype == item.param.dtype and t.shape == item.param.shape for t in tensors)


def _launch(batch: Batch, grad_scale: Tensor | None, layout: Layout) -> None:
    from steepest.optim.cuda_kernel import BLOCK, step_kernel, tl

    group, decay, items = batch
    device, dtype = items[0].param.device, items[0].param.dtype
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    tables = [item.param.data_ptr() for item in items] + [item.grad.data_ptr() for item in items]
    if group["momentum"] != 0:
        tables += [item.momentum_buffer.data_ptr() for item in items if item.momentum_buffer is not None]
    which, starts, sizes = layout
    if len(which) == 0:
        return
    scales = _vector([item.scale for item in items], wide, device)
    valid = _vector([item.valid for item in items], torch.int32, device)
    inverse = (
        torch.ones((), dtype=wide, device=device) if grad_scale is None else grad_scale.to(device, wide).reciprocal()
    )
    on_host = [0.0 if isinstance(group["lr"], Tensor) else group["lr"], group["momentum"], group["weight_decay"]]
    numbers = _on(device, torch.tensor(on_host, dtype=wide, device="cpu"))
    step_kernel[(len(which),)](
        _on(device, torch.tensor(tables, dtype=torch.int64, device="cpu")),
        len(items),
        which,
        starts,
        sizes,
        scales,
        valid,
        inverse.neg() if group["maximize"] else inverse,
        group["lr"].to(device, wide) if isinstance(group["lr"], Tensor) else numbers,
        numbers,
        DTYPE=getattr(tl, str(dtype).removeprefix("torch.")),
        WIDE=getattr(tl, str(wide).removeprefix("torch.")),
        WITH_MOMENTUM=group["momentum"] != 0,
        DECAY={"after_scaling": 1, "before_scaling": 2, "decoupled": 3}[decay] if group["weight_decay"] != 0 else 0,
        BLOCK=BLOCK,
    )


def _layout(sizes: tuple[int, ...], device: torch.device) -> Layout:
    """For each program the index of its tensor and its first element there; for each tensor its size."""
    from steepest.optim.cuda_kernel import BLOCK

    programs = [(i, start) for i, size in enumerate(sizes) for start in range(0, size, BLOCK)]
    columns = [i for i, _ in programs], [start for _, start in programs], list(sizes)
    which, starts, counts = (_on(device, torch.tensor(column, dtype=torch.int64, device="cpu")) for column in columns)
    return which, starts, counts


def _on(device: torch.device, host: Tensor) -> Tensor:
    """A copy on the device, without waiting for it."""
    return host if device.type == "cpu" else host.pin_memory().to(device, non_blocking=True)


def _vector(values: list[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
    """One number for each tensor; ``None`` is 1."""
    if all(value is None for value in values):
        return torch.ones(len(values), dtype=dtype, device=device)
    return torch.stack([value.to(device, dtype) for value in values])
