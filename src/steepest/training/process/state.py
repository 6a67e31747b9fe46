"""What a process has that a run depends on and that any line of a user's code may change: threads, the default dtype,
gradients on or off, and the like. Every run finds it as it was when its process began, whatever was imported or ran
there before.

Not among it: what a user's code changes of itself, such as a list in its module, or of others, such as a class of
torch's that it patches. A process in which a run failed is therefore not used again.
"""

import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.modules.module as modules
import torch.optim.optimizer as optimizers

from steepest.training.process.randomness import generator_states, restore_generators

_log = logging.getLogger("steepest")
_HOST = torch.device("cpu")
# By backend and operation, from the widest to the narrowest, each of which may take what the one before it says.
_PRECISIONS = [
    ("generic", "all"),
    *((backend, operation) for operation in ("all", "matmul", "conv", "rnn") for backend in ("cuda", "mkldnn")),
]
_has_precisions = hasattr(torch._C, "_get_fp32_precision_getter")  # since torch 2.9
_BACKENDS = (
    *(f"backends.cudnn.{name}" for name in ("enabled", "benchmark", "deterministic")),
    *(() if _has_precisions else ("backends.cudnn.allow_tf32",)),
    *(f"backends.cuda.matmul.allow_{half}_reduced_precision_reduction" for half in ("fp16", "bf16")),
    *(f"backends.mkldnn.{name}" for name in ("enabled", "deterministic")),
    *(f"backends.opt_einsum.{name}" for name in ("enabled", "strategy")),
    "utils.deterministic.fill_uninitialized_memory",
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
_PRECISION = "the precision of float32 products"


class _Part(NamedTuple):
    """Hold one thing that can be changed. ``told``: who changed it wanted something by it that a run will not have."""

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
                    found.append(_told(name, before, now))
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


def _told(name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        return "; ".join(f"{key} from {before[key]} to {now[key]}" for key in before if before[key] != now[key])
    return f"{name} from {before} to {now}"


def _default_device() -> torch.device | None:
    found = torch.get_default_device()
    return None if found == _HOST else found


def _backends() -> dict[str, Any]:
    found = {}
    for path in _BACKENDS:
        with suppress(AttributeError):  # of another release
            found[f"torch.{path}"] = attrgetter(path)(torch)
    return found


def _set_backends(values: dict[str, Any]) -> None:
    now = _backends()
    for path, value in values.items():
        if now[path] != value:
            owner, _, name = path.removeprefix("torch.").rpartition(".")
            setattr(attrgetter(owner)(torch), name, value)


def _read_precisions() -> dict[str, str]:
    """Read them by either of torch's two ways to say it; the older cannot be asked while what the newer set contradicts
    it."""
    try:
        found = {_PRECISION: torch.get_float32_matmul_precision()}
    except RuntimeError:
        found = {_PRECISION: "what torch.backends says"}
    if _has_precisions:
        found |= {f"fp32_precision of {' '.join(p)}": torch._C._get_fp32_precision_getter(*p) for p in _PRECISIONS}
    return found


def _set_precisions(before: dict[str, str]) -> None:
    older, *newer = before.values()
    with suppress(RuntimeError):
        torch.set_float32_matmul_precision(older)
    for place, value in zip(_PRECISIONS, newer, strict=False):
        torch._C._set_fp32_precision_setter(*place, value)


def _conversion() -> tuple[bool, bool]:
    return torch.__future__.get_swap_module_params_on_conversion(), (
        torch.__future__.get_overwrite_module_params_on_conversion()
    )


def _set_conversion(state: tuple[bool, bool]) -> None:
    torch.__future__.set_swap_module_params_on_conversion(state[0])
    torch.__future__.set_overwrite_module_params_on_conversion(state[1])


def _read_own_log() -> tuple[int, bool, int, bool]:
    """Read what decides whether our own warnings are seen."""
    return logging.root.manager.disable, _log.disabled, _log.level, _log.propagate


def _set_own_log(state: tuple[int, bool, int, bool]) -> None:
    logging.root.manager.disable, _log.disabled, level, _log.propagate = state
    _log.setLevel(level)  # which forgets what was decided by another one


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
    """Put back what was taken from the path. What was added stays, for imports that are still to come; nothing is taken
    away."""
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
    _PRECISION: _Part(_read_precisions, _set_precisions),
    "torch.use_deterministic_algorithms": _Part(
        _deterministic, lambda state: torch.use_deterministic_algorithms(state[0], warn_only=state[1])
    ),
    "anomaly detection": _Part(_anomaly, lambda state: torch.autograd.set_detect_anomaly(state[0], check_nan=state[1])),
    "torch.set_flush_denormal": _Part(lambda: _SMALLEST * float(len(_ATTENTION)) == 0.0, torch.set_flush_denormal),
    "flags of torch.backends": _Part(_backends, _set_backends),
    "the cache of autocast": _Part(torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    "the fast path of attention": _Part(
        torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled
    ),
    "how torch converts parameters": _Part(_conversion, _set_conversion),
    "the kernels of attention": _Part(_attention, _set_attention),
    "hooks on all modules or all optimizers": _Part(_hooks, _set_hooks),
    "numpy's errors": _Part(np.geterr, lambda state: np.seterr(**state)),
    "the working directory": _Part(_working_directory, lambda before: os.chdir(before) if before else None),
    _RANDOM: _Part(_random_state, lambda state: restore_generators(state[1], state[0]), told=False),
    "warnings": _Part(lambda: list(warnings.filters), _set_warning_filters, told=False),
    "signals": _Part(_signal_handlers, _set_signal_handlers, told=False),
    "where modules are found": _Part(lambda: list(sys.path), _set_import_path, told=False),
    "stdout and stderr": _Part(lambda: (sys.stdout, sys.stderr), _set_streams, told=False),
    "the log": _Part(_read_own_log, _set_own_log, told=False),
    "garbage collection": _Part(gc.isenabled, lambda before: gc.enable() if before else gc.disable(), told=False),
    "Python's recursion limit": _Part(sys.getrecursionlimit, sys.setrecursionlimit, told=False),
}
