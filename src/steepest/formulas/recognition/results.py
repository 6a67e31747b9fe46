"""What a training leaves in its folder: its course, the model, and what came of it."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from steepest._files import write_atomically
from steepest.formulas.recognition.recognizer import Recognizer
from steepest.formulas.recognition.testing import Confusion, Tested
from steepest.formulas.sets.symbol_set import SymbolSet

MODEL, RESULT, PROGRESS = "model.safetensors", "result.json", "progress.jsonl"


class Epoch(NamedTuple):
    """Where a training stands after an epoch: mean loss of training, and accuracy on what is held out."""

    epoch: int
    epochs: int
    train_loss: float
    accuracy: float


@dataclass(frozen=True)
class Trained:
    """A recogniser, and what came of it.

    Attributes:
        tested: on the symbols that were held out; examples of confusions are indices in the whole set.
        curve: after each epoch.
        seconds: of the training.
        counts: symbols of each class, of all.
    """

    recognizer: Recognizer
    tested: Tested
    curve: list[Epoch]
    seconds: float
    counts: dict[str, int]


def read_progress(folder: Path) -> list[Epoch]:
    """The epochs of a training, as far as it is; none if it has not begun."""
    with suppress(OSError, ValueError, TypeError):
        return [Epoch(**json.loads(line)) for line in (folder / PROGRESS).read_text("utf-8").splitlines()]
    return []


def write_progress(folder: Path, epochs: list[Epoch]) -> None:
    """Write ``progress.jsonl``, a line an epoch."""
    write_atomically(folder / PROGRESS, "".join(json.dumps(epoch._asdict()) + "\n" for epoch in epochs))


def write_result(folder: Path, trained: Trained) -> None:
    """Write ``model.safetensors``, then ``result.json``: where there is a result, there is its model."""
    trained.recognizer.save(folder / MODEL)
    found = {
        "accuracy": trained.tested.accuracy,
        "balanced_accuracy": trained.tested.balanced_accuracy,
        "confusions": [c._asdict() for c in trained.tested.confusions],
        "held_out": trained.tested.counts,
        "counts": trained.counts,
        "seconds": trained.seconds,
        "temperature": trained.recognizer.temperature,
    }
    write_atomically(folder / RESULT, json.dumps(found, ensure_ascii=False, indent=1))


def read_result(folder: Path, symbols: SymbolSet) -> Trained:
    """What :func:`write_result` has written, of a training on these symbols.

    Raises:
        OSError, ValueError, KeyError, TypeError, InputError: it is not there, or damaged.
    """
    found = json.loads((folder / RESULT).read_text("utf-8"))
    confusions = [Confusion(**{**c, "examples": tuple(c["examples"])}) for c in found["confusions"]]
    tested = Tested(found["accuracy"], found["balanced_accuracy"], confusions, found["held_out"])
    return Trained(Recognizer.load(folder / MODEL), tested, read_progress(folder), found["seconds"], symbols.counts())
