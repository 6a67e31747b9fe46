"""``steepest causal``: which variable causes which, from a table."""

from pathlib import Path
from typing import Annotated, Any

import typer

from steepest._errors import InputError, argument
from steepest.cli.experiments import Bar, tell


def causal(
    data: Annotated[
        Path,
        typer.Argument(help="A table: CSV, whatever its separator, or Parquet.", show_default=False, metavar="FILE"),
    ],
    score: Annotated[
        str, typer.Option(help="gaussian-bic or lasso of numbers; discrete-bic or bdeu of columns with few values.")
    ] = "gaussian-bic",
    columns: Annotated[
        str | None, typer.Option(help="Those that are taken, with commas. Default: all.", show_default=False)
    ] = None,
    tiers: Annotated[
        str | None,
        typer.Option(
            help="What comes first: groups of columns, as in age,sex/dose/outcome; no later one causes an earlier.",
            show_default=False,
        ),
    ] = None,
    forbidden: Annotated[
        list[str] | None, typer.Option(help="CAUSE->EFFECT, an edge that is not; repeat for more.", metavar="EDGE")
    ] = None,
    required: Annotated[
        list[str] | None, typer.Option(help="CAUSE->EFFECT, an edge that is; repeat for more.", metavar="EDGE")
    ] = None,
    max_parents: Annotated[
        int | None, typer.Option(help="Direct causes of a variable. Default: any number.", show_default=False)
    ] = None,
    missing: Annotated[str, typer.Option(help="refuse or drop rows with missing values.")] = "refuse",
    penalty: Annotated[
        float | None,
        typer.Option(
            help="On a parameter; a larger one gives fewer edges. Default: 2 of numbers, 1 for discrete-bic.",
            show_default=False,
        ),
    ] = None,
    sample_size: Annotated[
        float | None, typer.Option(help="The equivalent sample size of bdeu. Default: 10.", show_default=False)
    ] = None,
    bootstrap: Annotated[int, typer.Option(help="Resamples of the rows that tell how stable the edges are.")] = 100,
    estimator: Annotated[
        str,
        typer.Option(
            help="Of the gradient through orders: leave-one-out, reinforce, relax; of numbers also rebar, neural-sort, "
            "straight-through, gumbel-sinkhorn."
        ),
    ] = "leave-one-out",
    steps: Annotated[int, typer.Option(help="Of SGD on the law over orders.")] = 300,
    samples: Annotated[int, typer.Option(help="Orders drawn in a step.")] = 8,
    polish: Annotated[bool, typer.Option(help="Improve the best orders by moves of single variables.")] = True,
    seed: Annotated[int, typer.Option(help="Of the orders and of the resamples.")] = 0,
    folder: Annotated[
        Path | None, typer.Option("--out", help="The folder. Default: causal/FILE.", metavar="DIR")
    ] = None,
) -> int:
    """Learn a causal graph from a table, and what the table leaves open of it; on a page, where it can be moved.

    SGD on a law over the orders of the variables. The same command again computes nothing twice.
    """
    from steepest.causal.experiment import Settings, learn
    from steepest.causal.exports import FILES, graph_of, picture, write_graph
    from steepest.causal.page import story_of

    settings = Settings(
        file=str(data),
        score=score,
        estimator=estimator,
        columns=() if columns is None else tuple(columns.split(",")),
        max_parents=max_parents,
        tiers=() if tiers is None else tuple(tuple(group.split(",")) for group in tiers.split("/")),
        forbidden=_edges("forbidden", forbidden),
        required=_edges("required", required),
        penalty=penalty,
        sample_size=sample_size,
        missing=missing,
        steps=steps,
        samples=samples,
        polish=polish,
        bootstrap=bootstrap,
        seed=seed,
    )
    where = folder or Path("causal", data.name.split(".")[0])
    with Bar() as bar:
        found = learn(settings, where, bar.show)
    graph = graph_of(found.names, found.edges)
    write_graph(where, graph, found.edges)
    shown: dict[str, Any] = {
        "picture": picture(graph, found.edges, alone=False),
        "assumptions": found.assumptions,
        "resamples": found.resamples,
    }
    return tell(where, story_of(found), "causal.html.j2", "steepest.causal", FILES, **shown)


def _edges(name: str, given: list[str] | None) -> tuple[tuple[str, str], ...]:
    """Read edges."""
    found = []
    for text in given or ():
        cause, arrow, effect = text.partition("->")
        if not (arrow and cause.strip() and effect.strip()):
            raise InputError(f"{argument(name)} must be an edge such as 'a->b', got {text!r}")
        found.append((cause.strip(), effect.strip()))
    return tuple(found)
