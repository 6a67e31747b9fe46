"""From a set of symbols to a recogniser, in a folder: a training that was killed goes on where it stood."""

# ruff: noqa: E402
from steepest._errors import check_extra

check_extra("compare", "cloudpickle")

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from steepest._errors import InputError, argument
from steepest._threads import threads
from steepest.data import Split, Splits
from steepest.formulas.recognition.distortion import distort
from steepest.formulas.recognition.networks import as_inputs, make_network
from steepest.formulas.recognition.recognizer import Recognizer
from steepest.formulas.recognition.results import (
    Epoch,
    Trained,
    read_progress,
    read_result,
    write_progress,
    write_result,
)
from steepest.formulas.recognition.settings import Settings
from steepest.formulas.recognition.temperature import fit_temperature
from steepest.formulas.recognition.testing import Tested, test_recognizer
from steepest.formulas.recognition.widening import widened
from steepest.formulas.sets.copies import hold_out_symbols
from steepest.formulas.sets.symbol_set import SymbolSet
from steepest.page.folder import take_folder
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.outcome import Progress
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.definitions.workload import Workload
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.train import train

SETTINGS, CHECKPOINT = "training.json", "checkpoint.pt"
_SECONDS = 5.0  # at least between two checkpoints


class StoppedError(InputError):
    """A training was stopped by who watches it; the next call goes on."""


def train_recognizer(
    symbols: SymbolSet,
    folder: Path,
    settings: Settings = Settings(),  # noqa: B008
    progress: Callable[[Epoch], object] = lambda epoch: None,
    *,
    held_out: "Sequence[int] | NDArray[np.int64] | None" = None,
    times: "Sequence[int] | NDArray[np.int64] | None" = None,
) -> Trained:
    """Train, or read what the folder has; writes ``model.safetensors``, ``result.json`` and ``progress.jsonl`` there.

    A share of the symbols, by default a tenth, is held out, with all copies of what is in it: the accuracy is that on
    them, and so is the temperature. With ``fragments`` the course and the temperature are on what is made of them, too.

    Args:
        folder: new, or that of this very training.
        progress: called after each epoch; a true answer stops the training.
        held_out: the indices of those symbols, for sets of which it is known what is a copy of what; by default they
            are looked for.
        times: how often each symbol of the set comes in an epoch, distorted anew each time; by default once.

    Raises:
        ValueError: ``held_out`` holds none, all, or others than the set's, or ``times`` is not a number above 0 for
            each.
        InputError: there are too few symbols, a setting cannot be used, the folder holds something else, or the
            training has diverged.
        StoppedError: ``progress`` has stopped it.
    """
    folder = Path(folder)
    settings.find_method()
    chosen = None if held_out is None else _check_indices(held_out, len(symbols))
    often = None if times is None else _check_times(times, len(symbols))
    own = {"held_out_symbols": _digest_of(chosen), "times": _digest_of(often)}
    asked = {"symbols": _digest(symbols), **_plain(asdict(settings)), **own}
    take_folder(folder, SETTINGS, asked, "training", {"fragments": 0.0})
    with suppress(OSError, ValueError, KeyError, TypeError, InputError):
        return read_result(folder, symbols)
    if chosen is None:
        rest, out = hold_out_symbols(symbols, settings.held_out, settings.seed)
    else:
        rest, out = np.setdiff1d(np.arange(len(symbols)), chosen), chosen
    learnt = rest if often is None else np.repeat(rest, often[rest])
    assignment, labels = assignment_of(symbols, learnt, out, settings)
    with threads(settings.threads):
        network, curve, seconds = _train(assignment, folder, progress)
        recognizer = calibrated(network, labels, assignment.splits.validation)
    tested = _place(test_recognizer(recognizer, symbols.some(out)), out.tolist())
    trained = Trained(replace(recognizer, accuracy=tested.accuracy), tested, curve, seconds, symbols.counts())
    write_result(folder, trained)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return trained


def _check_indices(indices: "Sequence[int] | NDArray[np.int64]", count: int) -> NDArray[np.int64]:
    """Return indices in order, each once; they must be of some of ``count``, not of all."""
    found = np.unique(np.asarray(indices, dtype=np.int64))
    if not 0 < len(found) < count or found[0] < 0 or found[-1] >= count:
        raise ValueError(f"held_out must be indices of some of the {count} symbols, not of all, got {len(found)}")
    return found


def _check_times(times: "Sequence[int] | NDArray[np.int64]", count: int) -> NDArray[np.int64]:
    found = np.asarray(times)
    if found.shape != (count,) or found.dtype.kind not in "iu" or not (found >= 1).all():
        least = f", the least {found.min()}" if found.size else ""
        raise ValueError(
            f"times must be {count} integers above 0, one for each symbol, got {found.dtype} of shape "
            f"{found.shape}{least}"
        )
    return found.astype(np.int64)


def _digest_of(numbers: NDArray[np.int64] | None) -> str | None:
    return None if numbers is None else hashlib.sha256(numbers.tobytes()).hexdigest()


def assignment_of(
    symbols: SymbolSet, rest: NDArray[np.int64], held_out: NDArray[np.int64], settings: Settings
) -> tuple[Assignment, tuple[str, ...]]:
    """The training on the symbols of the indices ``rest``, validated on those of ``held_out``; and its classes."""
    if settings.fragments:
        symbols, rest, held_out = widened(symbols, rest, held_out, settings.fragments, settings.seed)
    labels = tuple(symbols.counts())
    splits = Splits(*(_split(symbols.some(part), labels) for part in (rest, held_out, held_out)))
    workload = Workload(
        "logic-symbols",
        data=lambda _: splits,
        model=partial(make_network, settings.network_settings(len(labels))),
        batch_size=settings.batch_size,
        epochs=settings.passes,
        target=0.9,
        augment=distort if settings.distort else None,
    )
    method, values = settings.find_method()
    batch_size = min(settings.batch_size, len(rest))
    schedule = SCHEDULES[settings.schedule]
    run = Assignment(workload, method, splits, values, settings.seed, settings.passes, batch_size, schedule)
    return run, labels


@torch.no_grad()
def calibrated(network: nn.Module, labels: tuple[str, ...], held_out: Split) -> Recognizer:
    """A recogniser of a network, at the temperature that fits what was held out."""
    inputs = held_out.inputs
    logits = torch.cat([network(inputs[at : at + 1000]) for at in range(0, len(inputs), 1000)])
    return Recognizer(network, labels, fit_temperature(logits, held_out.targets))  # type: ignore[arg-type]


def _train(
    assignment: Assignment, folder: Path, progress: Callable[[Epoch], object]
) -> tuple[nn.Module, list[Epoch], float]:
    lines = read_progress(folder)
    networks: list[nn.Module] = []

    def note(seen: Progress) -> bool:
        epoch = Epoch(seen.validations, assignment.epochs, seen.train_loss, seen.validation_metric)
        lines[:] = [*(line for line in lines if line.epoch < epoch.epoch), epoch]
        write_progress(folder, lines)
        return bool(progress(epoch))

    checkpoint = Checkpoint(folder / CHECKPOINT, _SECONDS)
    outcome = train(assignment, with_test=False, checkpoint=checkpoint, progress=note, trained=networks.append)
    if outcome.pruned:
        raise StoppedError(f"the training was stopped after epoch {len(lines)} of {assignment.epochs}")
    if not networks:
        lr = assignment.hyperparameters.get("lr", float("nan"))
        raise InputError(f"{argument('lr')} {lr:g} is too high for {assignment.method.name}: the training diverged")
    return networks[0], lines, outcome.seconds


def _split(symbols: SymbolSet, labels: tuple[str, ...]) -> Split:
    number = {label: k for k, label in enumerate(labels)}
    targets: Tensor = torch.tensor([number[label] for label in symbols.labels], dtype=torch.int64, device="cpu")
    return Split(as_inputs(symbols.images), targets)


def _digest(symbols: SymbolSet) -> str:
    return hashlib.sha256(symbols.images.tobytes() + "\n".join(symbols.labels).encode()).hexdigest()


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _place(tested: Tested, indices: list[int]) -> Tested:
    """Put the examples' indices in the whole set in the place of those in the part that was tested."""
    confusions = [c._replace(examples=tuple(indices[i] for i in c.examples)) for c in tested.confusions]
    return replace(tested, confusions=confusions)
