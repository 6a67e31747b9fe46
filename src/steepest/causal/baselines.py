"""Graphs that need no search, to hold a found one against."""

import numpy as np
from numpy.typing import NDArray

from steepest.causal.order import CausalOrder
from steepest.causal.table import Table

RANDOM = 20  # random orders, of whose scores the mean is told


def baseline_scores(model: CausalOrder, table: Table) -> dict[str, float]:
    """Scores of the graph without edges, of random orders, and, of numbers, of orders by variance and by R squared.

    On simulated data variances and explained variances often grow along the causal order and give it away: an order by
    them that scores as well as a search says that the data are of that kind. Source: Reisach, Seiler, Weichwald,
    "Beware of the simulated DAG!", NeurIPS 2021; Reisach, Tami, Seiler, Chambaz, Weichwald, "A scale-invariant sorting
    criterion to find a causal order", NeurIPS 2023.
    """
    parents, known = model.parent_search(table)
    d = len(table.names)
    rng = np.random.default_rng([model.seed, 1])
    found = {
        "no edge": sum(parents.local(j, known.required[j]) for j in range(d)),
        f"the mean of {RANDOM} random orders": float(
            np.mean([parents.total(known.extend(rng.permutation(d).tolist())) for _ in range(RANDOM)])
        ),
    }
    if not table.levels.any():
        found["the order by variance"] = parents.total(known.extend(np.argsort(table.raw.var(axis=0)).tolist()))
        found["the order by R²"] = parents.total(known.extend(np.argsort(explained(table.values)).tolist()))
    return found


def explained(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """R squared (d,) of each column's regression on all others."""
    inverse = np.linalg.inv(np.corrcoef(values.T))
    found: NDArray[np.float64] = 1 - 1 / np.diagonal(inverse)
    return found
