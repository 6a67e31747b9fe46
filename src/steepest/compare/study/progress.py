"""What a study shows in the terminal while it runs: bars."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from steepest._errors import one_line
from steepest.compare.analysis.choice import best_of
from steepest.compare.policy.following import Following
from steepest.compare.records.record import Job, Key, Record
from steepest.compare.results.formats import format_metric, format_value
from steepest.compare.spec import Phase, Spec, StudySpec
from steepest.page.text import count, format_duration

_NAMES = {"screen": "short", "tune": "search", "final": "final"}


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
        self._counts = {
            spec.name: _Counts(spec, [r for r in records if r.workload == spec.name]) for spec in study.comparisons
        }
        self.before = len(records)
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
        phase, of = _NAMES[job.phase], spec.most(job.phase)
        where = f"{spec.name}: " if len(self._study.comparisons) > 1 else ""
        description = f"{where}{job.method} {phase} {job.index + 1}/{of}, {_leading(job.hyperparameters)}"
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
        total = sum(c.total for c in counts)
        fresh = sum(c.spent for c in counts) - self._before
        done = fresh + sum(self._counts[key[0]].cost[key[2]] * part for key, part in [*self._fractions.items()])
        seconds = (time.monotonic() - self._started) / done * (total - self._before - done) if done > 0 else None
        elsewhere = f", {count(self._elsewhere, 'run')} on other hosts" if self._elsewhere else ""
        self._overall.update(
            self._task,
            total=total,
            completed=self._before + done,
            counts=f"{self._list_counts(counts)}{elsewhere}",
            left="" if seconds is None else f"about {format_duration(seconds)} left",
        )
        if self._last is not None:
            self._show_best(self._counts[self._last])
        return Group(self._overall, self._running, self._best)

    def _list_counts(self, counts: Sequence["_Counts"]) -> str:
        """List how many runs of each phase have ended, such as ``search 3/4, final 0/2``."""
        study = self._study.shared
        said = []
        for phase in study.phases:
            ended, most = sum(c.ended[phase] for c in counts), sum(c.most[phase] for c in counts)
            fewer = "at most " if phase == "final" and study.stopping is not None and ended < most else ""
            said.append(f"{_NAMES[phase]} {ended}/{fewer}{most}")
        return ", ".join(said)

    def _show_best(self, counts: "_Counts") -> None:
        if (best := counts.best) is not None:
            spec = counts.spec
            where = f" on {spec.name}" if len(self._study.comparisons) > 1 else ""
            self._best.plain = (
                f"  best so far{where}: {best.method} with {_leading(best.hyperparameters)}, "
                f"validation {spec.workload.metric_name} {format_metric(spec, best.validation_metric)}"
            )


class _Counts:
    """Count how far a comparison is, run by run; ``cost`` is the samples that a run may see, by its phase."""

    def __init__(self, spec: Spec, records: Sequence[Record]) -> None:
        self.spec = spec
        whole = spec.gradient_evaluations * spec.batch_size
        self.cost = {phase: whole / spec.parts(phase) for phase in spec.phases}
        self.ended = Counter(record.phase for record in records)
        self.best = best_of(spec, records)
        self._keys = {record.key for record in records}
        self._following = Following(spec, records)

    def add(self, record: Record) -> None:
        if record.key in self._keys:  # it was run again
            return
        self._keys.add(record.key)
        self.ended[record.phase] += 1
        self._following.add(record)
        if record.phase != "final":
            self.best = best_of(self.spec, [record] if self.best is None else [self.best, record])

    @property
    def most(self) -> Mapping[Phase, int]:
        """Count the runs that there have been or will be, at most."""
        return self._following.course.most

    @property
    def spent(self) -> float:
        """Count the samples of the runs that have ended."""
        return sum(self.cost[phase] * ended for phase, ended in self.ended.items())

    @property
    def total(self) -> float:
        """Count those of all runs."""
        return sum(self.cost[phase] * most for phase, most in self.most.items())


def _leading(hyperparameters: Mapping[str, Any]) -> str:
    """Name the lr of a trial, or the first value of a method that searches none."""
    name = "lr" if "lr" in hyperparameters else next(iter(hyperparameters))
    return f"{name} {format_value(hyperparameters[name])}"


def _escape(text: str) -> str:
    """Escape a text that rich is to print as it is: a user's name may hold square brackets."""
    return one_line(text).replace("[", "\\[")
