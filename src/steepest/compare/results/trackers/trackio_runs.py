"""Runs in Trackio: in its folder ``TRACKIO_DIR``, or where its own variables say."""

import contextlib
import contextvars
import io
from typing import Any

from steepest._errors import require
from steepest.compare.results.trackers.told import ToldRun, plain_name

_ID = "steepest_run"


class TrackioStore:
    """A project of the study's name, with a group for each phase."""

    def __init__(self) -> None:
        self._trackio: Any = require("trackio", "trackio")

    def enter(self, run: ToldRun) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it greets, and the result stands there
            contextvars.Context().run(self._enter, run)  # in which the user has no run open that would be ended

    def _enter(self, run: ToldRun) -> None:
        project = plain_name(run.study, r"\w-")
        self._forget(project, run.id)
        written = self._trackio.init(
            project=project,
            name=run.name,
            group=run.phase,
            config={_ID: run.id, **run.settings},
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        for at, seen in run.points:
            written.log(seen, step=at)
        written.log({f"final/{name}": x for name, x in run.ends.items()}, step=run.last)
        written.finish()

    def _forget(self, project: str, run: str) -> None:
        """Remove what a killed process left of a run."""
        try:
            there = list(self._trackio.Api().runs(project))
        except ValueError:  # there is no such project yet
            return
        for each in there:
            if (each.config or {}).get(_ID) == run:
                each.delete()
