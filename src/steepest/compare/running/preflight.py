"""Before the first run: every workload and one step of every method, so that what cannot work is known before anything
has been trained. It happens on the study's own workers, whose end harms nobody."""

import dataclasses
import math
import threading
import time
from collections.abc import Sequence
from typing import Any

from steepest._errors import InputError
from steepest.compare.records.errors import headline
from steepest.compare.records.record import Checked, Job
from steepest.compare.running.beginnings import Beginnings
from steepest.compare.running.deaths import Deaths
from steepest.compare.running.pool import Pool
from steepest.compare.spec import StudySpec

_POLL_SECONDS = 0.2
_QUICK = 1.0  # seconds; a second process takes longer than that to start


def preflight(study: StudySpec, left: Sequence[Job], pool: Pool[Any], interrupted: threading.Event) -> None:
    """Try what the runs that are ``left`` will need.

    Raises:
        InputError: some of it cannot be had; the sentence is that of the first.
    """
    waiting = _list_checks(study, left)
    order = {job.key: place for place, job in enumerate(waiting)}
    ended: list[Checked] = []
    problems: dict[int, str] = {}
    deaths = Deaths()
    submitted = -math.inf
    while (waiting or pool.running) and not interrupted.is_set():
        while pool.free and waiting and not problems and _is_next_wanted(pool, submitted):
            pool.submit(waiting.pop(0))
            submitted = time.monotonic()
        for event in pool.events(_POLL_SECONDS):
            place = order[event.job.key]
            if event.kind == "died":
                if deaths.died(event.job.key, event.reason) is None:
                    waiting.insert(0, event.job)  # somebody may have killed it
                else:
                    problems[place] = f"{_subject(event.job)} ends its process ({event.reason})"
            elif isinstance(event.record, Checked):
                ended.append(event.record)
                if event.record.status == "failed":
                    problems[place] = _problem(event.job, event.record)
        if problems and not any(order[job.key] < min(problems) for job in pool.running):
            break  # what came before it, such as the workload itself, may be why it failed
    if problems:
        raise InputError(f"{problems[min(problems)].rstrip('.')}; no run was started")
    _check_same_weights(ended)


def _is_next_wanted(pool: Pool[Any], submitted: float) -> bool:
    """Say whether it is time for the next check: quick ones follow each other on the process that is there first; slow
    ones do not wait for each other."""
    return not pool.running or time.monotonic() - submitted > _QUICK


def _list_checks(study: StudySpec, left: Sequence[Job]) -> list[Job]:
    """List a workload once, whatever the number of its batch sizes; then every method of every comparison."""
    firsts: dict[tuple[str, str], Job] = {}
    for job in left:
        firsts.setdefault((job.workload, job.method), job)
    workloads: dict[str, Job] = {}
    for job in firsts.values():
        reference = study.comparison(job.workload).workload.reference
        workloads.setdefault(reference, dataclasses.replace(job, method="", phase="check"))
    return [*workloads.values(), *(dataclasses.replace(job, phase="check") for job in firsts.values())]


def _subject(job: Job) -> str:
    return f"{job.method} on {job.workload}" if job.method else job.workload


def _problem(job: Job, record: Checked) -> str:
    said = headline(record.error or "")
    kind, colon, sentence = said.partition(": ")
    if colon and kind.startswith("steepest."):  # one of our own
        return sentence
    return f"{_subject(job)} fails{' ' + record.stage if record.stage else ''}: {said}"


def _check_same_weights(ended: Sequence[Checked]) -> None:
    """Check that within a comparison all methods begin from the same weights, in whatever process."""
    found = Beginnings()
    for record in ended:
        if record.method and (other := found.add(record.workload, record)) is not None:
            raise InputError(
                f"{other} and {record.method} begin from different weights on {record.workload} with the same seed, "
                f"which would not compare them; a method must leave the initial weights as they are, and a model "
                f"draw them from torch's global generator alone"
            )
