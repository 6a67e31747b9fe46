"""How well a network learns a set: trained on four fifths and tested on the rest, five times, copies kept together."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from steepest._errors import InputError
from steepest._threads import threads
from steepest.formulas.recognition.settings import Settings
from steepest.formulas.recognition.testing import Tested, answers, judge
from steepest.formulas.recognition.training import assignment_of, calibrated
from steepest.formulas.sets.copies import folds
from steepest.formulas.sets.symbol_set import SymbolSet
from steepest.training.train import train


@dataclass(frozen=True)
class CrossValidated:
    """What came of it.

    Attributes:
        tested: each symbol of the set once, by the network that has not seen it.
        folds: each fold alone, its examples by their indices in the fold.
        seconds: of each training.
    """

    tested: Tested
    folds: list[Tested]
    seconds: list[float]

    @property
    def accuracy(self) -> tuple[float, float]:
        """Mean and standard deviation over the folds."""
        return _spread([fold.accuracy for fold in self.folds])

    @property
    def balanced_accuracy(self) -> tuple[float, float]:
        """Mean and standard deviation over the folds."""
        return _spread([fold.balanced_accuracy for fold in self.folds])


def cross_validate(
    symbols: SymbolSet,
    settings: Settings = Settings(),  # noqa: B008
    count: int = 5,
    progress: Callable[[int, Tested, float], object] = lambda fold, tested, seconds: None,
) -> CrossValidated:
    """Train ``count`` times, each time on all folds but one, and test on that one; nothing is chosen by it.

    Args:
        settings: ``held_out`` does not matter here. The folds are the same for all of one seed.
        progress: called after each fold with its number, what came of it, and the seconds of its training.

    Raises:
        InputError: a setting cannot be used, or a training has diverged.
        ValueError: ``count`` is not from 2 to the number of symbols.
    """
    fold_of = folds(symbols, count, settings.seed)
    said = [""] * len(symbols)
    tested, seconds = [], []
    for fold in range(count):
        rest, out = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        assignment, labels = assignment_of(symbols, rest, out, replace(settings, seed=settings.seed + fold))
        networks: list[nn.Module] = []
        with threads(settings.threads):
            outcome = train(assignment, with_test=False, trained=networks.append)
            if not networks:
                raise InputError(f"the training without fold {fold} diverged; give a lower lr")
            recognizer = calibrated(networks[0], labels, assignment.splits.validation)
            found = answers(recognizer, symbols.some(out))
        for index, label in zip(out.tolist(), found, strict=True):
            said[index] = label
        tested.append(judge(found, symbols.some(out)))
        seconds.append(outcome.seconds)
        progress(fold, tested[-1], seconds[-1])
    return CrossValidated(judge(said, symbols), tested, seconds)


def _spread(values: list[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values)
