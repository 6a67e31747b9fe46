"""Runs in Weights & Biases: on the disk, for ``wandb sync``, unless ``WANDB_MODE`` says otherwise."""

import os
import shutil
from pathlib import Path
from typing import Any

from steepest._errors import require
from steepest.compare.results.trackers.told import ToldRun

PROJECT = "steepest"


class WandbStore:
    """The project ``WANDB_PROJECT``, or ``steepest``; the runs of a study are one group."""

    def __init__(self) -> None:
        self._wandb: Any = require("wandb", "wandb")
        self._settings = self._wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True
        )

    def enter(self, run: ToldRun) -> None:
        mode = os.environ.get("WANDB_MODE", "offline")
        if mode == "offline":
            _forget(run.id)
        with self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run.id,
            name=run.name,
            group=run.study,
            job_type=run.phase,
            config=run.settings,
            mode=mode,
            dir=os.environ.get("WANDB_DIR"),  # which W&B looks at once in a process
            reinit="create_new",  # whatever run the user has open stays so
            settings=self._settings,
        ) as written:
            for at, seen in run.points:
                written.log({"gradient_evaluations": at, **seen}, step=at)
            written.summary.update({**run.ends, "status": run.status})
            written.finish(exit_code=0 if run.status in ("finished", "pruned") else 1)


def _forget(run: str) -> None:
    """Remove what a killed process left of a run."""
    for folder in Path(os.environ.get("WANDB_DIR", "."), "wandb").glob(f"offline-run-*-{run}*"):
        shutil.rmtree(folder, ignore_errors=True)
