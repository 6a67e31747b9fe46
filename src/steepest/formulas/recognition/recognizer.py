"""A trained network, its classes and how sure it may be: from bitmaps to probabilities, in one file."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray

from steepest._errors import InputError, one_line
from steepest._files import write_atomically
from steepest._safetensors import to_bytes
from steepest.formulas.image.symbols import SIDE
from steepest.formulas.recognition.networks import ConvNet, DenseNet, as_inputs, make_network
from steepest.formulas.sets.symbol_set import CLASSES

FORMAT = "steepest recognizer 1"
LARGEST_FILE = 64 * 2**20  # bytes
_AT_A_TIME = 1000


@dataclass(frozen=True, eq=False)
class Recognizer:
    """What a bitmap may be, and how probable each is.

    Args:
        network: in evaluation mode from here on.
        labels: the class of each of its outputs.
        temperature: by which its outputs are divided.
        accuracy: on data that was held out, from 0 to 1; ``None`` if not known.

    Raises:
        ValueError: the labels are not as many as the outputs, one is no class or comes twice, or a number is out of
            range.

    Example:
        >>> recognizer = Recognizer(DenseNet(classes=2, hidden=4), ("∀", "∃"))
        >>> recognizer.probabilities(np.ones((3, 28, 28), dtype=np.uint8)).shape
        (3, 2)
    """

    network: DenseNet | ConvNet
    labels: tuple[str, ...]
    temperature: float = 1.0
    accuracy: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if len(self.labels) != self.network.settings["classes"] or len(set(self.labels)) != len(self.labels):
            raise ValueError(
                f"labels must be {self.network.settings['classes']} different ones, as the network has outputs, got "
                f"{len(self.labels)}"
            )
        if unknown := sorted(set(self.labels).difference(CLASSES)):
            raise ValueError(f"labels must be of steepest.formulas.logic.LABELS or '', got {unknown[0][:40]!r}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be a finite number above 0, got {self.temperature!r}")
        if self.accuracy is not None and not 0 <= self.accuracy <= 1:
            raise ValueError(f"accuracy must be from 0 to 1, got {self.accuracy!r}")
        self.network.eval()

    @torch.no_grad()
    def probabilities(self, bitmaps: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probability of each class (N, classes), in the order of ``labels``.

        Args:
            bitmaps: (N, 28, 28), 1 where there is ink.

        Raises:
            ValueError: they are of another shape.
        """
        if bitmaps.ndim != 3 or bitmaps.shape[1:] != (SIDE, SIDE):
            raise ValueError(f"bitmaps must be of shape (N, 28, 28), got {bitmaps.shape}")
        found = np.zeros((len(bitmaps), len(self.labels)), dtype=np.float64)
        for at in range(0, len(bitmaps), _AT_A_TIME):
            logits = self.network(as_inputs(bitmaps[at : at + _AT_A_TIME])).double()
            found[at : at + _AT_A_TIME] = torch.softmax(logits / self.temperature, dim=1).numpy()
        return found

    def top(self, bitmaps: NDArray[np.uint8], count: int = 5) -> list[list[tuple[str, float]]]:
        """Of each bitmap the most probable classes with their probabilities, the most probable first."""
        rows = self.probabilities(bitmaps)
        best = np.argsort(-rows, axis=1, kind="stable")[:, :count]
        return [
            [(self.labels[k], float(row[k])) for k in order] for row, order in zip(rows, best.tolist(), strict=True)
        ]

    def save(self, path: str | Path, *, half: bool = False) -> None:
        """Write the file, whole at any moment.

        Args:
            half: weights in 16 bits, for a file of half the size.
        """
        write_atomically(Path(path), self.content(half=half))

    def content(self, *, half: bool = False) -> bytes:
        """What :meth:`save` writes: the same bytes for the same recogniser."""
        state = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        if half:
            state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
        metadata = {
            "format": FORMAT,
            "labels": json.dumps(self.labels),
            "network": json.dumps(self.network.settings),
            "temperature": repr(float(self.temperature)),
            **({} if self.accuracy is None else {"accuracy": repr(float(self.accuracy))}),
        }
        return to_bytes(state, metadata)

    @classmethod
    def load(cls, source: str | Path | bytes) -> "Recognizer":
        """What :meth:`save` has written.

        Args:
            source: a file, or what is in it.

        Raises:
            InputError: it cannot be read, is larger than 64 MiB, or is no such file.
        """
        name = "the model" if isinstance(source, bytes) else str(source)
        content = source if isinstance(source, bytes) else _read(Path(source))
        if len(content) > LARGEST_FILE:
            raise InputError(f"{name} must have at most {LARGEST_FILE} bytes, and has more")
        try:
            metadata = _read_metadata(content)
            if metadata.get("format") != FORMAT:
                raise ValueError(f"its format must be {FORMAT!r}, got {str(metadata.get('format'))[:40]!r}")
            network = make_network(_read_settings(metadata["network"]))
            state = safetensors.torch.load(content)
            _check_finite(state)
            network.load_state_dict(state)
            accuracy = metadata.get("accuracy")
            return cls(
                network,
                _read_labels(metadata["labels"]),
                float(metadata["temperature"]),
                None if accuracy is None else float(accuracy),
            )
        except (ValueError, KeyError, TypeError, RuntimeError, RecursionError, safetensors.SafetensorError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split("\n")[:2])
            raise InputError(f"{name} cannot be used as a model of symbols: {one_line(reason)}") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _read_metadata(content: bytes) -> dict[str, str]:
    """Read the part of the header that safetensors gives only of files."""
    size = int.from_bytes(content[:8], "little")
    if size > len(content) - 8:
        raise ValueError("it is no safetensors file")
    found = json.loads(content[8 : 8 + size])
    metadata = found.get("__metadata__") if isinstance(found, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("it says nothing about its network")
    return metadata


def _read_settings(text: str) -> dict[str, Any]:
    settings = json.loads(text)
    if not isinstance(settings, dict):
        raise ValueError("its network must be a table of settings")
    return settings


def _read_labels(text: str) -> tuple[str, ...]:
    labels = json.loads(text)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError("its labels must be a list of characters")
    return tuple(labels)


def _check_finite(state: dict[str, torch.Tensor]) -> None:
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} holds a number that is not finite")
