"""What a study shows in the terminal when it is done, or planned: tables."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from steepest._errors import one_line
from steepest.compare.analysis.profiles import Across
from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.analysis.tasks import mean_matrix
from steepest.compare.policy.listing import Listed
from steepest.compare.results.columns import format_pair, pair_columns, pairs_of, result_columns
from steepest.compare.results.formats import format_metric, format_ratio
from steepest.compare.spec import Spec
from steepest.page.table import Plain

if TYPE_CHECKING:
    from steepest.compare.study.plan import Plan


def plain_table(*headings: str) -> Table:
    """A table without lines."""
    return Table(*headings, box=None, pad_edge=False, header_style="bold")


def result_table(summaries: Sequence[Summary]) -> Table:
    """The final table, for the terminal; with several comparisons, each stands under its name."""
    several = len(summaries) > 1
    table = plain_table()
    # The name of a combination is no word to break.
    table.add_column(_make_cell("method"), overflow="fold", no_wrap=True)
    for plain in _sort_columns(summaries[0], several):
        table.add_column(_make_cell(plain.heading), justify="left" if plain.left else "right", overflow="fold")
    for summary in summaries:
        if several:
            table.add_row(Text(one_line(summary.spec.name), style="bold"))
        for row in summary.rows:
            table.add_row(
                *map(_make_cell, [row.method.name, *(plain.text(row) for plain in _sort_columns(summary, several))])
            )
    return table


def _sort_columns(summary: Summary, several: bool) -> list[Plain[Row]]:
    """Sort the columns: numbers first, words last."""
    columns = [plain for column in result_columns(summary, several=several) for plain in column.terminal]
    return sorted(columns, key=lambda plain: plain.left)


def _make_cell(text: str) -> Text:
    """Make a cell of a name, which may hold any sign."""
    return Text(one_line(text))


def across_table(found: Sequence[Across], spec: Spec) -> Table:
    """The scores over several workloads, for the terminal."""
    table = plain_table()
    table.add_column("method", no_wrap=True)
    headings = ("score", f"{spec.budget} over {spec.baseline}'s", "over the fewest", "targets reached")
    for heading in headings:
        table.add_column(Text(heading), justify="right")
    for row in found:
        reached = f"{row.reached} of {len(row.costs)}"
        cells = (row.method, f"{row.score:.3f}", format_ratio(row.geometric_mean), format_ratio(row.median), reached)
        table.add_row(*map(_make_cell, cells))
    return table


def task_tables(summary: Summary) -> Table | None:
    """What each method knew of every task after each of them, for the terminal; ``None`` if there is one task."""
    matrices = {row.method.name: mean_matrix(row) for row in summary.rows if summary.spec.workload.tasks}
    if not any(matrices.values()):
        return None
    table = plain_table()
    table.add_column(Text("method"), no_wrap=True, overflow="fold")
    table.add_column(Text("after task"), justify="right")
    for task in range(1, max(map(len, matrices.values())) + 1):
        table.add_column(Text(f"on {task}"), justify="right")
    for name, matrix in matrices.items():
        for after, values in enumerate(matrix):
            told = [format_metric(summary.spec, value) for value in values]
            table.add_row(_make_cell(name if after == 0 else ""), str(after + 1), *map(_make_cell, told))
    return table


def pairs_table(summary: Summary) -> Table | None:
    """Every two methods, for the terminal; ``None`` if the study is not to say so."""
    if not (found := pairs_of(summary)):
        return None
    table = plain_table()
    columns = [plain for column in pair_columns(summary) for plain in column.terminal]
    table.add_column(Text("methods"), no_wrap=True)
    for plain in columns:
        table.add_column(Text(plain.heading), justify="left" if plain.left else "right")
    for pair in found:
        table.add_row(*map(_make_cell, [format_pair(pair), *(plain.text(pair) for plain in columns)]))
    return table


def _format_span(fewest: int | None, most: int) -> str:
    """Format how many there will be, such as ``3 to 12``."""
    return f"{most:,}" if fewest in (None, most) else f"{fewest:,} to {most:,}"


def plan_table(plan: "Plan") -> Table:
    """What a study would cost, method by method."""
    table = plain_table()
    several = len({method.workload for method in plan.methods}) > 1
    for heading in [*(["workload"] if several else []), "method"]:
        table.add_column(heading, no_wrap=True)
    short = any(method.screens for method in plan.methods)
    searched = ("short runs", "in full") if short else ("trials",)
    for heading in (*searched, "final runs", "steps per run", "gradient evaluations", "seconds per run"):
        table.add_column(heading, justify="right")
    for method in plan.methods:
        counts = [*([f"{method.screens:,}"] if short else []), f"{method.trials:,}"]
        counts += [_format_span(method.fewest, method.finals), f"{method.steps:,}"]
        counts += [_format_span(method.fewest_evaluations, method.gradient_evaluations)]
        seconds = "?" if method.seconds is None else f"{method.seconds:.3g}"
        names = [*([method.workload] if several else []), method.name]
        table.add_row(*map(_make_cell, names), *counts, seconds)
    return table


def plan_sentence(plan: "Plan") -> str:
    """What a study that stops early takes of the same study in full; nothing for one that does not."""
    expected = [(method, method.expected) for method in plan.methods if method.expected is not None]
    if not expected:
        return ""
    full = plan.evaluations_in_full
    means = [sum(method.with_finals(getattr(found, name)) for method, found in expected) for name in ("equal", "apart")]

    def share(evaluations: int) -> str:
        return f"{100 * evaluations / full:.0f}\N{NO-BREAK SPACE}%"

    return (
        f"In full it would take {full:,} gradient evaluations: this is {share(plan.fewest_evaluations)} to "
        f"{share(plan.gradient_evaluations)} of them. Expected are {means[0]:,} ({share(means[0])}) if nothing "
        f"differs, and {means[1]:,} ({share(means[1])}) if methods lie up to 2 standard deviations of a run from the "
        "baseline."
    )


def studies_table(found: Sequence[Listed]) -> Table:
    """Studies, a line each."""
    table = plain_table()
    table.add_column("study", no_wrap=True, overflow="fold")
    table.add_column("workloads", overflow="fold")
    table.add_column("methods", overflow="fold")
    table.add_column("runs", justify="right")
    table.add_column("last", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for study in found:
        runs = f"{study.done} of {study.planned}" if study.planned else "-"
        names = (study.name, ", ".join(study.workloads), ", ".join(study.methods))
        table.add_row(*map(_make_cell, (*names, runs, _format_moment(study.last), study.state)))
    return table


def studies_json(found: Sequence[Listed]) -> str:
    """The same as JSON; ``last`` in ISO 8601."""
    moments = [None if s.last is None else datetime.fromtimestamp(s.last, UTC).isoformat() for s in found]
    objects = [
        {**vars(study), "folder": str(study.folder), "last": moment}
        for study, moment in zip(found, moments, strict=True)
    ]
    return json.dumps(objects, indent=1)


def _format_moment(seconds: float | None) -> str:
    return "-" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
