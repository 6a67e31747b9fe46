"""``steepest list``, ``steepest methods``, ``steepest workloads`` and ``steepest instruments``."""

from pathlib import Path
from typing import Annotated

import typer

from steepest._errors import one_line
from steepest.cli.streams import out


def methods() -> None:
    """List the built-in methods with their search spaces, and the gradient estimators that go in front of them."""
    from steepest.cli.catalogue import print_methods

    print_methods(out())


def workloads() -> None:
    """List the built-in workloads, and those that are made from data of yours."""
    from steepest.cli.catalogue import print_workloads

    print_workloads(out())


def instruments() -> None:
    """List the built-in instruments, which --measure takes."""
    from steepest.cli.catalogue import print_instruments

    print_instruments(out())


def studies(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Where to look, also in the folders below. Default: the current one.",
            metavar="DIR",
            show_default=False,
        ),
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print a list of JSON objects instead of a table.")] = False,
) -> None:
    """List the studies below a folder: what they compare, how many runs are done, and whether they are being run."""
    from steepest.cli.tables import studies_json, studies_table
    from steepest.compare.policy.listing import find_studies

    found = find_studies(folder)
    if json:
        out().print(studies_json(found), markup=False, highlight=False, soft_wrap=True)
    elif found:
        out().print(studies_table(found))
        for problem in (study.problem for study in found if study.problem):
            out().print(f"\n{one_line(problem)}.", markup=False, highlight=False)
    else:
        out().print(f"There is no study in {folder}.", markup=False, highlight=False)
