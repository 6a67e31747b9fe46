"""What a study shows in the terminal: bars while it runs, a table when it is done."""

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from steepest.compare.analysis.comparison import name_of
from steepest.compare.analysis.profiles import Across
from steepest.compare.analysis.summary import Row, Summary, choose
from steepest.compare.plan import Plan
from steepest.compare.report.wording import (
    format_difference,
    format_difference_interval,
    format_duration,
    format_evaluations_to_target,
    format_lr,
    format_metric,
    format_metric_interval,
    format_ratio,
    format_sharpness,
    format_target,
    format_verdict,
)
from steepest.compare.running.jobs import Job, Record
from steepest.compare.spec import Spec


class ProgressDisplay:
    """A study's listener that draws what runs, how much is left and what is best so far; silent off a terminal.

    Use as a context manager around the run.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._overall = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[counts]}"),
            TextColumn("{task.fields[left]}", style="dim"),
            console=console,
        )
        self._running = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %"),
            console=console,
        )
        self._best = Text(style="dim")
        self._live = Live(
            Group(self._overall, self._running, self._best), console=console, transient=True, refresh_per_second=8
        )
        self._tasks: dict[object, TaskID] = {}
        self._fractions: dict[object, float] = {}
        self._records: list[Record] = []
        self._fresh = 0

    def __enter__(self) -> "ProgressDisplay":
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, spec: Spec, records: Sequence[Record]) -> None:
        self._spec = spec
        self._records = list(records)
        self._count_lost()
        self._started = time.monotonic()
        self._task = self._overall.add_task(name_of(spec), total=1.0, counts="", left="")
        if self._console.is_terminal:
            self._live.start()
        self._refresh()

    def started(self, job: Job) -> None:
        phase, of = ("search", self._spec.trials) if job.phase == "tune" else ("final", len(self._spec.seeds))
        description = f"{job.method} {phase} {job.index + 1}/{of}, lr {job.hyperparameters['lr']:.3g}"
        self._tasks[job.key] = self._running.add_task(_plain(description), total=1.0)
        self._fractions[job.key] = 0.0

    def progressed(self, job: Job, fraction: float) -> None:
        self._fractions[job.key] = fraction
        self._running.update(self._tasks[job.key], completed=fraction)
        self._refresh()

    def ended(self, record: Record) -> None:
        self._running.remove_task(self._tasks.pop(record.key))
        del self._fractions[record.key]
        self._records.append(record)
        self._fresh += 1
        self._count_lost()
        self._refresh()

    def _count_lost(self) -> None:
        """Methods whose search ended without a result have no final runs."""
        searches = ([r for r in self._records if r.method == m.name and r.phase == "tune"] for m in self._spec.methods)
        self._lost = sum(len(s) == self._spec.trials and choose(self._spec, s) is None for s in searches)

    def _refresh(self) -> None:
        spec, records = self._spec, self._records
        search = sum(r.phase == "tune" for r in records)
        searches, finals = spec.trials * len(spec.methods), len(spec.seeds) * (len(spec.methods) - self._lost)
        now = self._fresh + sum(self._fractions.values())
        left = searches + finals - (len(records) - self._fresh) - now
        seconds = (time.monotonic() - self._started) / now * left if now > 0 else None
        self._overall.update(
            self._task,
            total=searches + finals,
            completed=searches + finals - left,
            counts=f"search {search}/{searches}, final {len(records) - search}/{finals}",
            left="" if seconds is None else f"about {format_duration(seconds)} left",
        )
        best = choose(spec, [r for r in records if r.phase == "tune"])
        if best is not None:
            self._best.plain = (
                f"  best so far: {best.method} with lr {best.hyperparameters['lr']:.3g}, "
                f"validation {spec.workload.metric_name} {format_metric(spec, best.validation_metric)}"
            )


def result_table(summaries: Sequence[Summary]) -> Table:
    """The final table, for the terminal; with several comparisons, each stands under its name."""
    spec = summaries[0].spec
    several = len(summaries) > 1
    table = Table(box=None, pad_edge=False, header_style="bold")
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
        table.add_column(Text(heading), justify=justify, overflow="fold", no_wrap=whole)  # type: ignore[arg-type]
    for summary in summaries:
        if several:
            table.add_row(Text(name_of(summary.spec), style="bold"))
        for row in summary.rows:
            table.add_row(*map(Text, _cells(summary.spec, row)))
    return table


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
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("method", no_wrap=True)
    headings = ("score", f"evaluations over {baseline}'s", "over the fewest", "targets reached")
    for heading in headings:
        table.add_column(Text(heading), justify="right")
    for row in found:
        reached = f"{row.reached} of {len(row.costs)}"
        cells = (row.method, f"{row.score:.3f}", format_ratio(row.geometric_mean), format_ratio(row.median), reached)
        table.add_row(*map(Text, cells))
    return table


def plan_table(plan: Plan) -> Table:
    """What a study would cost, method by method."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("method", no_wrap=True)
    for heading in ("trials", "final runs", "steps per run", "gradient evaluations", "seconds per run"):
        table.add_column(heading, justify="right")
    for method in plan.methods:
        counts = (method.trials, method.finals, method.steps, method.gradient_evaluations)
        seconds = "?" if method.seconds is None else f"{method.seconds:.3g}"
        table.add_row(Text(method.name), *(f"{number:,}" for number in counts), seconds)
    return table


def _plain(text: str) -> str:
    """Text that rich prints as it is: a user's name may hold square brackets."""
    return text.replace("[", "\\[")
