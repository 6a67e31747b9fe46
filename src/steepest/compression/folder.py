"""What a compression has done, kept in its folder, so that nothing is done twice."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from steepest._files import write_atomically
from steepest.compression.net import Net
from steepest.compression.training import Trainer
from steepest.page.folder import take_folder
from steepest.training.loop.checkpoint import Checkpoint, checkpoint_path

FORMAT = 1
SETTINGS = "compression.json"
_PARTS = ("shadow", "masks", "sigmas")


class Folder:
    """Where the steps of a compression are; nowhere if ``path`` is ``None``.

    Args:
        asked: what its result depends on, beside the trainer.
    """

    def __init__(self, path: Path | None, asked: Mapping[str, Any], trainer: Trainer) -> None:
        self._path, self._asked, self._trainer = path, asked, trainer
        self._device = trainer.part.inputs.device

    def take(self, **asked: Any) -> None:
        """Take a new folder, or one of the very same compression.

        Args:
            asked: what the result depends on besides.

        Raises:
            InputError: it holds something else.
        """
        if self._path is None:
            return
        settings = {"format": FORMAT, **self._asked, **asked, **self._trainer.settings()}
        settings["base"] = _digest(self._trainer.model.state_dict())
        take_folder(self._path, SETTINGS, json.loads(json.dumps(settings)), "compression")

    @contextmanager
    def checkpoint(self, name: str) -> Iterator[Checkpoint | None]:
        """Where a training resumes from; the file stays until the step is written."""
        yield None if self._path is None else Checkpoint(checkpoint_path(self._path, name))

    def read(self, number: int) -> tuple[dict[str, Any], Net | None] | None:
        """A step's row, and the network if it was kept."""
        if self._path is None:
            return None
        try:
            path = self._path / "steps" / f"{number}.json"
            row = json.loads(path.read_text("utf-8"))
            row = {key: math.nan if value == "nan" else value for key, value in row.items()}
            return row, self._read_net(path.with_suffix(".safetensors")) if row["kept"] else None
        except (OSError, ValueError, KeyError, safetensors.SafetensorError):
            return None

    def write(self, number: int, row: Mapping[str, Any], net: Net | None) -> None:
        """Keep a step: first its network, then the row that says it is there."""
        if self._path is None:
            return
        folder = self._path / "steps"
        folder.mkdir(exist_ok=True)
        if net is not None:
            flat = {f"{part}/{key}": t for part in _PARTS for key, t in getattr(net, part).items()}
            own = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in flat.items()}
            write_atomically(folder / f"{number}.safetensors", safetensors.torch.save(own))
        plain = {key: "nan" if isinstance(v, float) and math.isnan(v) else v for key, v in row.items()}
        write_atomically(folder / f"{number}.json", json.dumps(plain))
        for path in (self._path / "checkpoints").glob("*"):  # of this step, which is safe now
            path.unlink(missing_ok=True)

    def _read_net(self, path: Path) -> Net:
        flat = safetensors.torch.load(path.read_bytes())
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
        for name, tensor in flat.items():
            part, _, key = name.partition("/")
            parts[part][key] = tensor.to(self._device)
        return Net(**parts)


def _digest(state: Mapping[str, Tensor]) -> str:
    """Tell networks apart: SHA-256 of all tensors."""
    found = hashlib.sha256()
    for key, tensor in state.items():
        found.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
