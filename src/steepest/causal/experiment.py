"""A causal graph from a file, in a folder: what was computed there is not computed again."""

# ruff: noqa: E402
from steepest._errors import check_extra

check_extra("compare", "plotly", "jinja2", "rich", "typer")

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from steepest.causal.baselines import baseline_scores
from steepest.causal.exports import list_edges
from steepest.causal.order import SCORES, CausalOrder
from steepest.causal.page import Learnt
from steepest.causal.reading import read_table
from steepest.causal.table import Table, checked_table
from steepest.page.kept import Progress, kept, settings_refused, take_experiment

PARTS = "computed-2"  # by this search: what an older one left in a folder is not mixed with what this one finds
ASSUMED = (
    "No two variables of the table have a common cause that is not in it.",
    "There are no cycles: nothing causes itself by way of others.",
    "Rows are independent of each other, and come from one law; what was selected by its effects misleads.",
    "What is independent in the data is so because of the graph, and not because two effects cancel.",
)
MODELS = {
    "gaussian-bic": "Every variable is a linear function of its causes plus normal noise. Units do not matter.",
    "lasso": "Every variable is a linear function of its causes plus normal noise. Units do not matter.",
    "discrete-bic": "Every variable has a few values, and probabilities of its own for each combination of its causes.",
    "bdeu": "Every variable has a few values, and probabilities of its own for each combination of its causes.",
}


@dataclass(frozen=True)
class Settings:
    """What is asked: of :class:`~steepest.causal.CausalOrder` and beside it.

    Args:
        file: with the table.
        columns: that are taken; all of them by default.
        bootstrap: number of resamples.
    """

    file: str
    score: str = "gaussian-bic"
    estimator: str = "leave-one-out"
    columns: tuple[str, ...] = ()
    max_parents: int | None = None
    tiers: tuple[tuple[str, ...], ...] = ()
    forbidden: tuple[tuple[str, str], ...] = ()
    required: tuple[tuple[str, str], ...] = ()
    penalty: float | None = None
    sample_size: float | None = None
    missing: str = "refuse"
    steps: int = 300
    samples: int = 8
    polish: bool = True
    bootstrap: int = 100
    seed: int = 0


@dataclass(frozen=True)
class _Asked(Settings):
    """Settings with what is in the file, by which a folder knows its own."""

    sha256: str = ""


def learn(settings: Settings, folder: Path, progress: Progress = lambda name, share: None) -> Learnt:
    """Learn a graph and how stable it is, or read from the folder what was computed there.

    Args:
        progress: called with the name of what is computed next, and the share that is done.

    Raises:
        InputError: a setting or the data cannot be used, or the folder holds something else.
    """
    path = Path(settings.file)
    frame = read_table(path)
    with settings_refused(Settings):
        if settings.bootstrap < 0:
            raise ValueError(f"bootstrap must be at least 0, got {settings.bootstrap}")
        frame = _choose(frame, settings.columns)
        model = _model_of(settings)
        model.check()
        table = checked_table(frame, kind=SCORES[settings.score], missing=settings.missing)
        model.parent_search(table)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        take_experiment(folder, _Asked(**asdict(settings), sha256=content))
        parts = 1 + settings.bootstrap

        def tell(name: str, number: int) -> Callable[[float], object]:
            return lambda share: progress(name, (number + share) / parts)

        main = kept(folder, "graph", lambda: _fit(model, table, tell("the graph", 0)), PARTS)
        graphs = []
        for number in range(settings.bootstrap):
            tell(f"resample {number + 1} of {settings.bootstrap}", number + 1)(0.0)
            graphs.append(_resample(folder, model, table, number))
        progress("page", 1.0)
        return _tell(settings, table, main, graphs)


def _choose(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    unknown = [name for name in columns if name not in frame]
    if unknown:
        raise ValueError(f"columns must be of the data, got {unknown[0]!r}; it has {', '.join(frame.columns[:12])}")
    return frame[list(columns)] if columns else frame


def _model_of(settings: Settings) -> CausalOrder:
    own = {name: value for name, value in asdict(settings).items() if name not in ("file", "columns", "bootstrap")}
    return CausalOrder(**own)


def _fit(model: CausalOrder, table: Table, progress: Callable[[float], object]) -> dict[str, Any]:
    fitted = model.fit_table(table, progress)
    return {
        "adjacency": fitted.adjacency_matrix_.to_numpy(),
        "cpdag": fitted.cpdag_.to_numpy(),
        "order": fitted.causal_order_,
        "logits": fitted.order_distribution_.logits.numpy(),
        "score": fitted.score_,
        "score_by_sgd": fitted.score_by_sgd_,
        "history": [dict(row) for row in fitted.history_],
        "evaluations": fitted.evaluations_,
        "moves": fitted.moves_,
        "local_scores": fitted.local_scores_,
        "baselines": baseline_scores(model, table),
    }


def _resample(folder: Path, model: CausalOrder, table: Table, number: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    found = kept(folder, f"resample-{number}", lambda: {"edges": np.argwhere(model.resampled(table, number))}, PARTS)
    graph = np.zeros((len(table.names),) * 2, dtype=np.int64)
    for i, j in np.asarray(found["edges"], dtype=int).reshape(-1, 2):
        graph[i, j] = 1
    return graph


def _tell(
    settings: Settings, table: Table, main: dict[str, Any], graphs: list["np.ndarray[Any, np.dtype[np.int64]]"]
) -> Learnt:
    confidence = np.mean(graphs, axis=0) if graphs else None
    moved = main["score"] - main["score_by_sgd"]
    notes = [
        *table.notes,
        f"SGD came to {main['score_by_sgd']:,.1f}; {main['moves']} moves of single variables added {moved:,.1f}.",
        f"Known beforehand: {_say_known(settings)}.",
    ]
    return Learnt(
        names=table.names,
        edges=list_edges(table.names, np.asarray(main["adjacency"]), np.asarray(main["cpdag"]), confidence),
        order=[str(name) for name in main["order"]],
        logits=np.asarray(main["logits"], dtype=np.float64),
        score=float(main["score"]),
        score_name=settings.score,
        baselines=main["baselines"],
        history=list(main["history"]),
        assumptions=[*ASSUMED, MODELS[settings.score]],
        settings=asdict(settings),
        rows=table.rows,
        notes=notes,
        resamples=len(graphs),
        confidence=confidence,
        counted={key: main[key] for key in ("evaluations", "moves", "local_scores", "score_by_sgd")},
    )


def _say_known(settings: Settings) -> str:
    said = []
    if settings.tiers:
        said.append("tiers " + " before ".join("{" + ", ".join(tier) + "}" for tier in settings.tiers))
    for name in ("forbidden", "required"):
        if edges := getattr(settings, name):
            said.append(f"{name} {', '.join(f'{cause} → {effect}' for cause, effect in edges)}")
    return "; ".join(said) or "nothing"
