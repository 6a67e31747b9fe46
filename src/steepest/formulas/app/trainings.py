"""Trainings, each in a folder and a process of its own, which outlives this one; one at a time.

Where a training stands is read from its folder and from a lock that its process holds, so that whatever was killed, the
state is found again.
"""

import json
import os
import shutil
import signal
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from steepest._errors import InputError
from steepest._files import write_atomically
from steepest.formulas.app.answers import RefusedError
from steepest.formulas.app.models import Models
from steepest.formulas.app.places import BEFORE, ENDED, REQUEST, RUN, SYMBOLS, TRAININGS
from steepest.formulas.app.process import find_running, hold_lock, launch
from steepest.formulas.sets import SymbolSet
from steepest.formulas.sets.npz import write_npz

RESULT, PROGRESS, MODEL = "result.json", "progress.jsonl", "model.safetensors"
_PATIENCE = 10.0  # seconds until a process that was asked to end is killed


class Trainings:
    """The trainings of a data folder."""

    def __init__(self, folder: Path, models: Models) -> None:
        self.folder, self.models = folder / TRAININGS, models

    def start(self, symbols: SymbolSet, request: dict[str, Any]) -> str:
        """Begin a training; its name.

        Args:
            request: ``name``, ``settings`` of :class:`~steepest.formulas.recognition.Settings`, ``sets`` by name, and
                what else is to be remembered.

        Raises:
            RefusedError: one is running.
        """
        with hold_lock(self.folder) as lock:
            name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
            making, folder = self.folder / f".{name}.tmp", self.folder / name
            making.mkdir()
            (making / SYMBOLS).write_bytes(write_npz(symbols))
            used = self.models.in_use()
            with suppress(RefusedError, OSError):  # there need not be a model yet
                shutil.copyfile(self.models.path(used), making / BEFORE)
            write_atomically(making / REQUEST, json.dumps({**request, "before": used, "started": time.time()}))
            os.rename(making, folder)
            launch(folder, lock)
        return name

    def resume(self, name: str) -> None:
        """Go on with a training that was cancelled, or ended without a result.

        Raises:
            RefusedError: there is no such training, it has a result, or one is running.
        """
        folder = self._find(name)
        with hold_lock(self.folder) as lock:
            if (folder / RUN / RESULT).exists():
                raise RefusedError(409, "this training has ended, and has a model")
            (folder / ENDED).unlink(missing_ok=True)
            launch(folder, lock)

    def cancel(self, name: str) -> None:
        """End a training's process; what it has done is kept.

        Raises:
            RefusedError: there is no such training, or it is not running.
        """
        self._find(name)
        running, process = find_running(self.folder)
        if running != name or not process:
            raise RefusedError(409, "this training is not running")
        os.kill(process, signal.SIGTERM)
        late = time.monotonic() + _PATIENCE
        while find_running(self.folder) == (name, process):
            if time.monotonic() > late:
                os.kill(process, signal.SIGKILL)
            time.sleep(0.05)
        if not (self.folder / name / ENDED).exists():
            write_atomically(self.folder / name / ENDED, json.dumps({"state": "cancelled"}))

    def remove(self, name: str) -> None:
        """A training's folder; its model stays.

        Raises:
            RefusedError: there is no such training, or it is running.
        """
        folder = self._find(name)
        if find_running(self.folder)[0] == name:
            raise RefusedError(409, "the training is running; cancel it first")
        aside = self.folder / f".{name}.tmp"
        os.rename(folder, aside)
        shutil.rmtree(aside, ignore_errors=True)

    def list(self) -> list[dict[str, Any]]:
        """All trainings, the latest first, without their curves; models that they made are kept by now."""
        self.collect()
        running, _ = find_running(self.folder)
        names = sorted((path.name for path in self.folder.iterdir() if _is_training(path)), reverse=True)
        made = self.models.trained(names)
        return [self._show(name, running, made) for name in names]

    def show(self, name: str, after: int = 0) -> dict[str, Any]:
        """One training, with the epochs of its curve from the one after ``after``.

        Raises:
            RefusedError: there is no such training.
        """
        folder = self._find(name)
        running, _ = find_running(self.folder)
        if running != name:
            self.collect()
        lines = _read_lines(folder / RUN / PROGRESS)
        shown = self._show(name, running, self.models.trained([name]))
        return {**shown, "result": _read(folder / RUN / RESULT), "curve": [at for at in lines if at["epoch"] > after]}

    def symbols_path(self, name: str) -> Path:
        """The file with what a training trains on.

        Raises:
            RefusedError: there is no such training.
        """
        return self._find(name) / SYMBOLS

    def collect(self) -> None:
        """Keep the models of trainings that have ended; at whatever moment something was killed, it is done later."""
        names = [path.name for path in self.folder.iterdir() if _is_training(path) and (path / ENDED).exists()]
        made = self.models.trained(names)
        for name in names:
            folder = self.folder / name
            result = _read(folder / RUN / RESULT)
            ended = _read(folder / ENDED) or {}
            if name in made or result is None or ended.get("state") != "finished" or ended.get("kept"):
                continue
            request = _read(folder / REQUEST) or {}
            facts: dict[str, Any] = {
                key: result[key] for key in ("accuracy", "balanced_accuracy", "seconds") if key in result
            }
            facts |= {"sets": request.get("sets"), "settings": request.get("settings"), "before": ended.get("before")}
            try:
                self.models.add((folder / RUN / MODEL).read_bytes(), request.get("name", name), facts, training=name)
                ended["kept"] = True
            except (InputError, FileNotFoundError) as error:
                ended = {"state": "failed", "error": str(error)}
            write_atomically(folder / ENDED, json.dumps(ended))

    def sweep(self) -> None:
        """Remove what was being made, or removed, when something was killed an hour ago or before."""
        for path in self.folder.glob(".*.tmp"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > 3600:
                    shutil.rmtree(path, ignore_errors=True)

    def _show(self, name: str, running: str | None, made: dict[str, int]) -> dict[str, Any]:
        folder = self.folder / name
        request, ended = _read(folder / REQUEST) or {}, _read(folder / ENDED) or {}
        state = "running" if running == name else ended.get("state", "interrupted")
        told = {key: request.get(key) for key in ("name", "settings", "sets", "symbols", "started", "epochs")}
        more = {"state": state, "error": ended.get("error"), "before": ended.get("before"), "model": made.get(name)}
        return {"training": name, **told, **more, "done": len(_read_lines(folder / RUN / PROGRESS))}

    def _find(self, name: str) -> Path:
        folder = self.folder / name
        if not name.replace("-", "").isalnum() or not _is_training(folder):
            raise RefusedError(404, "there is no such training")
        return folder


def _is_training(path: Path) -> bool:
    return not path.name.startswith(".") and (path / REQUEST).is_file()


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text("utf-8"), parse_constant=_no_number)
        return found if isinstance(found, dict) else None
    return None


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with suppress(OSError, ValueError):
        return [json.loads(line, parse_constant=_no_number) for line in path.read_text("utf-8").splitlines()]
    return []


def _no_number(name: str) -> None:
    """Read NaN and Infinity, which JSON has not, as null."""
