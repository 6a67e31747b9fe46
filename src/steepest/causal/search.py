"""The search for an order: SGD on a law over orders, then moves of single variables to better places."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steepest.causal.knowledge import Knowledge
from steepest.causal.parents import ParentSearch
from steepest.gradients.permutations import OrderGradient, PlackettLuce

Progress = Callable[[float], object]
STARTS = 3  # of the best orders that SGD saw, which are improved beside the law's mode
KICKS = 60  # of the best order, from where single moves set out again


@dataclass
class Found:
    """Where the search came: ``by_sgd``: the best score before single moves; ``history``: rows over the time."""

    order: list[int]
    score: float
    by_sgd: float
    logits: Tensor
    evaluations: int
    moves: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def search(
    parents: ParentSearch,
    known: Knowledge,
    estimator: OrderGradient,
    optimizer: torch.optim.Optimizer,
    rows: int,
    steps: int,
    samples: int,
    polish: bool,
    seed: int,
    progress: Progress,
) -> Found:
    """Minimise the score's negative, per row, over orders; see :class:`~steepest.causal.CausalOrder`."""
    began = time.perf_counter()
    best: dict[tuple[int, ...], float] = {}
    history: list[dict[str, Any]] = []

    def f(orders: Tensor) -> list[float]:
        totals = []
        for order in orders.tolist():
            kept = known.extend(order)
            total = parents.total(kept)
            best[tuple(kept)] = total
            totals.append(total)
        if len(best) > 64:
            for worst in sorted(best, key=best.__getitem__)[: len(best) - 16]:
                del best[worst]
        return [-total / rows for total in totals]

    every = max(1, steps // 200)
    for step in range(steps):
        optimizer.zero_grad()
        told = estimator.backward(f, samples)
        optimizer.step()
        if step % every == 0 or step == steps - 1:
            row = {"evaluations": (step + 1) * samples, "seconds": time.perf_counter() - began}
            history.append(row | {"best": max(best.values()), "mean": -told.value * rows, "variance": told.variance})
        progress((step + 1) / steps * (0.5 if polish else 1.0))
    logits = estimator.logits.detach().clone()
    starts = [tuple(known.extend(PlackettLuce(logits).mode.tolist())), *sorted(best, key=lambda o: -best[o])[:STARTS]]
    scored = {start: parents.total(start) for start in dict.fromkeys(starts)}
    order = max(scored, key=scored.__getitem__)
    found = Found(list(order), scored[order], scored[order], logits, steps * samples, history=history)
    if polish:
        for number, start in enumerate(scored):
            _improve(parents, known, list(start), found, began)
            progress(0.5 + 0.25 * (number + 1) / len(scored))
        rng = np.random.default_rng(seed)
        for kick in range(KICKS):
            _improve(parents, known, _kick(known, found.order, rng), found, began)
            progress(0.75 + 0.25 * (kick + 1) / KICKS)
    return found


def _kick(known: Knowledge, order: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Put a few variables at random places."""
    found = list(order)
    for item in rng.choice(len(order), min(len(order), int(rng.integers(2, 6))), replace=False).tolist():
        found.remove(item)
        found.insert(int(rng.integers(len(order))), item)
    return known.extend(found)


def _improve(parents: ParentSearch, known: Knowledge, order: list[int], found: Found, began: float) -> None:
    """Move variables to their best places, one after the other, until no move helps; note it where it is the best."""
    score, moves = parents.total(order), 0
    while True:
        before = score
        for item in list(order):
            order, reached = move(parents, known, order, item)
            moves += reached > score + 1e-9
            score = max(score, reached)
        if score > found.score + 1e-9:
            found.order, found.score = list(order), score
            found.moves, moves = found.moves + moves, 0
            seconds = time.perf_counter() - began
            found.history.append({"evaluations": found.evaluations, "seconds": seconds, "best": found.score})
        if score <= before + 1e-9:
            return


def move(parents: ParentSearch, known: Knowledge, order: Sequence[int], item: int) -> tuple[list[int], float]:
    """Put a variable at its best place, by what is known beforehand: the order, and its score."""
    rest = [other for other in order if other != item]
    masks = np.zeros(len(rest) + 1, dtype=object)
    for place, other in enumerate(rest):
        masks[place + 1] = masks[place] | 1 << other
    without = [parents.find(other, masks[place])[1] for place, other in enumerate(rest)]
    with_it = [parents.find(other, masks[place] | 1 << item)[1] for place, other in enumerate(rest)]
    own = [parents.find(item, mask)[1] for mask in masks]
    head = np.concatenate([[0.0], np.cumsum(without)])
    tail = np.concatenate([np.cumsum(with_it[::-1])[::-1], [0.0]])
    totals = head + np.array(own) + tail
    low = max((p + 1 for p, other in enumerate(rest) if known.before[item] >> other & 1), default=0)
    high = min((p for p, other in enumerate(rest) if known.after[item] >> other & 1), default=len(rest))
    place = low + int(np.argmax(totals[low : high + 1]))
    now = list(order).index(item)
    if totals[place] <= totals[now] + 1e-9:
        place = now
    return [*rest[:place], item, *rest[place:]], float(totals[place])
