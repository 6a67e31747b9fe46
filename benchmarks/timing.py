"""How the benchmarks take the time of one call."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch


def seconds(call: Callable[[], Any], device: str) -> float:
    """Seconds that the call takes, the device's work included."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def ratios_to(
    base: Callable[[], Any], others: Mapping[str, Callable[[], Any]], rounds: int, device: str
) -> tuple[float, dict[str, list[float]]]:
    """Median seconds of ``base``, and the ratios of the others to it, round by round; the first rounds warm up.

    All take turns, and who begins a round changes, lest one always finds another's caches.
    """
    calls = {"": base, **others}
    names = list(calls)
    took: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 3):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            elapsed = seconds(calls[name], device)
            if turn >= 3:
                took[name].append(elapsed)
    bases = took.pop("")
    ratios = {name: [x / b for x, b in zip(values, bases, strict=True)] for name, values in took.items()}
    return statistics.median(bases), ratios


def machine(device: str) -> str:
    """What the figures were measured on."""
    return torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
