"""How well a variable is told by some parents: decomposable scores, of which higher is better."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from steepest.causal.table import Table

Array = NDArray[np.float64]


class LocalScore(Protocol):
    """A score of a variable given its parents, of a table with d columns."""

    def local(self, child: int, parents: Sequence[int]) -> float:
        """The score of ``child`` given ``parents``."""
        ...

    def added(self, child: int, parents: Sequence[int], candidates: Sequence[int]) -> Array:
        """The scores of ``child`` given ``parents`` and one of the candidates, for each."""
        ...


class GaussianBIC:
    r"""The Bayesian information criterion of a linear Gaussian regression.

    .. code-block:: text

        -n/2 (log(2 pi s^2) + 1) - (number of parents + 2) / 2 * penalty * log n

    with s^2 the variance that the parents leave, by maximum likelihood. Source: Schwarz, Ann. Statist. 6 (1978), 461.

    Args:
        penalty: on a parameter; 1 is the criterion's.
    """

    def __init__(self, table: Table, penalty: float = 1.0) -> None:
        self._covariance = np.cov(table.values.T, bias=True)
        self._n, self._price = table.rows, penalty * np.log(table.rows) / 2

    def local(self, child: int, parents: Sequence[int]) -> float:
        """The score of ``child`` given ``parents``."""
        left = self._covariance[child, child]
        if len(parents):
            own = self._covariance[np.ix_(parents, parents)]
            with_child = self._covariance[parents, child]
            left = left - with_child @ np.linalg.solve(own, with_child)
        return float(self._score(np.asarray(left), len(parents)))

    def added(self, child: int, parents: Sequence[int], candidates: Sequence[int]) -> Array:
        """The scores of ``child`` given ``parents`` and one of the candidates, for each."""
        c, s = np.asarray(candidates, dtype=int), self._covariance
        variance, shared, left = s[c, c], s[c, child], s[child, child]
        if len(parents):
            between = s[np.ix_(parents, [*c, child])]
            solved = np.linalg.solve(s[np.ix_(parents, parents)], between)
            variance = variance - (between[:, :-1] * solved[:, :-1]).sum(axis=0)
            shared = shared - between[:, :-1].T @ solved[:, -1]
            left = left - between[:, -1] @ solved[:, -1]
        gained = np.where(variance > 1e-10, shared**2 / np.maximum(variance, 1e-10), 0.0)
        return self._score(left - gained, len(parents) + 1)

    def _score(self, left: Array, parents: int) -> Array:
        found: Array = -self._n / 2 * (np.log(2 * np.pi * np.maximum(left, 1e-300)) + 1) - (parents + 2) * self._price
        return found


class CountingScore:
    """A score by counts of the child's values for each combination of its parents' values."""

    def __init__(self, table: Table) -> None:
        self._codes, self._levels = table.values.astype(np.int64), table.levels

    def local(self, child: int, parents: Sequence[int]) -> float:
        """The score of ``child`` given ``parents``."""
        cell, cells = np.zeros(len(self._codes), dtype=np.int64), 1
        for parent in parents:
            cell, cells = self._split(cell, cells, parent)
        return self._of(cell, cells, child, parents)

    def added(self, child: int, parents: Sequence[int], candidates: Sequence[int]) -> Array:
        """The scores of ``child`` given ``parents`` and one of the candidates, for each."""
        cell, cells = np.zeros(len(self._codes), dtype=np.int64), 1
        for parent in parents:
            cell, cells = self._split(cell, cells, parent)
        return np.array(
            [self._of(*self._split(cell, cells, c), child, [*parents, c]) for c in candidates], dtype=np.float64
        )

    def _split(self, cell: NDArray[np.int64], cells: int, parent: int) -> tuple[NDArray[np.int64], int]:
        """Split cells by a parent's values, and number those that occur."""
        levels = int(self._levels[parent])
        joint = cell * levels + self._codes[:, parent]
        if cells * levels <= 4 * len(joint):
            return joint, cells * levels
        kept, joint = np.unique(joint, return_inverse=True)
        return joint, len(kept)

    def _of(self, cell: NDArray[np.int64], cells: int, child: int, parents: Sequence[int]) -> float:
        levels = int(self._levels[child])
        counts = np.bincount(cell * levels + self._codes[:, child], minlength=cells * levels).reshape(cells, levels)
        return self._score(counts, int(np.prod(self._levels[list(parents)], dtype=object)))

    def _score(self, counts: NDArray[np.int64], combinations: int) -> float:
        raise NotImplementedError


class DiscreteBIC(CountingScore):
    r"""The Bayesian information criterion of a table of conditional probabilities.

    .. code-block:: text

        sum over cells and values of N log(N / N of the cell) - (values - 1) * combinations / 2 * penalty * log n

    Args:
        penalty: on a parameter; 1 is the criterion's.
    """

    def __init__(self, table: Table, penalty: float = 1.0) -> None:
        super().__init__(table)
        self._price = penalty * np.log(table.rows) / 2

    def _score(self, counts: NDArray[np.int64], combinations: int) -> float:
        cells = counts.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(counts > 0, counts * np.log(counts / cells), 0.0)
        return float(terms.sum() - (counts.shape[1] - 1) * combinations * self._price)


class BDeu(CountingScore):
    r"""The logarithm of the marginal likelihood under a uniform Dirichlet prior of an equivalent sample size.

    Source: Heckerman, Geiger, Chickering, Machine Learning 20 (1995), 197-243.

    Args:
        sample_size: the prior's, above 0.
    """

    def __init__(self, table: Table, sample_size: float = 10.0) -> None:
        super().__init__(table)
        self._size = sample_size

    def _score(self, counts: NDArray[np.int64], combinations: int) -> float:
        from scipy.special import gammaln

        own = self._size / combinations
        each = own / counts.shape[1]
        cells = counts.sum(axis=1)
        return float((gammaln(own) - gammaln(own + cells)).sum() + (gammaln(each + counts) - gammaln(each)).sum())


class CalledScore:
    """A function of a child's name, its parents' names, sorted as the columns are, and the table as a data frame."""

    def __init__(self, table: Table, function: Callable[[str, tuple[str, ...], pd.DataFrame], float]) -> None:
        self._names, self._function = table.names, function
        self._data = pd.DataFrame(table.raw, columns=table.names)

    def local(self, child: int, parents: Sequence[int]) -> float:
        """The score of ``child`` given ``parents``."""
        name, given = self._names[child], tuple(self._names[p] for p in sorted(parents))
        found = float(self._function(name, given, self._data))
        if not np.isfinite(found):
            raise ValueError(f"score must give finite numbers, got {found} of {name!r} given {given}")
        return found

    def added(self, child: int, parents: Sequence[int], candidates: Sequence[int]) -> Array:
        """The scores of ``child`` given ``parents`` and one of the candidates, for each."""
        return np.array([self.local(child, [*parents, c]) for c in candidates], dtype=np.float64)
