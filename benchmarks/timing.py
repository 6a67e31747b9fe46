"""How the benchmarks take the time of one call."""

import time
from collections.abc import Callable
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
