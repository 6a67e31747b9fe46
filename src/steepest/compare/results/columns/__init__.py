"""The columns of a comparison's tables, each declared once: for page, Markdown, terminal and CSV."""

from steepest.compare.results.columns.methods import method_columns
from steepest.compare.results.columns.pairs import format_pair, pair_columns, pairs_of
from steepest.compare.results.columns.results import result_columns, searched_names
from steepest.compare.results.columns.tasks import task_columns
from steepest.compare.results.columns.trust import trust_columns

__all__ = [
    "format_pair",
    "method_columns",
    "pair_columns",
    "pairs_of",
    "result_columns",
    "searched_names",
    "task_columns",
    "trust_columns",
]
