"""What a study shows in the terminal when it is done, or planned: tables."""

from rich.table import Table
from rich.text import Text

from steepest.compare.analysis.summary import Summary
from steepest.compare.plan import Plan
from steepest.compare.report.wording import (
    format_difference,
    format_difference_interval,
    format_evaluations_to_target,
    format_lr,
    format_metric,
    format_metric_interval,
    format_sharpness,
    format_target,
    format_verdict,
)


def result_table(summary: Summary) -> Table:
    """The final table, for the terminal."""
    spec = summary.spec
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (
        ("method", "left"),
        (f"test {spec.workload.metric_name}", "right"),
        ("95 % interval", "right"),
        (f"minus {spec.baseline}", "right"),
        ("95 % interval", "right"),
        (f"to {format_target(spec, spec.workload.target)}", "right"),
        ("lr", "right"),
        *([("sharpness", "right")] if spec.sharpness_samples else []),
        ("verdict", "left"),
    ):
        whole = heading == "method"  # the name of a combination is no word to break
        table.add_column(Text(heading), justify=justify, overflow="fold", no_wrap=whole)  # type: ignore[arg-type]
    for row in summary.rows:
        comparison = row.comparison
        cells = (
            row.method.name,
            format_metric(spec, row.mean),
            format_metric_interval(spec, row.interval),
            format_difference(spec, comparison.difference),
            format_difference_interval(spec, comparison.interval),
            format_evaluations_to_target(row),
            format_lr(row),
            *([format_sharpness(row)] if spec.sharpness_samples else []),
            format_verdict(comparison),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def plan_table(plan: Plan) -> Table:
    """What a study would cost, method by method."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    several = len({method.workload for method in plan.methods}) > 1
    for heading in [*(["workload"] if several else []), "method"]:
        table.add_column(heading, no_wrap=True)
    for heading in ("trials", "final runs", "steps per run", "gradient evaluations", "seconds per run"):
        table.add_column(heading, justify="right")
    for method in plan.methods:
        counts = (method.trials, method.finals, method.steps, method.gradient_evaluations)
        seconds = "?" if method.seconds is None else f"{method.seconds:.3g}"
        names = [*([method.workload] if several else []), method.name]
        table.add_row(*map(Text, names), *(f"{number:,}" for number in counts), seconds)
    return table
