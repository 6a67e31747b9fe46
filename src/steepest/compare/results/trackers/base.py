"""A study's runs in a tracker: each once, whatever interrupts the study, and never at the study's cost."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from steepest._files import say_once
from steepest.compare.records.record import Record
from steepest.compare.results.trackers.told import ToldRun, told_of
from steepest.compare.spec import StudySpec

TOLD = "tracked.jsonl"


class Store(Protocol):
    """Where a tracker keeps runs."""

    def enter(self, run: ToldRun) -> None:
        """Enter a run that has ended, in the place of what an earlier attempt left of it."""


class OfStudy(Protocol):
    """What a tracker asks of a :class:`~steepest.compare.Study`."""

    @property
    def spec(self) -> StudySpec: ...

    @property
    def folder(self) -> Path: ...

    def records(self) -> list[Record]: ...


class Tracker:
    """Callbacks that enter every run of a study into a store, once: ``tracked.jsonl`` in the study's folder remembers
    which are there. What fails is one sentence, and is tried again when the study ends or is resumed.

    Args:
        name: of the tracker.
        open_store: called when the first run is to be entered.
    """

    def __init__(self, name: str, open_store: Callable[[], Store]) -> None:
        self._name, self._open = name, open_store
        self._store: Store | None = None
        self._known: set[str] | None = None

    def on_run_end(self, record: Record, study: OfStudy) -> None:
        """Enter the run."""
        self._enter([record], study)

    def on_study_end(self, study: OfStudy) -> None:
        """Enter what is not there yet: runs of an earlier call, and those that could not be entered."""
        self._enter(study.records(), study)

    def _enter(self, records: Iterable[Record], study: OfStudy) -> None:
        path, name = study.folder / TOLD, study.folder.resolve().name
        if self._known is None:
            self._known = _read(path, self._name)
        for record in records:
            run = told_of(study.spec, name, record)
            if run.id in self._known:
                continue
            try:
                self._store = self._store or self._open()
                self._store.enter(run)
            except Exception as error:  # whatever a tracker raises: no network, no disk, another version
                said = str(error).strip().partition("\n")[0]
                say_once(
                    f"{self._name} could not be told of a run ({type(error).__name__}{f': {said}' if said else ''}); "
                    "the study goes on, and the same command tells it of what is missing"
                )
                return
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"tracker": self._name, "run": run.id}) + "\n")
            self._known.add(run.id)


def _read(path: Path, name: str) -> set[str]:
    """Read which runs a tracker has; a line that is damaged is of none."""
    found: set[str] = set()
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            entry = json.loads(line)
            if entry["tracker"] == name:
                found.add(str(entry["run"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found
