"""What a study shows in the terminal when it is done, or planned: tables."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from steepest._errors import one_line
from steepest.compare.analysis.profiles import Across
from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.results.formats import (
    format_difference,
    format_difference_interval,
    format_evaluations_to_target,
    format_lr,
    format_metric,
    format_metric_interval,
    format_ratio,
    format_sharpness,
    format_target,
    format_verdict,
)
from steepest.compare.spec import Spec
from steepest.compare.study.plan import Plan


def plain_table(*headings: str) -> Table:
    """A table without lines."""
    return Table(*headings, box=None, pad_edge=False, header_style="bold")


def result_table(summaries: Sequence[Summary]) -> Table:
    """The final table, for the terminal; with several comparisons, each stands under its name."""
    spec = summaries[0].spec
    several = len(summaries) > 1
    table = plain_table()
    metric, target = spec.workload.metric_name, format_target(spec, spec.workload.target)
    for heading, justify in (
        ("method", "left"),
        ("test metric" if several else f"test {metric}", "right"),
        ("95 % interval", "right"),
        (f"minus {spec.baseline}", "right"),
        ("95 % interval", "right"),
        ("to target" if several else f"to {target}", "right"),
        ("lr", "right"),
        *([("sharpness", "right")] if spec.sharpness_samples else []),
        ("verdict", "left"),
    ):
        whole = heading == "method"  # the name of a combination is no word to break
        table.add_column(_cell(heading), justify=justify, overflow="fold", no_wrap=whole)  # type: ignore[arg-type]
    for summary in summaries:
        if several:
            table.add_row(Text(one_line(summary.spec.name), style="bold"))
        for row in summary.rows:
            table.add_row(*map(_cell, _cells(summary.spec, row)))
    return table


def _cell(text: str) -> Text:
    """A name may hold any sign."""
    return Text(one_line(text))


def _cells(spec: Spec, row: Row) -> list[str]:
    comparison = row.comparison
    return [
        row.method.name,
        format_metric(spec, row.mean),
        format_metric_interval(spec, row.interval),
        format_difference(spec, comparison.difference),
        format_difference_interval(spec, comparison.interval),
        format_evaluations_to_target(row),
        format_lr(row),
        *([format_sharpness(row)] if spec.sharpness_samples else []),
        format_verdict(comparison),
    ]


def across_table(found: Sequence[Across], baseline: str) -> Table:
    """The scores over several workloads, for the terminal."""
    table = plain_table()
    table.add_column("method", no_wrap=True)
    headings = ("score", f"evaluations over {baseline}'s", "over the fewest", "targets reached")
    for heading in headings:
        table.add_column(Text(heading), justify="right")
    for row in found:
        reached = f"{row.reached} of {len(row.costs)}"
        cells = (row.method, f"{row.score:.3f}", format_ratio(row.geometric_mean), format_ratio(row.median), reached)
        table.add_row(*map(_cell, cells))
    return table


def plan_table(plan: Plan) -> Table:
    """What a study would cost, method by method."""
    table = plain_table()
    several = len({method.workload for method in plan.methods}) > 1
    for heading in [*(["workload"] if several else []), "method"]:
        table.add_column(heading, no_wrap=True)
    for heading in ("trials", "final runs", "steps per run", "gradient evaluations", "seconds per run"):
        table.add_column(heading, justify="right")
    for method in plan.methods:
        counts = (method.trials, method.finals, method.steps, method.gradient_evaluations)
        seconds = "?" if method.seconds is None else f"{method.seconds:.3g}"
        names = [*([method.workload] if several else []), method.name]
        table.add_row(*map(_cell, names), *(f"{number:,}" for number in counts), seconds)
    return table
