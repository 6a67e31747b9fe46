"""The most probable sentence of a grammar, exactly: a chart of the best score of every part (Viterbi, CYK).

Scores are logarithms of probabilities, float64. The work grows with the cube of the length and not with the number of
alternatives; one array operation does all rules and all parts of one length.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Table = NDArray[Any]
Rule = tuple[str, tuple[str, ...]]


class Chart:
    """What a grammar makes of sequences, for one start.

    Args:
        rules: origin and expansion, which is not empty; a name that is no origin is a terminal.
        without: names that nothing is made of.

    Source: Jelinek, Lafferty, Mercer, "Basic methods of probabilistic context free grammars", 1992; the parts up to
    which a sequence can begin a sentence are those of the grammar of prefixes (Bar-Hillel, Perles, Shamir, 1961).

    Example:
        >>> chart = Chart([("s", ("(", "s", ")")), ("s", ("x",))], "s")
        >>> shares = {"(": [0.6, 0.3, 0.1], "x": [0.3, 0.3, 0.3], ")": [0.1, 0.4, 0.6]}
        >>> chart.best({name: np.log(np.array(values)) for name, values in shares.items()})
        ['(', 'x', ')']
        >>> chart.longest_start({"(": np.array([0.0, -np.inf]), ")": np.array([0.0, 0.0])})
        1
    """

    def __init__(self, rules: Iterable[Rule], start: str, without: Collection[str] = ()) -> None:
        self._rules, self._start = _keep_productive(list(rules), without), start
        self._whole = _Compiled(self._rules, start)
        self._starts: _Compiled | None = None

    def best(self, scores: Mapping[str, Scores]) -> list[str] | None:
        """The terminals of the sentence whose scores (n,) have the highest sum; ``None`` where that is -inf."""
        return self._whole.best(scores)

    def longest_start(self, scores: Mapping[str, Scores]) -> int:
        """How many places from the first on can begin a sentence with a score above -inf."""
        if self._starts is None:
            self._starts = _Compiled(_starts_of(self._rules), _start_of(self._start))
        return self._starts.longest(scores)


class _Compiled:
    """Hold rules of two names each, and what each name can be by rules of one."""

    def __init__(self, rules: Sequence[Rule], start: str) -> None:
        pairs, singles = _in_twos(rules)
        names = sorted({start, *(name for pair in pairs for name in pair), *(name for one in singles for name in one)})
        self._index = {name: index for index, name in enumerate(names)}
        self._names = names
        self._start = self._index[start]
        origins = sorted({pair[0] for pair in pairs})
        pairs = sorted(pairs)
        self._left = np.array([self._index[pair[1]] for pair in pairs])
        self._right = np.array([self._index[pair[2]] for pair in pairs])
        self._origin = np.array([self._index[pair[0]] for pair in pairs])
        self._origins = np.array([self._index[name] for name in origins])
        self._first = np.searchsorted([pair[0] for pair in pairs], origins)
        # Of each name, itself and all that it can be.
        self._can_be = [[self._index[name] for name in _closure(name, singles)] for name in names]
        self._wider = [index for index, below in enumerate(self._can_be) if len(below) > 1]
        flat = [self._can_be[index] for index in self._wider]
        self._flat = np.array([below for row in flat for below in row])
        self._bounds = np.cumsum([0, *(len(row) for row in flat[:-1])])
        self._pairs_of = [
            np.array([k for k, origin in enumerate(self._origin) if origin in below]) for below in self._can_be
        ]

    def best(self, scores: Mapping[str, Scores]) -> list[str] | None:
        """Return the terminals of the best sentence."""
        leaves = self._leaves(scores)
        begun, ended = self._fill(leaves, np.add, np.maximum)
        n = leaves.shape[1]
        if begun[self._start, 0, n] == -np.inf:
            return None
        found: list[str] = []
        left = [(self._start, 0, n)]
        while left:
            name, place, length = left.pop()
            if length == 1:
                below = self._can_be[name]
                found.append(self._names[below[int(leaves[below, place].argmax())]])
                continue
            pairs = self._pairs_of[name]
            sums = begun[self._left[pairs], place, 1:length]
            sums += ended[self._right[pairs], place + length, length - 1 : 0 : -1]
            pair, before = np.unravel_index(int(sums.argmax()), sums.shape)
            cut = int(before) + 1
            left.append((int(self._right[pairs[pair]]), place + cut, length - cut))
            left.append((int(self._left[pairs[pair]]), place, cut))
        return found

    def longest(self, scores: Mapping[str, Scores]) -> int:
        """Return the greatest length of a part from the first place on that is the start."""
        begun, _ = self._fill(self._leaves(scores) > -np.inf, np.logical_and, np.logical_or)
        lengths = np.flatnonzero(begun[self._start, 0])
        return int(lengths[-1]) if len(lengths) else 0

    def _leaves(self, scores: Mapping[str, Scores]) -> Scores:
        """Make an array (names, n) of the terminals' scores."""
        n = len(next(iter(scores.values())))
        leaves = np.full((len(self._names), n), -np.inf, dtype=np.float64)
        for name, values in scores.items():
            if name in self._index:
                leaves[self._index[name]] = values
        return leaves

    def _fill(self, leaves: Table, join: np.ufunc, choose: np.ufunc) -> tuple[Table, Table]:
        """Find for each part what each name is worth there: two parts joined, the best of all ways chosen.

        Args:
            leaves: (names, n); its type is the tables'.

        Returns:
            By name, first place and length (names, n, n + 1); by name, the place after the last and length (names,
            n + 1, n + 1).
        """
        nothing = False if leaves.dtype == bool else -np.inf
        names, n = leaves.shape
        begun = np.full((names, n, n + 1), nothing, dtype=leaves.dtype)
        ended = np.full((names, n + 1, n + 1), nothing, dtype=leaves.dtype)
        for length in range(1, n + 1):
            m = n - length + 1
            found = leaves.copy() if length == 1 else np.full((names, m), nothing, dtype=leaves.dtype)
            if length > 1:
                joined = begun[self._left, :m, 1:length]
                join(joined, ended[self._right, length:, length - 1 : 0 : -1], out=joined)
                found[self._origins] = choose.reduceat(choose.reduce(joined, axis=2), self._first, axis=0)
            found[self._wider] = choose.reduceat(found[self._flat], self._bounds, axis=0)
            begun[:, :m, length] = ended[:, length:, length] = found
        return begun, ended


def _in_twos(rules: Sequence[Rule]) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Split rules into such of two names, by new names for the rests of longer ones, and such of one."""
    pairs, singles = set(), set()
    for origin, expansion in rules:
        while len(expansion) > 2:
            rest = " ".join(expansion[1:])
            pairs.add((origin, expansion[0], rest))
            origin, expansion = rest, expansion[1:]
        if len(expansion) == 2:
            pairs.add((origin, expansion[0], expansion[1]))
        else:
            singles.add((origin, expansion[0]))
    return sorted(pairs), sorted(singles)


def _closure(name: str, singles: Sequence[tuple[str, str]]) -> list[str]:
    """List a name and all that rules of one name make of it."""
    found, left = [name], [name]
    while left:
        here = left.pop()
        new = [below for origin, below in singles if origin == here and below not in found]
        found += new
        left += new
    return found


def _keep_productive(rules: list[Rule], without: Collection[str]) -> list[Rule]:
    """Drop the rules that never end in terminals, or only in some without which we are."""
    origins = {*without, *(origin for origin, _ in rules)}
    rules = [rule for rule in rules if rule[0] not in without]
    productive: set[str] = set()
    while True:
        kept = [rule for rule in rules if all(name not in origins or name in productive for name in rule[1])]
        if productive == (productive := {origin for origin, _ in kept}):
            return kept


def _starts_of(rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules and those of whatever begins what each name makes."""
    found = list(rules)
    for origin, expansion in rules:
        for cut, name in enumerate(expansion):
            found.append((_start_of(origin), (*expansion[:cut], _start_of(name))))
    names = {name for origin, expansion in rules for name in (origin, *expansion)}
    return found + [(_start_of(name), (name,)) for name in sorted(names)]


def _start_of(name: str) -> str:
    return f"start of {name}"
