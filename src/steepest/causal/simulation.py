"""Tables whose graph is known: linear Gaussian ones over random graphs."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Simulated(NamedTuple):
    """A table, its graph (d, d) with 1 at [i, j] for i -> j, and the weights of its edges (d, d)."""

    data: pd.DataFrame
    adjacency: NDArray[np.int64]
    weights: NDArray[np.float64]


def linear_gaussian(
    d: int, rows: int = 1000, degree: float = 2.0, seed: int = 0, *, standardise: bool = True
) -> Simulated:
    r"""Rows of ``x_j = sum_i w_ij x_i + noise`` over an Erdos-Renyi graph whose nodes lie in a random order.

    Weights are uniform in [-2, -0.5] and [0.5, 2], noise is standard normal. Not standardised, variances grow along
    the order and give it away (Reisach, Seiler, Weichwald, "Beware of the simulated DAG!", NeurIPS 2021).

    Args:
        degree: mean number of edges of a node, in and out together.

    Example:
        >>> found = linear_gaussian(5, rows=10, seed=1)
        >>> found.data.shape, found.adjacency.shape
        ((10, 5), (5, 5))
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(d)
    upper = np.triu(rng.random((d, d)) < degree / max(d - 1, 1), 1)
    strength = rng.uniform(0.5, 2.0, (d, d)) * rng.choice([-1.0, 1.0], (d, d)) * upper
    adjacency, weights = np.zeros((d, d), dtype=np.int64), np.zeros((d, d))
    adjacency[np.ix_(order, order)] = upper
    weights[np.ix_(order, order)] = strength
    values = np.zeros((rows, d))
    for j in order:
        values[:, j] = values @ weights[:, j] + rng.normal(size=rows)
    if standardise:
        values = (values - values.mean(axis=0)) / values.std(axis=0)
    return Simulated(pd.DataFrame(values, columns=[f"x{i}" for i in range(d)]), adjacency, weights)
