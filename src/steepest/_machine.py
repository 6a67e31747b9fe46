"""What this machine is: its name, its cores and its devices."""

import os
import platform
from pathlib import Path

import torch

from steepest._errors import InputError, argument


def machine() -> str:
    """Processor, number of usable cores, GPUs and operating system, in one line."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join([_processor(), f"{usable_cores()} cores", *gpus, f"{platform.system()} {platform.release()}"])


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def device_named(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(wanted)
    except RuntimeError:
        raise InputError(
            f"{argument('device')} must be auto, cpu, cuda, cuda:1, mps or the like, got {wanted!r}"
        ) from None
    try:
        torch.zeros(1, device=wanted).add_(1).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"{argument('device')} {wanted!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error
    return wanted
