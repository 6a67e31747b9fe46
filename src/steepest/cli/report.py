"""``steepest report``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from steepest.cli.streams import out


def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a study, finished or not.", metavar="DIR")],
    baseline: Annotated[
        str | None,
        typer.Option(help="Tell all methods against this one, in this report. Default: as the study says."),
    ] = None,
    winner: Annotated[
        bool | None,
        typer.Option("--winner/--no-winner", help="Say which methods may be the best. Default: as the study says."),
    ] = None,
    csv: Annotated[
        str | None, typer.Option(help="Write the tables into this folder as CSV files too.", metavar="DIR")
    ] = None,
    tensorboard: Annotated[
        str | None,
        typer.Option(help="Write every run's curves into this folder for TensorBoard too.", metavar="DIR"),
    ] = None,
) -> None:
    """Write a study's report anew from its records, and print the result."""
    from steepest.cli.messages import print_result
    from steepest.compare.analysis.summary import summarize_study
    from steepest.compare.policy.finished import finished_records
    from steepest.compare.results.events import write_events
    from steepest.compare.results.exports import export_csv
    from steepest.compare.study import values
    from steepest.page.text import count

    tables = None if csv is None else values.path("csv", csv)
    events = None if tensorboard is None else values.path("tensorboard", tensorboard)
    study, records = finished_records(folder)
    study = study.told(baseline=baseline, winner=winner)
    summaries = summarize_study(study, records)
    print_result(out(), folder, summaries)
    if tables is not None:
        out().print(Text(f"Tables: {', '.join(map(str, export_csv(summaries, tables)))}"))
    if events is not None:
        out().print(Text(f"TensorBoard: {count(write_events(summaries, events), 'run')} in {events}"))
