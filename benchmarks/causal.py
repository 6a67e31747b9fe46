"""How near causal graphs come to the truth: simulated linear Gaussian tables, beside graphs that need no search.

    python benchmarks/causal.py [--variables 10,20] [--rows 1000] [--degree 2] [--seeds 10] [--penalty 2]

Erdos-Renyi graphs, as they are and standardised. Prints means over the seeds with half of their 95 % intervals: SHD
between CPDAGs, a reversal counting 1; SID of the DAG; the score less that of the best graph of the true order; seconds.
Asserts nothing.
"""

import argparse
import time
from collections.abc import Callable

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from steepest.causal import CausalOrder, cpdag, shd, sid
from steepest.causal.baselines import explained
from steepest.causal.parents import ParentSearch, members
from steepest.causal.simulation import Simulated, linear_gaussian
from steepest.causal.table import Table, checked_table

Matrix = NDArray[np.int64]
Learner = Callable[[Table, ParentSearch, int, float], Matrix]


def of_order(parents: ParentSearch, order: list[int]) -> Matrix:
    found = np.zeros((len(order), len(order)), dtype=np.int64)
    for child, mask in enumerate(parents.graph(order)):
        found[members(mask), child] = 1
    return found


def learn(polish: bool, estimator: str = "leave-one-out") -> Learner:
    def fit(table: Table, parents: ParentSearch, seed: int, penalty: float) -> Matrix:
        model = CausalOrder(penalty=penalty, polish=polish, estimator=estimator, seed=seed).fit_table(table)
        found: Matrix = model.adjacency_matrix_.to_numpy()
        return found

    return fit


LEARNERS: dict[str, Learner] = {
    "CausalOrder": learn(True),
    "  SGD alone": learn(False),
    "  SGD alone, relax": learn(False, "relax"),
    "no edge": lambda table, parents, seed, penalty: np.zeros((len(table.names),) * 2, dtype=np.int64),
    "random order": lambda table, parents, seed, penalty: of_order(
        parents, np.random.default_rng([seed, 1]).permutation(len(table.names)).tolist()
    ),
    "order by variance": lambda table, parents, seed, penalty: of_order(
        parents, np.argsort(table.raw.var(axis=0)).tolist()
    ),
    "order by R squared": lambda table, parents, seed, penalty: of_order(
        parents, np.argsort(explained(table.values)).tolist()
    ),
}


def judge(sim: Simulated, learner: Learner, seed: int, penalty: float) -> list[float]:
    table = checked_table(sim.data, kind="numeric")
    parents, _ = CausalOrder(penalty=penalty).parent_search(table)
    began = time.perf_counter()
    found = learner(table, parents, seed, penalty)
    taken = time.perf_counter() - began
    truth = list(nx.topological_sort(nx.from_numpy_array(sim.adjacency, create_using=nx.DiGraph)))
    score = sum(parents.local(j, sum(1 << int(i) for i in np.flatnonzero(found[:, j]))) for j in range(len(found)))
    apart = shd(cpdag(found), cpdag(sim.adjacency))
    return [apart, sid(found, sim.adjacency), score - parents.total(truth), taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--variables", default="10,20")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--degree", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--penalty", type=float, default=2.0)
    arguments = parser.parse_args()
    for d in map(int, arguments.variables.split(",")):
        for standardise in (True, False):
            print(f"\n{d} variables, {'standardised' if standardise else 'as they are'}")
            print(f"{'':20}{'SHD':>14}{'SID':>16}{'score':>20}{'at least':>10}{'seconds':>9}")
            for name, learner in LEARNERS.items():
                rows = []
                for seed in range(arguments.seeds):
                    sim = linear_gaussian(d, arguments.rows, arguments.degree, seed, standardise=standardise)
                    rows.append(judge(sim, learner, seed, arguments.penalty))
                found = np.array(rows)
                off = student_t.ppf(0.975, len(found) - 1) * found.std(axis=0, ddof=1) / len(found) ** 0.5
                cells = [f"{m:.1f} ± {o:.1f}" for m, o in zip(found.mean(axis=0)[:3], off, strict=False)]
                least = f"{int((found[:, 2] >= -1e-6).sum())}/{len(found)}"
                print(
                    f"{name:20}{cells[0]:>14}{cells[1]:>16}{cells[2]:>20}{least:>10}{found[:, 3].mean():9.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
