"""A table from a file: CSV, however it is separated, or Parquet."""

import csv
import re
from pathlib import Path

import pandas as pd

from steepest._errors import InputError, one_line

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
SEPARATORS = ",;\t|"


def read_table(path: Path) -> pd.DataFrame:
    """The columns of a file, whose first line names them; compressed where its name says so (``.csv.gz``).

    Raises:
        InputError: there is no such file, it is of another kind, it cannot be read, or it holds no rows or no columns.
    """
    if not path.is_file():
        raise InputError(f"data must be a file, and there is none at {path}")
    kinds = [suffix.lower() for suffix in path.suffixes]
    if not any(kind in SUFFIXES for kind in kinds[-2:]):
        raise InputError(f"data must end in one of {', '.join(SUFFIXES)}, got {path.name}")
    try:
        table = pd.read_parquet(path) if ".parquet" in kinds else _read_text(path)
    except (OSError, ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"data {path} cannot be read: {one_line(str(error))}") from error
    if table.empty:
        raise InputError(f"data {path} must hold rows and columns, got {len(table)} of {table.shape[1]}")
    return table.rename(columns=str)


def _read_text(path: Path) -> pd.DataFrame:
    """Read lines whose separator is what their first line has most of, outside of quotes."""
    (line,) = pd.read_csv(path, sep="\x1f", quoting=csv.QUOTE_NONE, nrows=0, engine="python").columns
    bare = re.sub('"[^"]*"', "", str(line))
    return pd.read_csv(path, sep=max(SEPARATORS, key=bare.count), skipinitialspace=True)
