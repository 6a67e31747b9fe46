"""What a study shows in the terminal while it runs: bars."""

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from steepest.compare.analysis.summary import choose
from steepest.compare.report.wording import count, format_duration, format_metric
from steepest.compare.running.jobs import Job, Key, Record
from steepest.compare.spec import Spec, StudySpec


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
        self._tasks: dict[Key, TaskID] = {}
        self._fractions: dict[Key, float] = {}
        self._records: list[Record] = []
        self._elsewhere = 0

    def __enter__(self) -> "ProgressDisplay":
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, study: StudySpec, records: Sequence[Record]) -> None:
        self._study = study
        self._records = list(records)
        self._done_before = {record.key for record in records}
        self._started = time.monotonic()
        names = [spec.name for spec in study.comparisons]
        title = names[0] if len(names) == 1 else count(len(names), "comparison")
        self._task = self._overall.add_task(_plain(title), total=1.0, counts="", left="")
        if self._console.is_terminal:
            self._live.start()
        self._refresh()

    def started(self, job: Job) -> None:
        spec = self._study.comparison(job.workload)
        phase, of = ("search", spec.trials) if job.phase == "tune" else ("final", len(spec.seeds))
        where = f"{spec.name}: " if len(self._study.comparisons) > 1 else ""
        description = f"{where}{job.method} {phase} {job.index + 1}/{of}, lr {job.hyperparameters['lr']:.3g}"
        self._tasks[job.key] = self._running.add_task(_plain(description), total=1.0)
        self._fractions[job.key] = 0.0

    def progressed(self, job: Job, fraction: float) -> None:
        self._fractions[job.key] = fraction
        self._running.update(self._tasks[job.key], completed=fraction)
        self._refresh()

    def died(self, job: Job) -> None:
        self._forget(job.key)

    def ended(self, record: Record) -> None:
        self._forget(record.key)
        self._records.append(record)
        self._refresh()

    def waiting(self, elsewhere: int) -> None:
        self._elsewhere = elsewhere
        self._refresh()

    def _forget(self, key: Key) -> None:
        if key in self._tasks:  # else another host's
            self._running.remove_task(self._tasks.pop(key))
            del self._fractions[key]

    def _refresh(self) -> None:
        """Runs count by the samples that they may see, so that the time left is guessed across workloads."""
        study, records = self._study, self._records
        cost = {spec.name: spec.gradient_evaluations * spec.batch_size for spec in study.comparisons}
        searches = {spec.name: spec.trials * len(spec.methods) for spec in study.comparisons}
        finals = {spec.name: len(spec.seeds) * self._methods_left(spec) for spec in study.comparisons}
        total = sum(cost[name] * (searches[name] + finals[name]) for name in cost)
        before = sum(cost[record.workload] for record in records if record.key in self._done_before)
        fresh = sum(cost[record.workload] for record in records if record.key not in self._done_before)
        now = fresh + sum(cost[key[0]] * fraction for key, fraction in self._fractions.items())
        left = total - before - now
        seconds = (time.monotonic() - self._started) / now * left if now > 0 else None
        search = sum(record.phase == "tune" for record in records)
        elsewhere = f", {count(self._elsewhere, 'run')} on other hosts" if self._elsewhere else ""
        self._overall.update(
            self._task,
            total=total,
            completed=before + now,
            counts=f"search {search}/{sum(searches.values())}, final {len(records) - search}/{sum(finals.values())}"
            f"{elsewhere}",
            left="" if seconds is None else f"about {format_duration(seconds)} left",
        )
        if records:
            self._show_best(study.comparison(records[-1].workload))

    def _methods_left(self, spec: Spec) -> int:
        """Methods with final runs: those whose search did not end without a result."""
        searches = ([r for r in self._tuned(spec) if r.method == m.name] for m in spec.methods)
        return sum(len(s) < spec.trials or choose(spec, s) is not None for s in searches)

    def _show_best(self, spec: Spec) -> None:
        best = choose(spec, self._tuned(spec))
        if best is not None:
            where = f" on {spec.name}" if len(self._study.comparisons) > 1 else ""
            self._best.plain = (
                f"  best so far{where}: {best.method} with lr {best.hyperparameters['lr']:.3g}, "
                f"validation {spec.workload.metric_name} {format_metric(spec, best.validation_metric)}"
            )

    def _tuned(self, spec: Spec) -> list[Record]:
        return [r for r in self._records if r.workload == spec.name and r.phase == "tune"]


def _plain(text: str) -> str:
    """Text that rich prints as it is: a user's name may hold square brackets."""
    return text.replace("[", "\\[")
