"""The best parents of a variable among those before it: grown and shrunk one by one, and never sought twice."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import lars_path_gram

from steepest.causal.knowledge import Knowledge
from steepest.causal.scores import LocalScore


class ParentSearch:
    """Finds parents by adding the best candidate while the score rises, and taking away what raises it, in turn.

    What a set of parents gains by each candidate is computed once for all orders, as in the grow-shrink trees of
    Andrews, Ramsey, Sanchez Romero, Camchong, Kummerfeld, "Fast scalable and accurate discovery of DAGs using the best
    order score search and grow-shrink trees", NeurIPS 2023.

    Args:
        score: of a variable given parents.
        d: number of variables.
        max_parents: of a variable, or ``None`` for any number.
    """

    def __init__(self, score: LocalScore, d: int, knowledge: Knowledge, max_parents: int | None = None) -> None:
        self._score, self._d, self._known = score, d, knowledge
        self._most = d if max_parents is None else max_parents
        self._locals: dict[tuple[int, int], float] = {}
        self._grown: dict[tuple[int, int], list[tuple[int, float]]] = {}
        self._shrunk: dict[tuple[int, int], tuple[int, float] | None] = {}
        self._found: list[dict[int, tuple[int, float]]] = [{} for _ in range(d)]

    @property
    def computed(self) -> int:
        """How many scores of a variable given parents were computed."""
        return len(self._locals)

    def find(self, child: int, before: int) -> tuple[int, float]:
        """The parents, a bit mask, among the variables of the mask ``before``, and their score."""
        before &= self._known.allowed[child]
        known = self._found[child].get(before)
        if known is None:
            known = self._found[child][before] = self._search(child, before)
        return known

    def total(self, order: Sequence[int]) -> float:
        """The score of the best graph that fits an order."""
        before, found = 0, 0.0
        for item in order:
            found += self.find(item, before)[1]
            before |= 1 << item
        return found

    def graph(self, order: Sequence[int]) -> list[int]:
        """The parents of every variable, bit masks, in the best graph that fits an order."""
        before, found = 0, [0] * self._d
        for item in order:
            found[item] = self.find(item, before)[0]
            before |= 1 << item
        return found

    def local(self, child: int, parents: int) -> float:
        """The score of a variable given a bit mask of parents."""
        key = child, parents
        if key not in self._locals:
            self._locals[key] = self._score.local(child, members(parents))
        return self._locals[key]

    def _search(self, child: int, before: int) -> tuple[int, float]:
        parents = self._known.required[child]
        value = self.local(child, parents)
        while True:
            parents, value = self._grow(child, parents, value, before)
            shrunk = False
            while (less := self._losses(child, parents)) is not None:
                (parents, value), shrunk = less, True
            if not shrunk:
                return parents, value

    def _grow(self, child: int, parents: int, value: float, before: int) -> tuple[int, float]:
        """Add the best candidate while the score rises."""
        while parents.bit_count() < self._most:
            for candidate, reached in self._gains(child, parents):
                if before >> candidate & 1:
                    parents, value = parents | 1 << candidate, reached
                    break
            else:
                break
        return parents, value

    def _gains(self, child: int, parents: int) -> list[tuple[int, float]]:
        """List candidates that raise the score, the best first."""
        key = child, parents
        found = self._grown.get(key)
        if found is None:
            candidates = members(self._known.allowed[child] & ~parents)
            base = self.local(child, parents)
            reached = self._score.added(child, members(parents), candidates) if candidates else np.empty(0)
            for candidate, value in zip(candidates, reached.tolist(), strict=True):
                self._locals.setdefault((child, parents | 1 << candidate), value)
            better = [(c, v) for c, v in zip(candidates, reached.tolist(), strict=True) if v > base]
            found = self._grown[key] = sorted(better, key=lambda pair: -pair[1])
        return found

    def _losses(self, child: int, parents: int) -> tuple[int, float] | None:
        """Find the parents of whom one less raises the score most, if any does."""
        key = child, parents
        if key not in self._shrunk:
            best, value = None, self.local(child, parents)
            for parent in members(parents & ~self._known.required[child]):
                less = parents & ~(1 << parent)
                if (reached := self.local(child, less)) > value:
                    best, value = (less, reached), reached
            self._shrunk[key] = best
        return self._shrunk[key]


class LassoSearch(ParentSearch):
    r"""Finds parents by the LASSO: of the supports on its path the one of the best score, refitted without shrinking.

    .. code-block:: text

        min_w 1/(2n) |x_child - X_before w|^2 + alpha |w|_1,  alpha from the largest down to 0

    Source: Tibshirani, J. R. Statist. Soc. B 58 (1996), 267-288; the path by least angles: Efron, Hastie, Johnstone,
    Tibshirani, Ann. Statist. 32 (2004), 407-499, as scikit-learn has it.

    Args:
        score, d, knowledge, max_parents: as for :class:`ParentSearch`.
        covariance: of the variables (d, d).
        rows: of the table.
    """

    def __init__(
        self,
        score: LocalScore,
        d: int,
        knowledge: Knowledge,
        max_parents: int | None,
        covariance: NDArray[np.float64],
        rows: int,
    ) -> None:
        super().__init__(score, d, knowledge, max_parents)
        self._covariance, self._rows = covariance, rows

    def _search(self, child: int, before: int) -> tuple[int, float]:
        required = self._known.required[child]
        candidates = members(before)
        supports = {required}
        if candidates:
            _, _, path = lars_path_gram(
                self._covariance[candidates, child] * self._rows,
                self._covariance[np.ix_(candidates, candidates)] * self._rows,
                n_samples=self._rows,
                method="lasso",
            )
            for weights in path.T:
                supports.add(required | sum(1 << candidates[i] for i in np.flatnonzero(weights)))
        few = [mask for mask in supports if mask.bit_count() <= max(self._most, required.bit_count())]
        best = max(sorted(few), key=lambda mask: self.local(child, mask))
        return best, self.local(child, best)


def members(mask: int) -> list[int]:
    """The items of a bit mask."""
    found = []
    while mask:
        found.append((mask & -mask).bit_length() - 1)
        mask &= mask - 1
    return found
