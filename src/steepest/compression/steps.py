"""The steps of a compression, each of them kept or taken back."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from steepest._kept import random_numbers_kept
from steepest.compression.constraint import best_sigma
from steepest.compression.folder import Folder
from steepest.compression.format.writing import format_file
from steepest.compression.net import Net
from steepest.compression.pruning import global_masks, share_of_zeros
from steepest.compression.training import Trained, Trainer

Order = Literal["sparsest", "densest", "random", "together"]
ORDERS = ("sparsest", "densest", "random", "together")
TRIES = 6  # of a sparsity, until the base network itself is taken
Progress = Callable[[str, float], object]


@dataclass(frozen=True)
class Tried:
    """A step of a compression that was kept or taken back.

    ``step``: ``"base"``, ``"prune"`` or ``"constrain"``; ``layers``: the weights that it is about; ``sparsity``: of
    these; ``before``, ``after``: what ``evaluate`` gave; ``sigma``: of a single constrained weight; ``epochs`` and
    ``seconds`` of training; ``bytes``: of the file if it ended here.
    """

    step: str
    layers: tuple[str, ...]
    sparsity: float
    before: float
    after: float
    kept: bool
    sigma: float | None
    epochs: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Compressed:
    """What a compression came to.

    ``model``: a plain copy, in evaluation mode; ``base``, ``accuracy``: what ``evaluate`` gave of the network at first
    and of this one; ``log``: every step that was tried; ``constrained``: the weights of at most three values;
    ``sparsity``: of all weights that were pruned.
    """

    model: nn.Module
    base: float
    accuracy: float
    log: list[Tried] = field(repr=False)
    constrained: tuple[str, ...]
    sparsity: float

    def __str__(self) -> str:
        lines = [f"{self.base:g} -> {self.accuracy:g} points, {100 * self.sparsity:.1f} % zeros"]
        for row in self.log:
            what = "kept" if row.kept else "restored"
            lines.append(f"{row.step} {', '.join(row.layers[:3])}: {row.before:g} -> {row.after:g}, {what}")
        return "\n".join(lines)


@dataclass
class Compression:
    """The steps of a compression, each of them kept or taken back."""

    trainer: Trainer
    folder: Folder
    judge: Callable[[nn.Module], float]
    budget: float
    higher_is_better: bool
    progress: Progress
    log: list[Tried] = field(default_factory=list)
    base: float = math.nan
    accuracy: float = math.nan

    def all(self, sparsity: float, epochs: int, retrain: int, order: Order) -> Compressed:
        """Do them.

        Raises:
            InputError: the folder holds another compression.
        """
        self.folder.take(sparsity=float(sparsity), epochs=epochs, retrain=retrain, order=order)
        net = self._begin()
        net = self._prune(net, sparsity, retrain)
        keys = self._sort(net, order)
        groups = [tuple(keys)] if order == "together" else [(key,) for key in keys]
        for number, group in enumerate(groups):
            share = (1 + number) / (1 + len(groups)), (2 + number) / (1 + len(groups))
            net = self._constrain(net, group, epochs * len(group), share)
        self.progress("done", 1.0)
        model = net.plain(self.trainer.model).eval()
        held = tuple(key for key in self.trainer.places if key in net.sigmas)
        return Compressed(model, self.base, self.accuracy, self.log, held, net.sparsity)

    def _begin(self) -> Net:
        """Judge the base network, once."""
        net = Net.of(self.trainer.model)
        row, _ = self._step(0, "base", tuple(self.trainer.places), net, lambda: (net, 0.0), 0)
        if not math.isfinite(row.after):
            raise ValueError(f"evaluate must return a finite number for the given model, got {row.after}")
        self.base = self.accuracy = row.after
        return net

    def _prune(self, net: Net, sparsity: float, epochs: int) -> Net:
        """Prune as much as the budget allows: at the sparsity, or by bisection below it."""
        weights = {key: net.shadow[key] for key in self.trainer.places}
        best = replace(net, masks=global_masks(weights, 0.0))
        low, high, tried = 0.0, sparsity, sparsity
        for attempt in range(TRIES if sparsity > 0 else 0):
            pruned = replace(net, masks=global_masks(weights, tried))
            name = f"prune {tried:.6g}"
            found = self._train(pruned, epochs, name, (0.0, 1 / (1 + len(weights))))
            row, after = self._step(1 + attempt, "prune", tuple(weights), pruned, found, epochs)
            if row.kept and after is not None:
                best, self.accuracy, low = after, row.after, tried
            else:
                high = tried
            if low == sparsity:
                break
            tried = (low + high) / 2
        return best

    def _constrain(self, net: Net, keys: tuple[str, ...], epochs: int, share: tuple[float, float]) -> Net:
        """Hold weights to three values, if the budget allows it."""
        sigmas = {key: best_sigma(net.shadow[key], net.masks[key]) for key in keys}
        held = replace(net, sigmas={**net.sigmas, **sigmas})
        name = f"constrain {', '.join(keys)}"
        row, after = self._step(len(self.log), "constrain", keys, held, self._train(held, epochs, name, share), epochs)
        if not row.kept or after is None:
            return net
        self.accuracy = row.after
        return after

    def _train(self, net: Net, epochs: int, name: str, share: tuple[float, float]) -> Callable[[], Trained]:
        low, high = share

        def tell(done: float) -> None:
            self.progress(name, low + (high - low) * done)

        def run() -> Trained:
            tell(0.0)
            with self.folder.checkpoint(name) as checkpoint:
                return self.trainer.train(net, epochs, name, checkpoint, tell)

        return run

    def _step(
        self,
        number: int,
        step: str,
        keys: tuple[str, ...],
        start: Net,
        run: Callable[[], Trained],
        epochs: int,
    ) -> tuple[Tried, Net | None]:
        """Train and judge, or read from the folder what came of it; log it."""
        there = self.folder.read(number)
        if there is None:
            net, seconds = run()
            after = math.nan if net is None else self._judge(net)
            masks = [start.masks[key] for key in keys if key in start.masks]
            zeros = sum(share_of_zeros(mask) * mask.numel() for mask in masks)
            count = sum(start.shadow[key].numel() for key in keys)
            fits = step == "base" or self._fits(after)
            sigma = float(net.sigmas[keys[0]]) if net and step == "constrain" and len(keys) == 1 else None
            size = len(format_file(net.plain(self.trainer.model).state_dict())) if net else 0
            row = Tried(step, keys, zeros / count, self.accuracy, after, fits, sigma, epochs, seconds, size)
            self.folder.write(number, asdict(row), net if fits else None)
        else:
            stored, net = there
            row = Tried(**{**stored, "layers": tuple(stored["layers"])})
        self.log.append(row)
        return row, net if step != "base" else start

    def _judge(self, net: Net) -> float:
        """Ask the user's function about the plain network.

        Raises:
            TypeError: it is no number.
        """
        plain = net.plain(self.trainer.model).eval()
        with torch.no_grad(), random_numbers_kept({self.trainer.part.inputs.device}):
            found: Any = self.judge(plain)
        if isinstance(found, Tensor | bool) or not isinstance(found, Real):
            raise TypeError(f"evaluate must return a number of points, such as a float, got {type(found).__name__}")
        return float(found)

    def _fits(self, points: float) -> bool:
        lost = self.base - points if self.higher_is_better else points - self.base
        return lost <= self.budget  # not of a NaN

    def _sort(self, net: Net, order: Order) -> list[str]:
        """Put the weights in the order in which they are taken."""
        keys = list(self.trainer.places)
        if order == "random":
            return [keys[int(i)] for i in np.random.default_rng(self.trainer.seed).permutation(len(keys))]
        zeros = {key: share_of_zeros(net.masks[key]) for key in keys}
        return sorted(keys, key=lambda key: zeros[key] if order == "densest" else -zeros[key])
