"""Bayesian networks of categorical variables in the BIF format, and tables drawn from them."""

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from steepest._errors import InputError, one_line

_VARIABLE = re.compile(r"variable\s+(\S+)\s*\{[^}]*?\{([^}]*)\}", re.S)
_PROBABILITY = re.compile(r"probability\s*\(\s*([^)|]+?)\s*(?:\|\s*([^)]*?)\s*)?\)\s*\{(.*?)\}", re.S)
_ROW = re.compile(r"(?:\(([^)]*)\)|(table|default))\s*([^;]*);")


@dataclass(frozen=True)
class Network:
    """A Bayesian network.

    Attributes:
        levels: values of every variable, by name.
        parents: names of the parents of every variable.
        tables: probabilities of every variable's values (levels of the parents ..., levels of its own).
    """

    levels: dict[str, list[str]]
    parents: dict[str, list[str]]
    tables: dict[str, NDArray[np.float64]]

    @property
    def adjacency(self) -> NDArray[np.int64]:
        """The graph (d, d): 1 at [i, j] for i -> j, in the order of ``levels``."""
        number = {name: i for i, name in enumerate(self.levels)}
        found = np.zeros((len(number), len(number)), dtype=np.int64)
        for child, parents in self.parents.items():
            found[[number[parent] for parent in parents], number[child]] = 1
        return found

    def sample(self, rows: int, seed: int = 0) -> pd.DataFrame:
        """A table of so many independent rows, of the values' names."""
        rng = np.random.default_rng(seed)
        codes: dict[str, NDArray[np.int64]] = {}
        graph = nx.DiGraph([(parent, child) for child, parents in self.parents.items() for parent in parents])
        graph.add_nodes_from(self.levels)
        for name in nx.lexicographical_topological_sort(graph):
            chances = self.tables[name][tuple(codes[parent] for parent in self.parents[name])]
            below = chances.cumsum(axis=-1) <= rng.random(rows)[:, None] * chances.sum(axis=-1, keepdims=True)
            codes[name] = below.sum(axis=-1).clip(max=len(self.levels[name]) - 1)
        return pd.DataFrame({name: np.array(values)[codes[name]] for name, values in self.levels.items()})


def read_bif(path: Path | str) -> Network:
    """Read a network from a file in the BIF format, compressed if its name ends in ``.gz``.

    Raises:
        InputError: it cannot be read, or lacks a probability.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
        levels = {name: [v.strip() for v in values.split(",")] for name, values in _VARIABLE.findall(text)}
        parents, tables = {}, {}
        for child, given, body in _PROBABILITY.findall(text):
            parents[child] = [name.strip() for name in given.split(",")] if given else []
            tables[child] = _read_table(child, parents[child], body, levels)
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read as a network in the BIF format: {one_line(str(error))}") from error
    if not levels or set(tables) != set(levels):
        raise InputError(
            f"{path} must hold a probability for each of its variables, got {len(tables)} for {len(levels)}"
        )
    return Network(levels, {name: parents[name] for name in levels}, {name: tables[name] for name in levels})


def _read_table(child: str, parents: list[str], body: str, levels: dict[str, list[str]]) -> NDArray[np.float64]:
    found = np.full([len(levels[name]) for name in (*parents, child)], np.nan)
    for given, word, numbers in _ROW.findall(body):
        values = np.array([float(number) for number in numbers.split(",")])
        if word == "default":
            found[np.isnan(found).any(axis=-1)] = values
        elif word == "table":
            found[...] = values.reshape(found.shape)
        else:
            at = [value.strip() for value in given.split(",")]
            found[tuple(levels[name].index(value) for name, value in zip(parents, at, strict=True))] = values
    if not np.isfinite(found).all():
        raise ValueError(f"the probabilities of {child} are not complete")
    return found
