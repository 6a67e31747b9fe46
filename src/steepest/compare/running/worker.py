"""The other end of a pool: what does the jobs, in a process, in a Ray actor or on the ranks of a torchrun."""

import dataclasses
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle

from steepest.compare.records.record import Job, may_be_pruned, record_of
from steepest.compare.running.setting import Setting, outcome_fields

if TYPE_CHECKING:
    from torch import nn

    from steepest.compare.spec import MethodSpec, Part, Spec, WorkloadSpec
    from steepest.data import Splits
    from steepest.training.code.lookup import Given
    from steepest.training.definitions.assignment import Assignment
    from steepest.training.definitions.instrument import Instrument
    from steepest.training.definitions.method import Method
    from steepest.training.definitions.outcome import Progress
    from steepest.training.definitions.ranks import Ranks
    from steepest.training.definitions.workload import Workload
    from steepest.training.loop.checkpoint import Checkpoint


class _NobodyListensError(Exception):
    """Report that the other end of the pipe is closed. An error of its own: the user's code may raise a broken pipe as
    well."""


class Pipe(NamedTuple):
    """A worker's end: jobs and answers come in, progress and records go out."""

    receive: Callable[[], Any]
    send: Callable[[Any], None]


def serve(pipe: Pipe, setting: Setting, ranks: "Ranks | None" = None) -> None:
    """The life of a worker, or of a rank of one: a job after the other, until the other end is closed."""
    run = None
    while True:
        try:
            job = pipe.receive()
        except (EOFError, OSError):
            return
        started = time.time()
        try:
            run = run or _Runner(setting, ranks)
            fields = run(job, pipe)
        except _NobodyListensError:
            return
        except BaseException:  # a KeyboardInterrupt too: it can only be of the user's code, the signal is the parent's
            fields = {"status": "failed", "error": traceback.format_exc()}
        try:
            _say(pipe, record_of(job, started, fields))
        except _NobodyListensError:
            return


def _assign(spec: "Spec", workload: "Workload", method: "Method", splits: "Splits", job: Job) -> "Assignment":
    """Turn a job into what a run needs to know, but for what it is done with."""
    from steepest.training.definitions.assignment import Assignment
    from steepest.training.definitions.recipe import Recipe
    from steepest.training.definitions.schedule import SCHEDULES

    frozen = spec.method(job.method)
    return Assignment(
        dataclasses.replace(workload, target=spec.targets[0]),
        method,
        splits,
        job.hyperparameters,
        seed=job.seed,
        epochs=spec.epochs,
        batch_size=spec.batch_size_of(frozen),
        schedule=SCHEDULES[spec.schedule],
        recipe=Recipe(**spec.recipe),
        parts=spec.parts(job.phase),
        budgets=None if spec.budget == "evaluations" else tuple(spec.budgets(frozen)),
    )


def _say(pipe: Pipe, message: object) -> None:
    try:
        pipe.send(message)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise _NobodyListensError from error


class _Runner:
    """Hold workloads, methods and data of a study, each made once per process, when it is first needed."""

    def __init__(self, setting: Setting, ranks: "Ranks | None" = None) -> None:
        import torch

        from steepest.training.definitions.ranks import ALONE
        from steepest.training.process.state import ProcessState

        torch.set_num_threads(setting.study.shared.threads)
        self._state = ProcessState(random_numbers=False)
        self._setting = setting
        self._study = setting.study
        self._ranks = ranks or ALONE
        self._device = self._ranks.device or torch.device(setting.study.shared.device)
        self._given: Given = cloudpickle.loads(setting.given) if setting.given else {}
        self._workloads: dict[str, Workload] = {}
        self._splits: dict[str, Splits] = {}
        self._checked: set[str] = set()
        self._imported_before = frozenset(sys.modules)
        self._modules = 0
        self._import_all()
        self._state.restore()
        self._environment = dict(os.environ)
        self._machine = {
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name(self._device)
            if self._device.type == "cuda"
            else platform.processor() or platform.machine(),
        }

    def __call__(self, job: Job, pipe: Pipe) -> dict[str, Any]:
        from steepest.training.train import train

        self._begin_anew()
        if job.phase == "check":
            return {**self._check(job), **self._machine}

        def progress(seen: "Progress") -> bool:
            _say(pipe, seen)
            return may_be_pruned(self._study, job.key) and bool(pipe.receive())

        spec = self._study.comparison(job.workload)
        workload, splits = self._workload(spec.workload)
        method = self._method(spec.method(job.method))
        self._begin_anew()
        outcome = train(
            _assign(spec, workload, method, splits, job),
            with_test=job.phase == "final",
            instruments=self._instruments(spec, job),
            checkpoint=self._checkpoint(job),
            progress=progress,
            ranks=self._ranks,
            trained=self._keeper(spec, job),
        )
        self._refuse_unknown_code()
        return {**outcome_fields(outcome), **self._machine}

    def _check(self, job: Job) -> dict[str, Any]:
        """Make a part of the preflight: whatever goes wrong in it is its result."""
        from steepest.training.checks import check_method, check_workload

        spec = self._study.comparison(job.workload)
        stages = ["when its data is loaded"]
        try:
            workload, splits = self._workload(spec.workload)
            self._begin_anew()
            if not job.method:
                check_workload(workload, splits, job.seed, stages.append)
                self._refuse_unknown_code()
                return {"status": "finished"}
            stages.append("when it is looked up")
            method = self._method(spec.method(job.method))
            self._begin_anew()
            weights = check_method(_assign(spec, workload, method, splits, job), self._ranks, stages.append)
            self._refuse_unknown_code()
            return {"status": "finished", "weights": weights}
        except BaseException:
            return {"status": "failed", "error": traceback.format_exc(), "stage": stages[-1]}

    def _import_all(self) -> None:
        """Import the user's code behind every method and workload of the study, always in the same order: what a file
        finds when it is imported does not depend on which run comes first. One that cannot be had is told by its own
        runs."""
        from steepest.training.code.lookup import the_instrument

        for spec in self._study.comparisons:
            with suppress(Exception):
                self._workload_named(spec.workload.reference)
            for method in spec.methods:
                with suppress(Exception):
                    self._method_named(method.reference)
        for instrument in self._study.shared.instruments:
            with suppress(Exception):
                the_instrument(instrument.reference, self._given)

    def _begin_anew(self) -> None:
        """Put the process back as it was before its first run, whatever has happened in it since."""
        self._state.restore()
        if dict(os.environ) != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)

    def _checkpoint(self, job: Job) -> "Checkpoint | None":
        from steepest.training.loop.checkpoint import Checkpoint, checkpoint_path

        if self._setting.folder is None:
            return None
        path = checkpoint_path(self._setting.folder, *job.key, rank=self._ranks.rank)
        return Checkpoint(path, self._setting.checkpoint_seconds)

    def _keeper(self, spec: "Spec", job: Job) -> "Callable[[nn.Module], object] | None":
        """Make what keeps the weights of a final run, if they are to be kept."""
        from steepest.compare.records.weights import keep_weights

        folder = self._setting.folder
        if folder is None or not self._setting.save_weights or job.phase != "final":
            return None
        return lambda model: keep_weights(
            folder, self._study, spec, job, model.state_dict(), first=not self._ranks.rank
        )

    def _method(self, frozen: "MethodSpec") -> "Method":
        found = self._method_named(frozen.reference)
        self._refuse_changed_code(frozen)
        return found

    def _method_named(self, reference: str) -> "Method":
        from steepest.training.code.lookup import the_method

        return the_method(reference, self._given)

    def _instruments(self, spec: "Spec", job: Job) -> "list[Instrument]":
        from steepest.training.code.lookup import the_instrument

        asked = [f for f in spec.instruments if job.phase == "final" or (f.in_search and job.phase == "tune")]
        for frozen in asked:
            self._refuse_changed_code(frozen)
        return [the_instrument(frozen.reference, self._given) for frozen in asked]

    def _workload_named(self, reference: str) -> "Workload":
        from steepest.training.code.lookup import the_workload

        if reference not in self._workloads:
            self._workloads[reference] = the_workload(reference, self._given)
        return self._workloads[reference]

    def _workload(self, frozen: "WorkloadSpec") -> "tuple[Workload, Splits]":
        from steepest.compare.identity.checks import check_data
        from steepest.training.code.lookup import load_data

        reference = frozen.reference
        workload = self._workload_named(reference)
        if reference not in self._splits:
            self._refuse_changed_code(frozen)

            def load() -> "Splits":
                return load_data(workload, self._setting.data_dir)

            splits = load()
            self._check_together(lambda: check_data(frozen, splits, again=load))
            self._splits[reference] = self._copy(splits)
        return workload, self._splits[reference]

    def _copy(self, splits: "Splits") -> "Splits":
        """Copy the data, so that nobody else has these tensors: what the user's code changes in place of its own
        changes no later run."""
        return splits.each(lambda split: split.copied_to(self._device))

    def _refuse_changed_code(self, frozen: "Part") -> None:
        from steepest.compare.identity.checks import check_unchanged

        if frozen.reference not in self._checked:
            self._check_together(lambda: check_unchanged(frozen))
            self._checked.add(frozen.reference)

    def _refuse_unknown_code(self) -> None:
        """Refuse what a run imports for the first time: it is known to nobody but itself."""
        from steepest.compare.identity.checks import check_all_known

        if self._ranks.size > 1 or len(sys.modules) != self._modules:  # ranks ask each other alike
            self._check_together(lambda: check_all_known(self._study, self._imported_before))
            self._modules = len(sys.modules)

    def _check_together(self, check: Callable[[], None]) -> None:
        """Check on all ranks: if one must refuse, all do, so that none waits in a step for one that will not come."""
        from steepest._errors import ChangedError

        sentence = None
        try:
            check()
        except ChangedError as error:
            sentence = str(error)
        if said := [found for found in self._ranks.gathered(sentence) if found]:
            raise ChangedError(said[0])
