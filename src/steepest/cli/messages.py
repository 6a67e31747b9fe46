"""What the commands print; off a terminal it is the same text."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from steepest._errors import one_line
from steepest.cli.tables import across_table, pairs_table, plan_sentence, plan_table, result_table, task_tables
from steepest.compare.analysis.profiles import across, comparable
from steepest.compare.analysis.summary import Summary
from steepest.compare.records.lines import attempts_note
from steepest.compare.results.budget import cost_notes
from steepest.compare.results.caveats import caveats
from steepest.compare.results.sentences import (
    edge_warnings,
    instrument_notes,
    instrument_warnings,
    lost_run_warnings,
    pruning_note,
    schedule_warnings,
    verdict_sentence,
)
from steepest.compare.study.result import write
from steepest.page.text import count, format_duration, listed

if TYPE_CHECKING:
    from steepest.compare.study.plan import Plan  # with it comes torch, which who reads a result can do without


def print_result(
    out: Console, folder: Path, summaries: Sequence[Summary], *, folders: Sequence[Path] | None = None
) -> None:
    """Print the result, then write the report: what is known is said even where nothing can be written.

    Args:
        folder: where the report goes.
        folders: of the studies, where they are others.
    """
    folders = folders or [folder]
    try:
        out.print(result_table(summaries))
        if comparable(summaries):
            spec = summaries[0].spec
            out.print()
            out.print(across_table(across(summaries, spec.baseline), spec))
        for summary in summaries:
            _print_comparison(out, summary)
        runs = [r for s in summaries for row in s.rows for r in (*row.runs_of_search, *row.finals)]
        if len(folders) == 1 and (note := attempts_note(folder, runs)):
            out.print(Text(note, style="yellow"))
    finally:  # also if the output cannot be written
        page = write(folder, summaries, folders)
    out.print(Text(f"Report: {page}"))


def _print_comparison(out: Console, summary: Summary) -> None:
    out.print()
    out.print(Text(one_line(verdict_sentence(summary)), style="bold"))
    if (pairs := pairs_table(summary)) is not None:
        out.print(pairs)
    if (matrices := task_tables(summary)) is not None:
        out.print(matrices)
    for sentence in caveats(summary):
        out.print(Text(one_line(sentence)))
    for note in filter(None, [*cost_notes(summary), pruning_note(summary), *instrument_notes(summary.spec)]):
        out.print(Text(one_line(note)))
    warnings = [*lost_run_warnings(summary), *schedule_warnings(summary), *edge_warnings(summary)]
    for warning in [*warnings, *instrument_warnings(summary)]:
        out.print(Text(one_line(warning), style="yellow"))


def print_plan(out: Console, plan: "Plan", *, measured: list[str]) -> None:
    """What a study would cost, and which methods fail."""
    out.print(plan_table(plan))
    without = f"; measuring {listed(measured, 'and')} comes on top" if measured else ""
    most = "At most " if plan.fewest_evaluations < plan.gradient_evaluations else ""
    out.print(
        f"\n{most}{count(plan.runs, 'run')}, {plan.gradient_evaluations:,} gradient evaluations, {plan.samples:,} "
        f"samples; about {format_duration(plan.seconds)} with {count(plan.jobs, 'job')}, from a few steps of each "
        f"method{without}.",
        highlight=False,
    )
    if expected := plan_sentence(plan):
        out.print(expected, highlight=False)
    for method in plan.methods:
        if method.failure:
            out.print(Text(one_line(f"{method.name} fails: {method.failure}"), style="yellow"))
