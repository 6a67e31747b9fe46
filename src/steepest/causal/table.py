"""A data frame, checked and turned into numbers."""

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LEVELS = 100  # most values that a categorical column may have
ALIKE = 1e-8  # part of a column's variance that the others must leave unexplained


@dataclass(frozen=True)
class Table:
    """A checked table.

    Attributes:
        names: of its columns.
        values: (n, d): numbers, standardised, or codes from 0 on where ``levels`` has a number of values.
        levels: (d,) numbers of values of categorical columns, 0 for numeric ones.
        raw: (n, d) the numbers as they were given, for what depends on units.
        notes: sentences on what was left out.
    """

    names: list[str]
    values: NDArray[np.float64]
    levels: NDArray[np.int64]
    raw: NDArray[np.float64]
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return len(self.values)

    def taken(self, rows: NDArray[np.int64]) -> "Table":
        """The table of some rows, standardised anew; a column that is constant there becomes 0."""
        raw = self.raw[rows]
        return Table(self.names, _standardise(raw, self.levels), self.levels, raw)


def checked_table(frame: pd.DataFrame, *, kind: str, missing: str = "refuse") -> Table:
    """Check a data frame for a score of one kind.

    Args:
        kind: ``"numeric"``: categorical columns are refused; ``"discrete"``: every column is taken by its values;
            ``"any"``: numbers as numbers, others by their values.
        missing: ``"refuse"`` or ``"drop"`` rows with missing values.

    Raises:
        TypeError: it is no data frame.
        ValueError: a column's values cannot be used, or too few columns or rows are left.
    """
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"data must be a pandas DataFrame, got {type(frame).__name__}")
    if missing not in ("refuse", "drop"):
        raise ValueError(f"missing must be 'refuse' or 'drop', got {missing!r}")
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"data must have different column names, got {twice!r} twice")
    frame, notes = _complete(frame.set_axis(names, axis=1), missing)
    columns, levels = {}, {}
    for name in names:
        column, count = _numbers(frame[name], name, kind)
        if not (column == column[:1]).all():
            columns[name], levels[name] = column, count
        else:
            notes.append(f"Column {name!r} was left out: it has one value.")
    if len(columns) < 2:
        raise ValueError(f"data must have at least 2 columns that vary, got {len(columns)}")
    raw = np.stack(list(columns.values()), axis=1)
    counts = np.array(list(levels.values()))
    table = Table(list(columns), _standardise(raw, counts), counts, raw, notes)
    if not counts.any():
        _check_rank(table)
    return table


def _complete(frame: pd.DataFrame, missing: str) -> tuple[pd.DataFrame, list[str]]:
    """Refuse or drop rows with missing values."""
    lacking = frame.isna().any(axis=1)
    if not lacking.any():
        return frame, []
    worst = str(frame.isna().sum().idxmax())
    if missing == "refuse":
        raise ValueError(
            f"data must have no missing values unless missing='drop', got {int(lacking.sum())} rows with some, most in "
            f"column {worst!r}"
        )
    kept = frame[~lacking]
    if not len(kept):
        raise ValueError(f"data must have a row without missing values, got none: column {worst!r} has the most")
    return kept, [f"{int(lacking.sum()):,} of {len(frame):,} rows were dropped for missing values."]


def _numbers(column: pd.Series, name: str, kind: str) -> tuple[NDArray[np.float64], int]:
    """Turn a column into numbers, and say how many values it has if it is categorical."""
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and kind != "discrete":
        values = column.to_numpy(dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError(f"data must be finite, got {values[~np.isfinite(values)][0]} in column {name!r}")
        return values, 0
    codes, found = pd.factorize(column, sort=True)
    if len(found) > LEVELS:
        raise ValueError(
            f"column {name!r} must have at most {LEVELS} different values to be categorical, got {len(found)}"
        )
    if kind == "numeric":
        raise ValueError(f"column {name!r} must hold numbers for this score, got values such as {_short(found[0])}")
    return codes.astype(np.float64), len(found)


def _short(value: Hashable) -> str:
    text = repr(value)
    return text if len(text) <= 30 else f"{text[:27]}..."


def _standardise(raw: NDArray[np.float64], levels: NDArray[np.int64]) -> NDArray[np.float64]:
    spread = raw.std(axis=0)
    centred = (raw - raw.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    found: NDArray[np.float64] = np.where(levels > 0, raw, centred)
    return found


def _check_rank(table: Table) -> None:
    """Refuse numeric columns that others determine, or fewer rows than that takes."""
    n, d = table.values.shape
    if n <= d:
        raise ValueError(f"data must have more rows than columns, got {n} rows and {d} columns")
    alike = np.abs(np.corrcoef(table.values.T)) > 1 - ALIKE
    np.fill_diagonal(alike, False)
    if alike.any():
        i, j = np.argwhere(alike)[0]
        raise ValueError(
            f"data columns {table.names[i]!r} and {table.names[j]!r} must differ by more than scale: one gives the "
            f"other"
        )
    values, vectors = np.linalg.eigh(np.cov(table.values.T))
    if values[0] < ALIKE * values[-1]:
        worst = np.flatnonzero(np.abs(vectors[:, 0]) > 1e-3)
        listed = ", ".join(repr(table.names[i]) for i in worst[:6])
        raise ValueError(f"data columns {listed} must be linearly independent: together they determine one another")
