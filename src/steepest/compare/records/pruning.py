"""What a pruner was asked and said: decided in memory, and written to ``pruning.jsonl`` before the run hears of it."""

import json
import sqlite3
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steepest._files import keep_copy, reason_of, say_once, write_atomically
from steepest.compare.records.record import Job, Key, Record, may_be_pruned
from steepest.compare.records.storage import EMBEDDED
from steepest.compare.records.study_file import Asked, stored_asked
from steepest.compare.spec import Spec, StudySpec

if TYPE_CHECKING:
    from steepest.compare.records.optuna_tools import Search

PRUNING = "pruning.jsonl"


class Pruning:
    """The pruners of a study's searches. What was decided before a run was interrupted holds when it comes there again.

    Args:
        folder: the study's folder.
        spec: what is studied.
    """

    def __init__(self, folder: Path, spec: StudySpec) -> None:
        self._path = folder / PRUNING
        self._spec = spec
        self._searches: dict[tuple[str, str], Search] = {}
        self.asked: dict[Key, Asked] = {}
        if any(comparison.pruner for comparison in spec.comparisons):
            self.asked = _read(self._path, folder / EMBEDDED)
            if self.asked and not self._path.exists():  # it was found in Optuna's file
                for key, asked in self.asked.items():
                    for step, metric in asked.values.items():
                        stop = step == asked.stopped_at
                        self._note(key, step=step, metric=metric, stop=stop, attributes=asked.attributes)

    def is_hopeless(self, job: Job, step: int, metric: float, ended: Iterable[Record]) -> bool:
        """Whether a run of the search is stopped, whose validation number ``step`` found this metric.

        Args:
            ended: the runs of this search that have ended.
        """
        asked = self.asked.setdefault(job.key, Asked())
        if step in asked.values:
            return asked.stopped_at == step
        search = self._searches.get((job.workload, job.method)) or self._begin(job, ended)
        stop, asked.attributes = search.is_hopeless(job.index, step, metric)
        asked.values[step] = metric
        if stop:
            asked.stopped_at = step
        self._note(job.key, step=step, metric=metric, stop=stop, attributes=asked.attributes)
        return stop

    def ended(self, record: Record) -> None:
        """A run has ended: from now on it counts among those that others are compared with."""
        if may_be_pruned(self._spec, record.key) and (search := self._searches.get((record.workload, record.method))):
            search.end(record.trial, record.status)

    def forget(self, key: Key) -> None:
        """A run that had ended begins anew."""
        if self.asked.pop(key, None) is not None:
            self._searches.pop(key[:2], None)
            self._note(key, anew=True)

    def _begin(self, job: Job, ended: Iterable[Record]) -> "Search":
        from steepest.compare.records.optuna_tools import Search

        spec = self._spec.comparison(job.workload)
        search = self._searches[job.workload, job.method] = Search(str(spec.pruner), spec.workload.higher_is_better)
        done = {record.trial: record for record in ended}
        for i in range(spec.trials):
            key: Key = (job.workload, job.method, "tune", i)
            asked = self.asked.get(key)
            if asked is None:
                asked = Asked(_values_in(spec, done[i]) if i in done else {})
            search.enter(i, asked.values, asked.attributes)
            if i in done:
                search.end(i, done[i].status)
        return search

    def _note(self, key: Key, **said: Any) -> None:
        workload, method, _, trial = key
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"workload": workload, "method": method, "trial": trial, **said}) + "\n")


def forget_methods(folder: Path, names: Collection[str]) -> None:
    """Forget what was decided of the runs of methods that are not what they were."""
    path = folder / PRUNING
    if path.exists():
        lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if not _is_of(line, names)]
        write_atomically(path, "".join(lines))


def _is_of(line: str, names: Collection[str]) -> bool:
    try:
        return json.loads(line)["method"] in names
    except (ValueError, KeyError, TypeError):
        return False


def _values_in(spec: Spec, record: Record) -> dict[int, float]:
    """Find what a run told the pruner, as its curve has it: all but the last point of a run that came to its end."""
    curve = record.curve or {}
    points = zip(curve.get("gradient_evaluations", []), curve.get("validation_metric", []), strict=False)
    numbered = [(int(at), i, x) for i, (at, x) in enumerate(points, 1) if at is not None]
    whole = spec.spent(spec.method(record.method))
    steps = [(spec.pruning_step(record.method, at, i), x) for at, i, x in numbered if at < whole]
    return {step: float("nan") if x is None else x for step, x in steps}


def _read(path: Path, stored: Path) -> dict[Key, Asked]:
    """Read from the file, or, where it is lost, from Optuna's."""
    if not path.exists():
        return _stored(stored)
    found: dict[Key, Asked] = {}
    try:
        *whole, cut = path.read_bytes().split(b"\n")
        for line in whole:
            raw = json.loads(line)
            key: Key = (raw["workload"], raw["method"], "tune", raw["trial"])
            if raw.get("anew"):
                found.pop(key, None)
                continue
            asked = found.setdefault(key, Asked())
            asked.values[raw["step"]] = raw["metric"]
            asked.attributes = raw["attributes"]
            asked.stopped_at = raw["step"] if raw["stop"] else None
    except (ValueError, KeyError, TypeError, OSError) as error:
        aside = keep_copy(path)
        path.unlink(missing_ok=True)
        say_once(
            f"{path} was damaged ({reason_of(error)}); it is kept as {aside.name}, and {stored.name} says what "
            f"the pruner decided"
        )
        return _stored(stored)
    if cut:  # of a line that was being written when its writer was killed: its answer was never given
        with open(path, "r+b") as file:
            file.truncate(sum(len(line) + 1 for line in whole))
    return found


def _stored(path: Path) -> dict[Key, Asked]:
    try:
        return stored_asked(path)
    except (sqlite3.Error, ValueError):
        return {}
