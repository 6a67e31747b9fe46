"""How near causal graphs come to the truth: simulated linear Gaussian tables, beside graphs that need no search.

    python benchmarks/causal.py [--variables 10,20] [--rows 1000] [--degree 2] [--seeds 10] [--penalty 2]

    python benchmarks/causal.py --network asia.bif.gz --rows 5000 [--seeds 10]
    python benchmarks/causal.py --sachs DIR

Erdos-Renyi graphs, as they are and standardised; or rows drawn from a network of categorical variables, by its BIC; or
the proteins of Sachs and others (2005) with the 17 edges of bnlearn's network, logarithms of all 7,466 rows, of
observations and interventions together. Prints means over the seeds with half of their 95 % intervals: SHD
between CPDAGs, a reversal counting 1; SID of the DAG; the score less that of the best graph of the true order; seconds.
Asserts nothing.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student_t
from sklearn.base import clone

from steepest.causal import CausalOrder, cpdag, shd, sid
from steepest.causal.baselines import explained
from steepest.causal.networks import read_bif
from steepest.causal.order import SCORES
from steepest.causal.parents import ParentSearch, members
from steepest.causal.simulation import linear_gaussian
from steepest.causal.table import Table, checked_table

Matrix = NDArray[np.int64]
Learner = Callable[[Table, ParentSearch, CausalOrder], Matrix]
Draw = Callable[[int], tuple[pd.DataFrame, Matrix]]
SACHS = "Akt Erk Jnk Mek P38 PIP2 PIP3 PKA PKC Plcg Raf"
PROTEINS = "pakts473 p44/42 pjnk pmek P38 PIP2 PIP3 PKA PKC plcg praf"


def of_order(parents: ParentSearch, order: list[int]) -> Matrix:
    found = np.zeros((len(order), len(order)), dtype=np.int64)
    for child, mask in enumerate(parents.graph(order)):
        found[members(mask), child] = 1
    return found


def learn(**options: Any) -> Learner:
    def fit(table: Table, parents: ParentSearch, model: CausalOrder) -> Matrix:
        found: Matrix = clone(model).set_params(**options).fit_table(table).adjacency_matrix_.to_numpy()
        return found

    return fit


LEARNERS: dict[str, Learner] = {
    "CausalOrder": learn(),
    "  SGD alone": learn(polish=False),
    "  SGD alone, relax": learn(polish=False, estimator="relax"),
    "no edge": lambda table, parents, model: np.zeros((len(table.names),) * 2, dtype=np.int64),
    "random order": lambda table, parents, model: of_order(
        parents, np.random.default_rng([model.seed, 1]).permutation(len(table.names)).tolist()
    ),
    "order by variance": lambda table, parents, model: of_order(parents, np.argsort(table.raw.var(axis=0)).tolist()),
    "order by R squared": lambda table, parents, model: of_order(parents, np.argsort(explained(table.values)).tolist()),
}


def judge(
    data: pd.DataFrame, truth: Matrix, learner: Learner, seed: int, score: str, penalty: float | None
) -> list[float]:
    table = checked_table(data, kind=SCORES[score])
    model = CausalOrder(score, penalty=penalty, seed=seed)  # type: ignore[arg-type]
    parents, _ = model.parent_search(table)
    began = time.perf_counter()
    found = learner(table, parents, model)
    taken = time.perf_counter() - began
    order = list(nx.topological_sort(nx.from_numpy_array(truth, create_using=nx.DiGraph)))
    reached = sum(parents.local(j, sum(1 << int(i) for i in np.flatnonzero(found[:, j]))) for j in range(len(found)))
    apart = shd(cpdag(found), cpdag(truth))
    return [apart, sid(found, truth), reached - parents.total(order), taken]


def report(title: str, draw: Draw, seeds: int, score: str, penalty: float | None) -> None:
    print(f"\n{title}")
    print(f"{'':20}{'SHD':>14}{'SID':>16}{'score':>20}{'at least':>10}{'seconds':>9}")
    for name, learner in LEARNERS.items():
        if score != "gaussian-bic" and name.startswith("order by"):
            continue
        rows = [judge(*draw(seed), learner, seed, score, penalty) for seed in range(seeds)]
        found = np.array(rows)
        off = np.full(4, np.nan)
        if seeds > 1:
            off = student_t.ppf(0.975, seeds - 1) * found.std(axis=0, ddof=1) / seeds**0.5
        cells = [f"{m:.1f} ± {o:.1f}" for m, o in zip(found.mean(axis=0)[:3], off, strict=False)]
        least = f"{int((found[:, 2] >= -1e-6).sum())}/{seeds}"
        print(f"{name:20}{cells[0]:>14}{cells[1]:>16}{cells[2]:>20}{least:>10}{found[:, 3].mean():9.2f}", flush=True)


def sachs(folder: Path) -> tuple[pd.DataFrame, Matrix]:
    """The data, and the graph of bnlearn's network by the data's names."""
    data = pd.read_csv(folder / "sachs" / "data.csv").apply(np.log)
    names = dict(zip(SACHS.split(), PROTEINS.split(), strict=True))
    network = read_bif(folder / "bnlearn" / "sachs.bif.gz")
    truth = pd.DataFrame(network.adjacency, index=list(network.levels), columns=list(network.levels)).rename(
        names, axis=0
    )
    truth = truth.rename(names, axis=1).loc[data.columns, data.columns]
    return data, truth.to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--variables", default="10,20")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--degree", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--penalty", type=float)
    parser.add_argument("--network", type=Path)
    parser.add_argument("--sachs", type=Path, metavar="DIR")
    asked = parser.parse_args()
    if asked.network:
        network = read_bif(asked.network)

        def rows_of(seed: int) -> tuple[pd.DataFrame, Matrix]:
            data = network.sample(asked.rows, seed)
            kept = np.flatnonzero(data.nunique().to_numpy() > 1)
            return data.iloc[:, kept], network.adjacency[np.ix_(kept, kept)]

        report(f"{asked.network.name}, {asked.rows} rows", rows_of, asked.seeds, "discrete-bic", asked.penalty)
    elif asked.sachs:
        report("Sachs, logarithms", lambda seed: sachs(asked.sachs), 1, "gaussian-bic", asked.penalty)
    else:
        for d, standardise in itertools.product(map(int, asked.variables.split(",")), (True, False)):

            def simulated(seed: int, d: int = d, standardise: bool = standardise) -> tuple[pd.DataFrame, Matrix]:
                found = linear_gaussian(d, asked.rows, asked.degree, seed, standardise=standardise)
                return found.data, found.adjacency

            title = f"{d} variables, {'standardised' if standardise else 'as they are'}"
            report(title, simulated, asked.seeds, "gaussian-bic", asked.penalty)


if __name__ == "__main__":
    main()
