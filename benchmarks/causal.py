"""How near causal graphs come to the truth: simulated linear Gaussian tables, beside other packages and no search.

    python benchmarks/causal.py [--variables 10,20] [--rows 1000] [--degree 2] [--seeds 10] [--penalty 2]
    python benchmarks/causal.py --network asia.bif.gz --rows 5000 [--seeds 10]
    python benchmarks/causal.py --sachs DIR
    python benchmarks/causal.py --known [--variables 20,50]

Erdos-Renyi graphs, standardised and as they are; or rows drawn from a network of categorical variables, by its BIC; or
the proteins of Sachs and others (2005) with the 17 edges of bnlearn's network, logarithms of all 7,466 rows, of
observations and interventions together. Prints means over the seeds with half of their 95 % intervals: SHD between
CPDAGs, a reversal counting 1; the bounds of SID over the class; the score less that of the best graph of the true
order; seconds. GES, BOSS, DirectLiNGAM and DAGMA are in the table where causal-learn, lingam and dagma are installed,
at their defaults or at the penalty that is named. `--known` times the same fit with five tiers of the true order, and
with half of the edges that are not forbidden as well. Asserts nothing.
"""

import argparse
import contextlib
import io
import itertools
import random
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import t as student_t
from sklearn.base import clone

from steepest.causal import CausalOrder, cpdag, shd, sid_bounds
from steepest.causal.baselines import explained
from steepest.causal.classes import member
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
NUMBERS = "gaussian-bic"


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


def of_class(graph: Any) -> Matrix:
    """A CPDAG of causal-learn's, where an edge i -> j has 1 at [j, i] and -1 at [i, j], as ours."""
    marks = graph.graph
    found: Matrix = ((marks == -1) & ((marks.T == 1) | (marks.T == -1))).astype(np.int64)
    return found


def run_ges(penalty: float) -> Learner:
    def fit(table: Table, parents: ParentSearch, model: CausalOrder) -> Matrix:
        from causallearn.search.ScoreBased.GES import ges

        if table.levels.any():
            return of_class(ges(table.values, score_func="local_score_BDeu")["G"])
        return of_class(ges(table.values, score_func="local_score_BIC_from_cov", lambda_value=penalty / 2)["G"])

    return fit


def run_boss(penalty: float) -> Learner:
    def fit(table: Table, parents: ParentSearch, model: CausalOrder) -> Matrix:
        from causallearn.search.PermutationBased.BOSS import boss

        random.seed(model.seed)
        if table.levels.any():
            return of_class(boss(table.values, score_func="local_score_BDeu", verbose=False))
        return of_class(boss(table.values, parameters={"lambda_value": penalty / 2}, verbose=False))

    return fit


def run_lingam(table: Table, parents: ParentSearch, model: CausalOrder) -> Matrix:
    import lingam

    weights = lingam.DirectLiNGAM(random_state=model.seed).fit(table.raw).adjacency_matrix_
    return np.asarray(np.abs(weights.T) > 1e-9, dtype=np.int64)


def run_dagma(table: Table, parents: ParentSearch, model: CausalOrder) -> Matrix:
    from dagma.linear import DagmaLinear

    return np.asarray(DagmaLinear(loss_type="l2").fit(table.raw) != 0, dtype=np.int64)


OURS: dict[str, Learner] = {
    "CausalOrder": learn(),
    "  SGD alone": learn(polish=False),
    "  SGD, RELAX": learn(polish=False, estimator="relax"),
    "  SGD, REINFORCE": learn(polish=False, estimator="reinforce"),
}
RELAXED: dict[str, Learner] = {
    "  SGD, REBAR": learn(polish=False, estimator="rebar"),
    "  NeuralSort": learn(polish=False, estimator="neural-sort"),
    "  straight-through": learn(polish=False, estimator="straight-through"),
    "  Gumbel-Sinkhorn": learn(polish=False, estimator="gumbel-sinkhorn"),
}
BASELINES: dict[str, Learner] = {
    "no edge": lambda table, parents, model: np.zeros((len(table.names),) * 2, dtype=np.int64),
    "random order": lambda table, parents, model: of_order(
        parents, np.random.default_rng([model.seed, 1]).permutation(len(table.names)).tolist()
    ),
}
SORTED: dict[str, Learner] = {
    "order by variance": lambda table, parents, model: of_order(parents, np.argsort(table.raw.var(axis=0)).tolist()),
    "order by R squared": lambda table, parents, model: of_order(parents, np.argsort(explained(table.values)).tolist()),
}


def learners(score: str) -> dict[str, Learner]:
    """Those that can be run, of a score."""
    numbers = score == NUMBERS
    found = OURS | (RELAXED if numbers else {})
    if find_spec("causallearn"):
        if numbers:
            found |= {"GES, penalty 1": run_ges(1), "GES, penalty 2": run_ges(2)}
            found |= {"BOSS, penalty 1": run_boss(1), "BOSS, penalty 2": run_boss(2), "BOSS, penalty 4": run_boss(4)}
        else:
            found |= {"GES, BDeu": run_ges(1), "BOSS, BDeu": run_boss(1)}
    if numbers and find_spec("lingam"):
        found["DirectLiNGAM"] = run_lingam
    if numbers and find_spec("dagma"):
        found["DAGMA"] = run_dagma
    return found | BASELINES | (SORTED if numbers else {})


def judge(
    data: pd.DataFrame, truth: Matrix, learner: Learner, seed: int, score: str, penalty: float | None
) -> list[float]:
    table = checked_table(data, kind=SCORES[score])
    model = CausalOrder(score, penalty=penalty, seed=seed)  # type: ignore[arg-type]
    parents, _ = model.parent_search(table)
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = learner(table, parents, model)
    taken = time.perf_counter() - began
    dag = member(found)
    order = list(nx.topological_sort(nx.from_numpy_array(truth, create_using=nx.DiGraph)))
    reached = sum(parents.local(j, sum(1 << int(i) for i in np.flatnonzero(dag[:, j]))) for j in range(len(dag)))
    low, high = sid_bounds(cpdag(dag), truth)
    return [shd(cpdag(dag), cpdag(truth)), low, high, reached - parents.total(order), taken]


def report(title: str, draw: Draw, seeds: int, score: str, penalty: float | None, only: list[str]) -> None:
    print(f"\n{title}")
    print(f"{'':20}{'SHD':>13}{'SID, least':>15}{'SID, largest':>15}{'score':>20}{'at least':>10}{'seconds':>9}")
    for name, learner in learners(score).items():
        if only and name.strip() not in only:
            continue
        found = np.array([judge(*draw(seed), learner, seed, score, penalty) for seed in range(seeds)])
        off = np.full(5, np.nan)
        if seeds > 1:
            off = student_t.ppf(0.975, seeds - 1) * found.std(axis=0, ddof=1) / seeds**0.5
        cells = [
            f"{m:.1f} ± {o:.1f}" if seeds > 1 else f"{m:.1f}" for m, o in zip(found.mean(axis=0)[:4], off, strict=False)
        ]
        least = f"{int((found[:, 3] >= -1e-6).sum())}/{seeds}"
        print(
            f"{name:20}{cells[0]:>13}{cells[1]:>15}{cells[2]:>15}{cells[3]:>20}{least:>10}{found[:, 4].mean():9.2f}",
            flush=True,
        )


def compare_known(variables: list[int], rows: int, degree: float, seeds: int) -> None:
    """Print the seconds of fits with more and more that is known, interleaved."""
    print(f"{'variables':>9}{'known':>26}{'seconds':>9}{'ratio':>7}{'scores':>8}{'SHD':>6}")
    for d in variables:
        kinds: dict[str, list[tuple[float, int, int]]] = {}
        for seed in range(seeds):
            simulated = linear_gaussian(d, rows, degree, seed)
            graph = nx.from_numpy_array(simulated.adjacency, create_using=nx.DiGraph)
            order = [f"x{i}" for i in nx.topological_sort(graph)]
            tiers = [part.tolist() for part in np.array_split(order, 5)]
            pairs = itertools.permutations(range(d), 2)
            absent = [(f"x{i}", f"x{j}") for i, j in pairs if not simulated.adjacency[i, j]]
            known: dict[str, dict[str, Any]] = {
                "nothing": {},
                "five tiers": {"tiers": tiers},
                "and half of absent edges": {"tiers": tiers, "forbidden": absent[::2]},
            }
            for name, options in known.items():
                began = time.perf_counter()
                model = CausalOrder(seed=seed, **options).fit(simulated.data)
                taken = time.perf_counter() - began
                kinds.setdefault(name, []).append(
                    (taken, model.local_scores_, shd(cpdag(model.adjacency_matrix_), cpdag(simulated.adjacency)))
                )
        for name, found in kinds.items():
            seconds = statistics.median(row[0] for row in found)
            ratio = statistics.median(row[0] / first[0] for row, first in zip(found, kinds["nothing"], strict=True))
            scores, apart = (statistics.fmean(row[at] for row in found) for at in (1, 2))
            print(f"{d:9}{name:>26}{seconds:9.2f}{ratio:7.2f}{scores:8.0f}{apart:6.1f}", flush=True)


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
    parser.add_argument("--known", action="store_true")
    parser.add_argument("--only", help="learners, with commas", default="")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    only = [name for name in asked.only.split(",") if name]
    variables = [int(d) for d in asked.variables.split(",")]
    if asked.known:
        compare_known(variables, asked.rows, asked.degree, asked.seeds)
    elif asked.network:
        network = read_bif(asked.network)

        def rows_of(seed: int) -> tuple[pd.DataFrame, Matrix]:
            data = network.sample(asked.rows, seed)
            kept = np.flatnonzero(data.nunique().to_numpy() > 1)
            return data.iloc[:, kept], network.adjacency[np.ix_(kept, kept)]

        report(f"{asked.network.name}, {asked.rows} rows", rows_of, asked.seeds, "discrete-bic", asked.penalty, only)
    elif asked.sachs:
        report("Sachs, logarithms", lambda seed: sachs(asked.sachs), 1, NUMBERS, asked.penalty, only)
    else:
        for d, standardise in itertools.product(variables, (True, False)):

            def simulated(seed: int, d: int = d, standardise: bool = standardise) -> tuple[pd.DataFrame, Matrix]:
                found = linear_gaussian(d, asked.rows, asked.degree, seed, standardise=standardise)
                return found.data, found.adjacency

            title = f"{d} variables, {'standardised' if standardise else 'as they are'}"
            report(title, simulated, asked.seeds, NUMBERS, asked.penalty, only)


if __name__ == "__main__":
    main()
