"""A table as data, and columns that are declared once for page, Markdown, terminal and CSV."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = str | int | float | None
R = TypeVar("R")


@dataclass(frozen=True)
class Table:
    """Columns by name and rows of plain values. What is missing is ``None``; a target that is missed is infinite."""

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]


@dataclass(frozen=True)
class Cell:
    """A cell of the page: a text, and below it small ones and those that warn. As a ``chip`` the text is coloured."""

    text: str
    small: Sequence[str] = ()
    warn: Sequence[str] = ()
    chip: bool = False
    code: bool = False


@dataclass(frozen=True)
class Plain(Generic[R]):
    """A column where a cell is one text, in Markdown or in a terminal."""

    heading: str
    text: Callable[[R], str]
    left: bool = False


@dataclass(frozen=True, kw_only=True)
class Column(Generic[R]):
    """What a table says of each row under one heading, wherever the table is shown.

    Args:
        by: the value by which a click on the page sorts.
        values: of a row, by the names that they have in CSV files; ``by`` is among them.
        heading: on the page, with ``under`` in small print.
        cell: on the page; a column without is in the files alone.
        label: on a phone, where a cell stands below its heading; ``heading`` if empty.
        number: whether the page aligns it to the right.
        shown: whether the page shows it: it has something to say.
        markdown: the columns of the Markdown report.
        terminal: those in a terminal.
    """

    by: str
    values: Callable[[R], Mapping[str, Value]]
    heading: str = ""
    under: str = ""
    cell: Callable[[R], Cell] | None = None
    label: str = ""
    number: bool = True
    shown: bool = True
    markdown: tuple[Plain[R], ...] = ()
    terminal: tuple[Plain[R], ...] = ()

    @property
    def on_page(self) -> bool:
        return self.shown and self.cell is not None


def table_of(columns: Sequence[Column[R]], rows: Iterable[R]) -> Table:
    """All values of all columns, a row each."""
    found = [{name: value for column in columns for name, value in column.values(row).items()} for row in rows]
    return Table(tuple(found[0]) if found else (), [tuple(row.values()) for row in found])
