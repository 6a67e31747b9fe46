"""What a process has that a run depends on and that any line of a user's code may change: threads, the default dtype,
gradients on or off, and the like. Every run finds it as it was when its process began, whatever was imported or ran
there before.

Not among it: what a user's code changes of itself, such as a list in its module, or of others, such as a class of
torch's that it patches. A process in which a run failed is therefore not used again.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.modules.module as modules
import torch.optim.optimizer as optimizers

from steepest.training.randomness import generator_states, restore_generators

_log = logging.getLogger("steepest")
_HOST = torch.device("cpu")
_BACKENDS = (
    *((torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic", "allow_tf32")),
    *((torch.backends.cuda.matmul, f"allow_{half}_reduced_precision_reduction") for half in ("fp16", "bf16")),
    (torch.backends.mkldnn, "enabled"),
)
_ATTENTION = ("flash", "mem_efficient", "math", "cudnn")
_HOOK_TABLES = [
    table
    for owner in (modules, optimizers)
    for name, table in sorted(vars(owner).items())
    if name.startswith("_global_") and isinstance(table, dict)
]
_SIGNALS = [
    getattr(signal, f"SIG{name}")
    for name in ("INT", "TERM", "HUP", "ALRM", "CHLD", "PIPE", "USR1", "USR2")
    if hasattr(signal, f"SIG{name}")
]
_SMALLEST = 5e-324
_RANDOM = "random numbers"


class _Part(NamedTuple):
    """One thing that can be changed. ``told``: who changed it wanted something by it that a run will not have."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    told: bool = True


class ProcessState:
    """How things stand in this process and thread, to be put back later.

    Args:
        random_numbers: put the global generators back as well, which a run that seeds them does without.

    Example:
        >>> before = ProcessState()
        >>> torch.set_default_dtype(torch.float64)
        >>> before.restore()
        ['the default dtype from torch.float32 to torch.float64']
        >>> before.restore()
        []
    """

    def __init__(self, *, random_numbers: bool = True) -> None:
        left_out = () if random_numbers else (_RANDOM,)
        self._values = {name: part.read() for name, part in _PARTS.items() if name not in left_out}

    def restore(self) -> list[str]:
        """Put everything back; says what had been changed, of that which somebody may miss.

        Raises:
            RuntimeError: inference mode was left on, which nobody else can end.
        """
        found = []
        for name, before in self._values.items():
            part = _PARTS[name]
            now = part.read()
            if not _same(before, now):
                part.write(before)
                if part.told:
                    found.append(f"{name} from {before} to {now}")
        if torch.is_inference_mode_enabled():
            raise RuntimeError("torch.inference_mode() was entered and not left; use it in a with statement")
        return found


@contextmanager
def users_code(what: str) -> Iterator[None]:
    """Around code of a user's that is imported: it leaves the process as it was, and prints to stderr, since a
    command's stdout is its table's. What it changed is told in the log, for it will not be in force."""
    before = ProcessState()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        changes = before.restore()
        if multiprocessing.parent_process() is not None:  # a worker: the study's own process has told it
            changes = []
        for change in changes:
            _log.warning("%s changes %s; every run has what was there before", what, change)


def _same(before: Any, now: Any) -> bool:
    try:
        return bool(before == now)
    except (RuntimeError, ValueError):  # of tensors in a random state
        return False


def _default_device() -> torch.device | None:
    found = torch.get_default_device()
    return None if found == _HOST else found


def _backends() -> list[Any]:
    return [getattr(owner, name, None) for owner, name in _BACKENDS]


def _set_backends(values: list[Any]) -> None:
    for (owner, name), value in zip(_BACKENDS, values, strict=True):
        if getattr(owner, name, None) != value:
            setattr(owner, name, value)


def _attention() -> list[bool]:
    return [getattr(torch.backends.cuda, f"{kind}_sdp_enabled")() for kind in _ATTENTION]


def _set_attention(values: list[bool]) -> None:
    for kind, value in zip(_ATTENTION, values, strict=True):
        getattr(torch.backends.cuda, f"enable_{kind}_sdp")(value)


def _autocast() -> list[Any]:
    return [(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]


def _set_autocast(states: list[Any]) -> None:
    for kind, enabled, dtype in states:
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _hooks() -> list[dict[Any, Any]]:
    return [dict(table) for table in _HOOK_TABLES]


def _set_hooks(states: list[dict[Any, Any]]) -> None:
    for table, before in zip(_HOOK_TABLES, states, strict=True):
        table.clear()
        table.update(before)


def _random_state() -> Any:
    device = torch.device("cuda" if torch.cuda.is_initialized() else "cpu")  # type: ignore[no-untyped-call]
    return device, generator_states(device)


def _signal_handlers() -> dict[signal.Signals, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}  # where none can be set
    return {number: signal.getsignal(number) for number in _SIGNALS}


def _set_signal_handlers(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _set_import_path(before: list[str]) -> None:
    """What was added stays, for imports that are still to come; nothing is taken away."""
    sys.path.extend(place for place in before if place not in sys.path)


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _set_warning_filters(before: list[Any]) -> None:
    warnings.filters[:] = before  # type: ignore[index]
    getattr(warnings, "_filters_mutated", lambda: None)()  # else what was decided by the others is remembered


def _set_streams(before: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = before


_PARTS = {
    "the number of torch's threads": _Part(torch.get_num_threads, torch.set_num_threads),
    "the default dtype": _Part(torch.get_default_dtype, torch.set_default_dtype),
    "the default device": _Part(_default_device, torch.set_default_device),
    "whether gradients are recorded": _Part(torch.is_grad_enabled, torch.set_grad_enabled),
    "autocast": _Part(_autocast, _set_autocast),
    "the precision of float32 products": _Part(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "torch.use_deterministic_algorithms": _Part(
        _deterministic, lambda state: torch.use_deterministic_algorithms(state[0], warn_only=state[1])
    ),
    "anomaly detection": _Part(_anomaly, lambda state: torch.autograd.set_detect_anomaly(state[0], check_nan=state[1])),
    "torch.set_flush_denormal": _Part(lambda: _SMALLEST * float(len(_ATTENTION)) == 0.0, torch.set_flush_denormal),
    "flags of torch.backends": _Part(_backends, _set_backends),
    "the kernels of attention": _Part(_attention, _set_attention),
    "hooks on all modules or all optimizers": _Part(_hooks, _set_hooks),
    "numpy's errors": _Part(np.geterr, lambda state: np.seterr(**state)),
    "the working directory": _Part(_working_directory, lambda before: os.chdir(before) if before else None),
    _RANDOM: _Part(_random_state, lambda state: restore_generators(state[1], state[0]), told=False),
    "warnings": _Part(lambda: list(warnings.filters), _set_warning_filters, told=False),
    "signals": _Part(_signal_handlers, _set_signal_handlers, told=False),
    "where modules are found": _Part(lambda: list(sys.path), _set_import_path, told=False),
    "stdout and stderr": _Part(lambda: (sys.stdout, sys.stderr), _set_streams, told=False),
    "Python's recursion limit": _Part(sys.getrecursionlimit, sys.setrecursionlimit, told=False),
}
