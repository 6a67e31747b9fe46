"""The file from which an interrupted run resumes."""

import contextlib
import hashlib
import io
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steepest.optim.norms import local

State = dict[str, Any]
_SHARE = 50  # of the time at least lies between two checkpoints, for each share that writing one takes


def checkpoint_path(folder: Path, *key: object, rank: int = 0) -> Path:
    """Where a rank of the run of that key, whatever its parts are, keeps its checkpoint in the folder of a study."""
    name = hashlib.sha256(repr(key).encode()).hexdigest()[:24]
    return folder / "checkpoints" / (f"{name}.{rank}.pt" if rank else f"{name}.pt")


class Checkpoint:
    """Where a run stands, in one file that is whole at any moment.

    A file that is torn, corrupt, of another run or of another version is no checkpoint: the run begins anew. So does
    one whose state cannot be saved. A disk that is full costs the checkpoint, not the run.

    What is read can hold tensors, numbers, strings and containers of them, and nothing that would run code
    (``torch.load(weights_only=True)``): the folder of a study may come from someone else. A run whose state holds more,
    such as an optimizer that keeps objects of its own, has no checkpoints.

    Args:
        path: of the file; its folder is made.
        every_seconds: at most so often; besides, writing takes at most a fiftieth of the time.

    Example:
        >>> import tempfile
        >>> checkpoint = Checkpoint(Path(tempfile.mkdtemp()) / "run.pt", every_seconds=0)
        >>> checkpoint.save("sgd, seed 1", {"step": 3})
        >>> checkpoint.load("sgd, seed 1"), checkpoint.load("sgd, seed 2")
        ({'step': 3}, None)
        >>> checkpoint.remove()
    """

    def __init__(self, path: Path, every_seconds: float = 30.0) -> None:
        self.path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._every = every_seconds
        self._next = time.monotonic() + every_seconds
        self._known_to_load = False

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._next

    def give_up(self) -> None:
        """Never be due again: this run has to begin anew if it is interrupted."""
        self._next = math.inf

    def save(self, identity: str, state: State) -> None:
        """Write the state of the run ``identity``, in the place of what was there. Never raises for what goes wrong."""
        started = time.monotonic()
        try:
            payload = _packed(state)
            if not self._known_to_load:
                _unpacked(payload)
                self._known_to_load = True
        except Exception:  # whatever an object that cannot be pickled raises
            self.give_up()
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._temporary, "wb") as file:
                file.write(_header(identity, payload) + payload)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._temporary, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
        ended = time.monotonic()
        self._next = ended + max(self._every, _SHARE * (ended - started))

    def load(self, identity: str) -> State | None:
        """The last state saved under ``identity``, or ``None``."""
        try:
            content = self.path.read_bytes()
            payload = content[len(_header(identity, b"")) :]
            return _unpacked(payload) if content.startswith(_header(identity, payload)) else None
        except Exception:  # no file, or one of a torch that wrote otherwise
            return None

    def remove(self) -> None:
        """Delete the file, once the run's result is safe elsewhere."""
        for path in (self.path, self._temporary):
            path.unlink(missing_ok=True)


def same(a: object, b: object) -> bool:
    """Whether two states are equal: tensors to the last bit, also where they are not a number.

    Example:
        >>> same({"m": torch.tensor([1.0, float("nan")])}, {"m": torch.tensor([1.0, float("nan")])})
        True
        >>> same(torch.tensor(1.0), torch.tensor(1.0).double())
        False
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        alike = (a.dtype, a.device, a.shape) == (b.dtype, b.device, b.shape)
        return alike and torch.equal(*(local(t.detach()).reshape(-1).view(torch.uint8) for t in (a, b)))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def plain_attributes(owner: object) -> State:
    """The numbers and strings among an object's attributes: a counter of a user's module, say."""
    return {key: value for key, value in vars(owner).items() if isinstance(value, int | float | str)}


def _header(identity: str, payload: bytes) -> bytes:
    parts = (hashlib.sha256(part).hexdigest() for part in (identity.encode(), payload))
    return f"steepest checkpoint 1 {' '.join(parts)}\n".encode()


def _packed(state: State) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _unpacked(payload: bytes) -> State:
    state: State = torch.load(io.BytesIO(payload), weights_only=True)
    return state
