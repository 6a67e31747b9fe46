"""``steepest report``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from steepest._errors import InputError, argument, check_extra
from steepest._files import is_empty
from steepest.cli.streams import out


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="The folder of a study, finished or not; or several of the same workload, on one page.",
            metavar="DIR...",
        ),
    ],
    page: Annotated[
        str | None,
        typer.Option("--out", help="Where the page of several studies is written: a new folder.", metavar="DIR"),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Tell all methods against this one, in this report. Default: as the study says."),
    ] = None,
    winner: Annotated[
        bool | None,
        typer.Option("--winner/--no-winner", help="Say which methods may be the best. Default: as the study says."),
    ] = None,
    pairs: Annotated[
        bool | None,
        typer.Option("--pairs/--no-pairs", help="Compare every two methods. Default: as the study says."),
    ] = None,
    csv: Annotated[
        str | None, typer.Option(help="Write the tables into this folder as CSV files too.", metavar="DIR")
    ] = None,
    tensorboard: Annotated[
        str | None,
        typer.Option(help="Write every run's curves into this folder for TensorBoard too.", metavar="DIR"),
    ] = None,
    latex: Annotated[
        str | None,
        typer.Option(help="Write the tables into this folder as LaTeX with booktabs' rules too.", metavar="DIR"),
    ] = None,
    figures: Annotated[
        str | None,
        typer.Option(help="Write every figure into this folder as SVG, PNG and PDF too.", metavar="DIR"),
    ] = None,
) -> None:
    """Write a study's report anew from its records, and print the result."""
    from steepest.cli.messages import print_result
    from steepest.compare.analysis.summary import summarize_study
    from steepest.compare.policy.finished import finished_records
    from steepest.compare.policy.together import Read, together
    from steepest.compare.results.events import write_events
    from steepest.compare.results.exports import export_csv
    from steepest.compare.results.latex import export_latex
    from steepest.compare.study import values
    from steepest.page.text import count

    tables = None if csv is None else values.path("csv", csv)
    events = None if tensorboard is None else values.path("tensorboard", tensorboard)
    papers = None if latex is None else values.path("latex", latex)
    pictures = None if figures is None else values.path("figures", figures)
    if pictures is not None:
        check_extra("figures", "kaleido")
    into = _page_folder(folders, page)
    read = [Read(folder, *finished_records(folder)) for folder in folders]
    study, records = together(read) if len(read) > 1 else read[0][1:]
    study = study.told(baseline=baseline, winner=winner, pairs=pairs)
    summaries = summarize_study(study, records)
    into.mkdir(parents=True, exist_ok=True)  # only now: what is refused leaves nothing behind
    print_result(out(), into, summaries, folders=folders)
    if tables is not None:
        out().print(Text(f"Tables: {', '.join(map(str, export_csv(summaries, tables)))}"))
    if papers is not None:
        out().print(Text(f"LaTeX: {', '.join(map(str, export_latex(summaries, papers)))}"))
    if pictures is not None:
        from steepest.compare.report.drawn import drawn_figures, save_figures

        drawn = drawn_figures(summaries)
        save_figures(drawn, pictures)
        out().print(Text(f"Figures: {', '.join(drawn)} in {pictures}, each as SVG, PNG and PDF"))
    if events is not None:
        out().print(Text(f"TensorBoard: {count(write_events(summaries, events), 'run')} in {events}"))


def _page_folder(folders: list[Path], page: str | None) -> Path:
    """Find where the page goes: into the study's folder, or, of several, where the user says."""
    from steepest.compare.report.page import HTML
    from steepest.compare.study import values

    if len(folders) == 1 and page is None:
        return folders[0]
    if len(folders) == 1:
        raise InputError(f"{argument('out')} is for several studies; that of one is written into its folder")
    if page is None:
        raise InputError(f"{argument('out')} must name a folder for the page of several studies")
    into = values.path("out", page)
    if into.exists() and (not into.is_dir() or not is_empty(into)) and not (into / HTML).is_file():
        raise InputError(f"{argument('out')} must be a new folder, or one with such a page, got {page!r}")
    if (into / "spec.json").exists():
        raise InputError(f"{argument('out')} must be a new folder, and not that of a study, got {page!r}")
    return into
