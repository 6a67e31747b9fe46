"""What a study shows in the terminal while it runs: bars."""

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from steepest._errors import one_line
from steepest.compare.analysis.choice import best_of, unbegun
from steepest.compare.records.record import Job, Key, Record
from steepest.compare.results.formats import format_metric
from steepest.compare.spec import Spec, StudySpec
from steepest.page.text import count, format_duration


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
        self._task: TaskID | None = None
        self._live = Live(get_renderable=self._draw, console=console, transient=True, refresh_per_second=8)
        self._tasks: dict[Key, TaskID] = {}
        self._fractions: dict[Key, float] = {}
        self._elsewhere = 0
        self.before = 0
        """Runs that had ended when the study began, or went on."""

    def __enter__(self) -> "ProgressDisplay":
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, study: StudySpec, records: Sequence[Record]) -> None:
        self._study = study
        self._counts = {spec.name: _Counts(spec) for spec in study.comparisons}
        self.before = len(records)
        for record in records:
            self._counts[record.workload].add(record)
        self._before = sum(counts.spent for counts in self._counts.values())
        self._started = time.monotonic()
        self._last = records[-1].workload if records else None
        names = [spec.name for spec in study.comparisons]
        title = names[0] if len(names) == 1 else count(len(names), "comparison")
        self._task = self._overall.add_task(_escape(title), total=1.0, counts="", left="")
        if self._console.is_terminal:
            self._live.start()

    def started(self, job: Job) -> None:
        spec = self._study.comparison(job.workload)
        phase, of = ("search", spec.trials) if job.phase == "tune" else ("final", len(spec.seeds))
        where = f"{spec.name}: " if len(self._study.comparisons) > 1 else ""
        description = f"{where}{job.method} {phase} {job.index + 1}/{of}, lr {job.hyperparameters['lr']:.3g}"
        self._tasks[job.key] = self._running.add_task(_escape(description), total=1.0)
        self._fractions[job.key] = 0.0

    def progressed(self, job: Job, fraction: float) -> None:
        self._fractions[job.key] = fraction
        self._running.update(self._tasks[job.key], completed=fraction)

    def died(self, job: Job) -> None:
        self._forget(job.key)

    def ended(self, record: Record) -> None:
        self._forget(record.key)
        self._counts[record.workload].add(record)
        self._last = record.workload

    def waiting(self, elsewhere: int) -> None:
        self._elsewhere = elsewhere

    def _forget(self, key: Key) -> None:
        if key in self._tasks:  # else another host's
            self._running.remove_task(self._tasks.pop(key))
            del self._fractions[key]

    def _draw(self) -> Group:
        """Make what is drawn eight times a second, however many runs end in between; from a thread of its own.

        Runs count by the samples that they may see, so that the time left is guessed across workloads.
        """
        if self._task is None:  # the study has not begun
            return Group()
        counts = [*self._counts.values()]
        searched, searches = sum(c.searched for c in counts), sum(c.searches for c in counts)
        ended, finals = sum(c.ended for c in counts), sum(c.finals for c in counts)
        total = sum(c.cost * (c.searches + c.finals) for c in counts)
        fresh = sum(c.spent for c in counts) - self._before
        done = fresh + sum(self._counts[key[0]].cost * fraction for key, fraction in [*self._fractions.items()])
        seconds = (time.monotonic() - self._started) / done * (total - self._before - done) if done > 0 else None
        elsewhere = f", {count(self._elsewhere, 'run')} on other hosts" if self._elsewhere else ""
        self._overall.update(
            self._task,
            total=total,
            completed=self._before + done,
            counts=f"search {searched}/{searches}, final {ended}/{finals}{elsewhere}",
            left="" if seconds is None else f"about {format_duration(seconds)} left",
        )
        if self._last is not None:
            self._show_best(self._counts[self._last])
        return Group(self._overall, self._running, self._best)

    def _show_best(self, counts: "_Counts") -> None:
        if (best := counts.best) is not None:
            spec = counts.spec
            where = f" on {spec.name}" if len(self._study.comparisons) > 1 else ""
            self._best.plain = (
                f"  best so far{where}: {best.method} with lr {best.hyperparameters['lr']:.3g}, "
                f"validation {spec.workload.metric_name} {format_metric(spec, best.validation_metric)}"
            )


class _Counts:
    """Count how far a comparison is, run by run."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.cost = spec.gradient_evaluations * spec.batch_size
        self.searches = spec.trials * len(spec.methods)
        self.searched = self.ended = 0
        self.best: Record | None = None
        self._search = {method.name: unbegun(spec) for method in spec.methods}
        self._keys: set[Key] = set()

    def add(self, record: Record) -> None:
        if record.key in self._keys:  # it was run again
            return
        self._keys.add(record.key)
        if record.phase == "final":
            self.ended += 1
            return
        self.searched += 1
        self._search[record.method] = self._search[record.method].after(self.spec, record)
        self.best = best_of(self.spec, [record] if self.best is None else [self.best, record])

    @property
    def spent(self) -> int:
        """Count the samples of the runs that have ended."""
        return self.cost * (self.searched + self.ended)

    @property
    def finals(self) -> int:
        """Count the final runs of all methods."""
        return sum(search.finals for search in self._search.values())


def _escape(text: str) -> str:
    """Escape a text that rich is to print as it is: a user's name may hold square brackets."""
    return one_line(text).replace("[", "\\[")
