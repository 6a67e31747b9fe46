"""CausalOrder: a causal graph from a table, by gradients through the order of its variables."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import networkx as nx
import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator

from steepest.causal.graphs import cpdag
from steepest.causal.knowledge import Edges, Knowledge
from steepest.causal.parents import LassoSearch, ParentSearch, members
from steepest.causal.relaxed import RelaxedLasso
from steepest.causal.scores import BDeu, CalledScore, DiscreteBIC, GaussianBIC, LocalScore
from steepest.causal.search import Progress, search
from steepest.causal.table import Table, checked_table
from steepest.gradients.permutations import REBAR, RELAX, OrderGradient, PlackettLuce, RelaxedSort, ScoreFunction
from steepest.optim.arguments import check_choice, check_flag, check_integer, check_number

Score = Literal["gaussian-bic", "lasso", "discrete-bic", "bdeu"]
SCORES = {"gaussian-bic": "numeric", "lasso": "numeric", "discrete-bic": "discrete", "bdeu": "discrete"}
PENALTIES = {"gaussian-bic": 2.0, "lasso": 2.0, "discrete-bic": 1.0}
SAMPLE_SIZE = 10.0
RELAXATIONS = ("neural-sort", "straight-through", "gumbel-sinkhorn")
ESTIMATORS = ("leave-one-out", "reinforce", "relax", "rebar", *RELAXATIONS)
LR = 0.1


class CausalOrder(BaseEstimator):  # type: ignore[misc]
    r"""The DAG of the best score that SGD on a law over orders finds, and what the data leave open of it.

    .. code-block:: text

        order ~ PlackettLuce(theta);  theta by Adam on an estimate of the gradient of E[-score(order) / rows]
        score(order): of the best DAG that fits it, every variable's parents grown and shrunk among those before it

    Then, with ``polish``, the law's mode and the best orders that were drawn are improved by moving one variable at a
    time to its best place, as in BOSS, until no move helps; and once more from 60 orders in which a few variables of
    the best one were put elsewhere. Parents that tell something only together, as those of an
    exclusive or, are not found by growing.

    Args:
        score: ``"gaussian-bic"`` of numeric columns, ``"lasso"``, which is the same score of parents that the LASSO
            chooses among those before, ``"discrete-bic"`` or ``"bdeu"`` of categorical ones, or a
            function ``(child, parents, data) -> float`` of names and a data frame, which is summed over variables and
            of which higher is better; categorical columns are numbered there from 0.
        estimator: of the gradient: ``"leave-one-out"``, ``"reinforce"`` or ``"relax"``; of ``"gaussian-bic"`` and
            ``"lasso"``, whose LASSO can be differentiated by a relaxed order, also ``"rebar"`` and, biased,
            ``"neural-sort"``, ``"straight-through"`` and ``"gumbel-sinkhorn"``; or a function of the logits and a
            ``torch.Generator`` that makes an :class:`~steepest.gradients.permutations.OrderGradient`.
        max_parents: of a variable; ``None`` for any number.
        tiers: lists of names: no variable of a later list is a cause of one of an earlier.
        forbidden, required: edges ``(cause, effect)`` that the graph has not, and has.
        penalty: on a parameter in the criteria, of which 1 is Schwarz'; by default 2 of numeric columns, with which
            fewer edges are found that are not there, and 1 of categorical ones. Not for ``"bdeu"`` or a function.
        sample_size: the equivalent sample size of ``"bdeu"``, 10 by default, and of no other score.
        missing: ``"refuse"`` or ``"drop"`` rows with missing values.
        steps: of SGD.
        samples: orders drawn in a step.
        polish: improve the best orders by moves of single variables.
        seed: of the orders that are drawn.

    Attributes:
        causal_order_: names, causes first.
        adjacency_matrix_: a data frame (d, d) of 0 and 1; 1 at [i, j] says i -> j.
        causal_graph_: the same as ``networkx.DiGraph``.
        cpdag_: a data frame (d, d); an edge that the data cannot orient is at [i, j] and at [j, i].
        score_: of the graph; higher is better. ``score_by_sgd_``: before single moves.
        order_distribution_: the Plackett-Luce law at the end of SGD, over ``names_``.
        history_: rows of ``evaluations``, ``seconds``, ``best`` and ``mean`` scores.
        names_: of the variables: columns that vary. ``notes_``: what was left out.

    Source: a **reconstruction** of Gadetsky, Struminsky, Robinson, Quadrianto, Vetrov, arXiv 1911.10036 (2020); orders
    as the space of a search: Friedman, Koller, Machine Learning 50 (2003), 95-125; moves and trees of parents: Andrews
    and others, "Fast scalable and accurate discovery of DAGs using the best order score search and grow-shrink trees",
    NeurIPS 2023.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(size=(2, 500))
        >>> data = pd.DataFrame({"sum": a + b + 0.1 * rng.normal(size=500), "a": a, "b": b})
        >>> model = CausalOrder(steps=20).fit(data)
        >>> list(model.causal_graph_.edges)
        [('a', 'sum'), ('b', 'sum')]
    """

    def __init__(
        self,
        score: Score | Callable[[str, tuple[str, ...], pd.DataFrame], float] = "gaussian-bic",
        *,
        estimator: str | Callable[[torch.Tensor, torch.Generator], OrderGradient] = "leave-one-out",
        max_parents: int | None = None,
        tiers: Sequence[Sequence[str]] = (),
        forbidden: Edges = (),
        required: Edges = (),
        penalty: float | None = None,
        sample_size: float | None = None,
        missing: str = "refuse",
        steps: int = 300,
        samples: int = 8,
        polish: bool = True,
        seed: int = 0,
    ) -> None:
        self.score = score
        self.estimator = estimator
        self.max_parents = max_parents
        self.tiers = tiers
        self.forbidden = forbidden
        self.required = required
        self.penalty = penalty
        self.sample_size = sample_size
        self.missing = missing
        self.steps = steps
        self.samples = samples
        self.polish = polish
        self.seed = seed

    def fit(self, data: pd.DataFrame, y: None = None, *, progress: Progress = lambda share: None) -> "CausalOrder":
        """Learn from a data frame.

        Args:
            progress: called with the share that is done.

        Raises:
            TypeError, ValueError: the data or an argument cannot be used, in one sentence.
        """
        self.check()
        table = checked_table(data, kind=SCORES.get(str(self.score), "any"), missing=self.missing)
        return self.fit_table(table, progress)

    def bootstrap(self, data: pd.DataFrame, n: int = 100, *, progress: Progress = lambda share: None) -> "pd.DataFrame":
        """How many of n resamples of the rows have an edge: a data frame (d, d) of shares, at [i, j] of i -> j.

        Args:
            progress: called with the share that is done.
        """
        check_integer("n", n, "an integer of at least 1")
        check_number("n", n, "an integer of at least 1", lambda x: x >= 1)
        self.check()
        table = checked_table(data, kind=SCORES.get(str(self.score), "any"), missing=self.missing)
        total = np.zeros((len(table.names), len(table.names)))
        for number in range(n):
            total += self.resampled(table, number)
            progress((number + 1) / n)
        return pd.DataFrame(total / n, index=table.names, columns=table.names)

    def resampled(self, table: Table, number: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """The graph (d, d) of resample ``number`` of a table's rows, by this number and the seed alone."""
        rng = np.random.default_rng([self.seed, number])
        rows = rng.integers(0, table.rows, table.rows)
        model = CausalOrder(**self.get_params())
        found: np.ndarray[Any, np.dtype[np.int64]] = model.fit_table(table.taken(rows)).adjacency_matrix_.to_numpy()
        return found

    def make_score(self, table: Table) -> LocalScore:
        """The score of variables of a table."""
        if callable(self.score):
            return CalledScore(table, self.score)
        if self.score == "bdeu":
            return BDeu(table, SAMPLE_SIZE if self.sample_size is None else self.sample_size)
        kind = DiscreteBIC if self.score == "discrete-bic" else GaussianBIC
        return kind(table, self._penalty())

    def parent_search(self, table: Table) -> tuple[ParentSearch, Knowledge]:
        """What finds parents, and what is known beforehand, of a table."""
        known = Knowledge(table.names, self.tiers, self.forbidden, self.required)
        most = self.max_parents
        for name, mask in zip(table.names, known.required, strict=True):
            if most is not None and mask.bit_count() > most:
                raise ValueError(
                    f"max_parents must be at least the {mask.bit_count()} required of {name!r}, got {most}"
                )
        common = self.make_score(table), len(table.names), known, self.max_parents
        if self.score == "lasso":
            return LassoSearch(*common, np.cov(table.values.T, bias=True), table.rows), known
        return ParentSearch(*common), known

    def fit_table(self, table: Table, progress: Progress = lambda share: None) -> "CausalOrder":
        """Learn from a table that is checked."""
        parents, known = self.parent_search(table)
        logits = torch.zeros(len(table.names), dtype=torch.float64, device="cpu", requires_grad=True)
        generator = torch.Generator("cpu").manual_seed(self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            estimator = self._make_estimator(logits, generator, table, known)
        optimizer = torch.optim.Adam([logits, *estimator.parameters()], lr=LR)
        found = search(
            parents, known, estimator, optimizer, table.rows, self.steps, self.samples, self.polish, self.seed, progress
        )
        adjacency = np.zeros((len(table.names),) * 2, dtype=np.int64)
        for child, mask in enumerate(parents.graph(found.order)):
            adjacency[members(mask), child] = 1
        self.names_, self.notes_ = table.names, table.notes
        self.causal_order_ = [table.names[i] for i in found.order]
        self.adjacency_matrix_ = pd.DataFrame(adjacency, index=table.names, columns=table.names)
        self.cpdag_ = pd.DataFrame(cpdag(adjacency, _fixed(known, adjacency)), index=table.names, columns=table.names)
        self.causal_graph_ = nx.from_pandas_adjacency(self.adjacency_matrix_, create_using=nx.DiGraph)
        self.score_, self.score_by_sgd_ = found.score, found.by_sgd
        self.order_distribution_ = PlackettLuce(found.logits)
        self.history_, self.evaluations_, self.moves_ = found.history, found.evaluations, found.moves
        self.local_scores_ = parents.computed
        return self

    def _penalty(self) -> float:
        """Tell the penalty of the score, which is given or its own."""
        return PENALTIES[str(self.score)] if self.penalty is None else self.penalty

    def _make_estimator(
        self, logits: torch.Tensor, generator: torch.Generator, table: Table, known: Knowledge
    ) -> OrderGradient:
        if callable(self.estimator):
            return self.estimator(logits, generator)
        if self.estimator == "relax":
            return RELAX(logits, generator=generator)
        if self.estimator in ("leave-one-out", "reinforce"):
            return ScoreFunction(logits, "none" if self.estimator == "reinforce" else "leave-one-out", generator)
        relaxed = RelaxedLasso(table, self._penalty(), known)
        if self.estimator == "rebar":
            return REBAR(logits, relaxed, generator)
        return RelaxedSort(logits, relaxed, self.estimator, generator=generator)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise unless the arguments can be used, as far as that can be said without data."""
        if not callable(self.score):
            check_choice("score", self.score, tuple(SCORES))
        if not callable(self.estimator):
            check_choice("estimator", self.estimator, ESTIMATORS)
        for name in ("steps", "samples") + (() if self.max_parents is None else ("max_parents",)):
            check_integer(name, getattr(self, name), "an integer of at least 1")
            check_number(name, getattr(self, name), "an integer of at least 1", lambda x: x >= 1)
        check_integer("seed", self.seed, "an integer of at least 0")
        check_number("seed", self.seed, "an integer of at least 0", lambda x: x >= 0)
        takers = {"penalty": tuple(PENALTIES), "sample_size": ("bdeu",)}
        for name, scores in takers.items():
            if (value := getattr(self, name)) is not None:
                check_number(name, value, "a finite number above 0", lambda x: 0 < x < float("inf"))
                if self.score not in scores:
                    own = getattr(self.score, "__name__", self.score)
                    raise ValueError(f"{name} must be left out with score {own!r}, which has none, got {value!r}")
        if self.estimator in ("rebar", *RELAXATIONS) and SCORES.get(str(self.score)) != "numeric":
            own = getattr(self.score, "__name__", self.score)
            raise ValueError(
                f"estimator {self.estimator!r} needs a score that can be relaxed, 'gaussian-bic' or 'lasso', "
                f"got {own!r}"
            )
        check_flag("polish", self.polish)
        if self.estimator == "leave-one-out" and self.samples < 2:
            raise ValueError(f"samples must be at least 2 for the leave-one-out estimator, got {self.samples}")


def _fixed(known: Knowledge, adjacency: "np.ndarray[Any, np.dtype[np.int64]]") -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Find the edges that what is known beforehand keeps from being turned."""
    found = np.zeros_like(adjacency)
    for i, j in np.argwhere(adjacency):
        turned = known.allowed[i] >> j & 1 and not known.after[i] >> j & 1
        found[i, j] = not turned
    return found
