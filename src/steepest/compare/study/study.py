"""A study from Python: the same as the command, for scripts and notebooks."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from steepest._errors import InputError, Spelling, StudyError, argument, check_extra, spelled_by
from steepest._machine import device_named, usable_cores
from steepest.compare.analysis.summary import Summary, summarize_study
from steepest.compare.names import DEFAULT_METHODS, ENGINES, SAMPLERS
from steepest.compare.policy.finished import finished_records
from steepest.compare.records.folder import as_begun
from steepest.compare.records.record import Record
from steepest.compare.records.storage import Storage
from steepest.compare.results.exports import final_table, run_table
from steepest.compare.results.latex import export_latex
from steepest.compare.results.trackers import check_tracker, make_tracker
from steepest.compare.running import ray_cluster, study_run, torchrun
from steepest.compare.running.driver import Listener
from steepest.compare.running.setting import CHECKPOINT_SECONDS
from steepest.compare.running.spares import Spares
from steepest.compare.spec import FILE as SPEC_FILE
from steepest.compare.spec import StudySpec
from steepest.compare.spec.paying import Unit
from steepest.compare.study import options
from steepest.compare.study import values as checks
from steepest.compare.study.callbacks import Callbacks, RunEnd, StudyEnd, ToldListener
from steepest.compare.study.freeze import freeze_study
from steepest.compare.study.plan import Plan, make_plan
from steepest.compare.study.progress import ProgressDisplay
from steepest.compare.study.request import Request
from steepest.compare.study.result import without_result, write
from steepest.compare.study.sources import sources_of_study
from steepest.page.table import Table
from steepest.training.code.lookup import Given, pickled, reference_of
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Domain
from steepest.training.definitions.recipe import Precision
from steepest.training.definitions.workload import Workload
from steepest.training.process.group import number_of_ranks, own_rank

if TYPE_CHECKING:
    import pandas as pd

    from steepest.compare.report.drawn import DrawnFigure


Ranges = Mapping[str, Mapping[str, Domain | Sequence[float] | Mapping[str, Any]]]
Values = Mapping[str, Mapping[str, Any]]
_SPARES = 4
# Options on which no result depends.
WHERE = (
    "out",
    "data_dir",
    "jobs",
    "checkpoint_seconds",
    "retry_failed",
    "engine",
    "storage",
    "study",
    "log",
    "save_weights",
)


class Study:
    """Tune every method on the same budget, re-run each one's best point on fresh seeds, and compare.

    All arguments but the first are keywords, and are the flags of ``steepest compare`` and the keys of a study's file.
    Where a value may differ by workload, a mapping from a workload's name to its value does as well.

    Args:
        workloads: built-in names, ``path/to/file.py:name``, ``package.module:name``, or :class:`Workload` objects.
        methods: likewise, with gradient estimators in front (``"ssgd+sngm"``), or :class:`Method` objects.
        baseline: the name of the method that the others are compared with; ``None`` for ``sgd``, or else the first, or
            as the study in the folder began. No run depends on it: the same study with another one runs nothing again.
        winner: say which methods may be the best of all, and not only what each is to the baseline. Nor on this.
        pairs: compare every two methods as well. Nor on this.
        trials: points of the search, the same number for every method.
        seeds: final runs of every method's best point.
        tuning_seeds: seeds that the finalists of a search run on, before one is chosen: the best quarter of its points,
            four at least. The others run on the first alone.
        replication: the same study once more, with other points, tuning seeds and final seeds, independent of those of
            any other number: whether its verdicts hold.
        stop_early: the same verdicts from fewer runs: every point is first run on an eighth of the budget, and the best
            quarter in full; the final runs of a method end once it is found to be better or worse, or next to no chance
            is left that it will be (docs/statistics.md, "Stopping early").
        cover_search: every final seed has a search of its own, so that a verdict speaks of searches as well as seeds.
        epochs: instead of the workload's own.
        budget: in what a run's is counted: ``"evaluations"`` of gradients, ``"samples"``, ``"steps"``, or
            ``"seconds"``, those that the epochs take the baseline: steps are then timed before the study begins.
        batch_size: instead of the workload's own; several make a comparison each.
        targets: of the validation metric, instead of the workload's own; the first is that of the table.
        space: method name to hyperparameter to ``Range``, ``(low, high)`` or ``{"low", "high", "log"}``, or to
            ``Choice`` or ``{"values"}``: instead of the method's own range, or of a fixed value.
        sampler: of the points of a search: ``"quasi-random"``, all known before the first run, or ``"tpe"``, by
            Optuna's tree-structured Parzen estimator, each asked for once those before it have ended: as many for every
            method.
        values: method name to hyperparameter to value, which are taken without a search; or this for each comparison;
            or the path of a TOML, JSON or CSV file of them, or of the folder of a study, whose chosen ones they are.
        schedule: of the learning rate: linear, constant, cosine, polynomial or step.
        warmup, clip, accumulate, precision, compile, ema, keep_best: how all methods are trained, as in
            :class:`~steepest.training.Recipe`; a method may say otherwise.
        choice: how the point of a search is chosen: ``"fitted"``, by a response that is fitted to all scores, or
            ``"best"``, by the best single score; ``None`` for the first, or as the study in the folder began.
        measure: instruments: built-in names (``"sharpness"``, ``"lr"``), ``path/to/file.py:name``,
            ``package.module:name``, or :class:`Instrument` objects.
        sharpness: short for ``"sharpness"`` among what is measured; ``False``: not among it.
        diagnose: short for ``"noise-scale"`` and ``"top-eigenvalue"`` among what is measured, likewise.
        pruner: prune unpromising runs of the search: median or halving.
        strategy: ddp or fsdp2: the processes of a torchrun do every run together; ``None`` for one process a run.
        device: cpu, cuda, cuda:1, mps, or auto: the GPU if there is one.
        out: the study's folder; ``studies/NAME`` if not given. The same study in the same folder resumes where it
            stopped.
        data_dir: where data files lie; otherwise the environment variable ``STEEPEST_DATA`` says so.
        jobs: runs at a time, one thread each; if not given, all cores, or 1 on a GPU; with Ray, as many as it has room
            for.
        checkpoint_seconds: between two checkpoints of a run, from which it resumes if it is interrupted.
        retry_failed: run again what failed in an earlier call.
        engine: ``"processes"`` of this machine, or ``"ray"``: actors of the cluster that ``RAY_ADDRESS`` or ``ray
            start`` names, or else of a Ray that is started for the study (see :mod:`.running.ray_cluster`).
        storage: ``postgresql://user:password@host/database``, where the runs are kept instead of in the folder, so that
            any number of hosts work on the study at the same time, each in a folder of its own.
        study: the study's name in the storage; if not given, the workloads' names.
        log: trackers that every run is entered into, once: wandb, mlflow, trackio.
        save_weights: keep the weights of every final run as a safetensors file in the folder's ``weights``.

    Raises:
        InputError: an argument cannot be used. What only the data can tell is raised once :attr:`spec` is needed.

    Note:
        Runs happen in processes of their own. Objects travel there pickled, as they are when :attr:`spec` is first
        needed. A study that has begun with other code or data is refused; give the changed one another folder.

    Example:
        >>> import tempfile
        >>> from steepest.compare import Study
        >>> out = tempfile.mkdtemp()
        >>> study = Study("digits-mlp", methods=["sgd", "sngm"], trials=2, seeds=2, epochs=1, jobs=1, out=out)
        >>> study.run(progress=False)
        True
        >>> sorted(study.table().method)
        ['sgd', 'sngm']
    """

    def __init__(
        self,
        workloads: str | Workload | Sequence[str | Workload],
        *,
        methods: str | Method | Sequence[str | Method] = DEFAULT_METHODS,
        baseline: str | None = None,
        winner: bool | None = None,
        pairs: bool | None = None,
        trials: int = 8,
        seeds: int = 5,
        tuning_seeds: int = 1,
        replication: int = 0,
        stop_early: bool = False,
        cover_search: bool = False,
        epochs: int | Mapping[str, int] | None = None,
        budget: Unit = "evaluations",
        batch_size: int | Sequence[int] | Mapping[str, int | Sequence[int]] | None = None,
        targets: float | Sequence[float] | Mapping[str, float | Sequence[float]] | None = None,
        space: Ranges | None = None,
        sampler: str = SAMPLERS[0],
        values: Values | str | Path | None = None,
        schedule: str = "linear",
        warmup: float = 0.0,
        clip: float | None = None,
        accumulate: int = 1,
        precision: Precision = "float32",
        compile: bool = False,
        ema: float | None = None,
        keep_best: bool = False,
        choice: str | None = None,
        measure: str | Instrument | Sequence[str | Instrument] = (),
        sharpness: bool | None = None,
        diagnose: bool | None = None,
        pruner: str | None = None,
        strategy: str | None = None,
        device: str | torch.device = "auto",
        out: str | Path | None = None,
        data_dir: str | Path | None = None,
        jobs: int | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        retry_failed: bool = True,
        engine: str = "processes",
        storage: str | None = None,
        study: str | None = None,
        log: str | Sequence[str] = (),
        save_weights: bool = False,
    ) -> None:
        given = dict(locals())
        self._spelling: Spelling | None = None
        measured = _list_instruments(measure, sharpness=sharpness, diagnose=diagnose)
        self._request = Request.checked({**given, "measure": measured})
        if strategy is not None:
            self._request = replace(self._request, ranks=number_of_ranks(strategy))
        if strategy is None:  # a rank has a GPU of its own, and touches no other
            device_named(self._request.device)
        self._jobs = None if jobs is None else checks.positive("jobs", jobs)
        self._checkpoint_seconds = checks.seconds("checkpoint_seconds", checkpoint_seconds)
        self._retry_failed = checks.flag("retry_failed", retry_failed)
        self._engine = checks.one_of("engine", engine, ENGINES)
        if engine == "ray":
            check_extra("ray", "ray")
        if strategy is not None and (jobs not in (None, 1) or engine != "processes"):
            raise InputError(
                f"{argument('strategy')} takes one run at a time, by the processes of torchrun; leave out "
                f"{argument('jobs')} and {argument('engine')}"
            )
        self._trackers = checks.trackers("log", log)
        for tracker in self._trackers:
            check_tracker(tracker)
        self._save_weights = checks.flag("save_weights", save_weights)
        if save_weights:
            check_extra("weights", "safetensors")
        self._data_dir = None if data_dir is None else checks.path("data_dir", data_dir)
        if self._data_dir is not None and not self._data_dir.is_dir():
            raise InputError(f"{argument('data_dir')} must be an existing folder, got {str(data_dir)!r}")
        self._out = None if out is None else checks.path("out", out)
        self._study_name = None if study is None else checks.text("study", study)
        self._storage_url = None if storage is None else checks.text("storage", storage)
        if self._storage_url is not None:
            name = "study" if self._study_name is None else self._study_name
            Storage(self._storage_url, name)  # a mistake is told before data is loaded
        elif self._study_name is not None:
            raise InputError(
                f"{argument('study')} names a study in a {argument('storage')}, and none is given, got {study!r}"
            )
        self._frozen: StudySpec | None = None

    @classmethod
    def from_file(cls, path: str | Path, **changes: Any) -> "Study":
        """A study from a TOML file, whose keys are the arguments of this class, or from a study's ``spec.json``.

        Paths in the file are seen from where the program runs. ``changes`` replace what the file says. Without any, a
        frozen spec gives that very study again, or says what has changed since.

        Raises:
            InputError: the file cannot be read, or says something that cannot be used.
        """
        file = checks.path("path", path)
        found = options.options_from(file, list(inspect.signature(cls).parameters))
        spelling = found.spelling(changes)
        if isinstance(found.values.get("space"), Mapping) and isinstance(changes.get("space"), Mapping):
            changes["space"] = {**found.values["space"], **changes["space"]}
        merged = {**found.values, **changes}
        if "workloads" not in merged:
            raise InputError(f"{str(file)!r} names no workloads")
        with spelled_by(spelling):
            study = cls(merged.pop("workloads"), **merged)
        study._spelling = spelling
        study._frozen = found.spec if changes.keys() <= set(WHERE) else None
        return study

    @cached_property
    def spec(self) -> StudySpec:
        """Everything that the results depend on; loads the data.

        Raises:
            InputError: something asked for cannot be used, or a frozen study cannot be had as it was.
        """
        self._pickled  # noqa: B018  # before freezing calls functions of theirs, which may change what they hold
        with spelled_by(self._spelling):
            spec = freeze_study(self._request, self._data_dir)
        unsaid = [name for name in ("baseline", "winner", "pairs", "choice") if getattr(self._request, name) is None]
        spec = as_begun(spec, self._out or _default_folder(spec), unsaid)
        if self._frozen is not None:
            spec = spec.with_points_of(self._frozen)
        if self._frozen is not None and (differences := self._frozen.differences(spec)):
            raise InputError(f"this study cannot be reproduced as it was: {'; '.join(differences)}")
        return spec

    @property
    def folder(self) -> Path:
        """Where everything about the study lies."""
        return self._out or _default_folder(self.spec)

    @property
    def storage(self) -> Storage | None:
        """The storage that hosts share, and the study's name there."""
        if self._storage_url is None:
            return None
        return Storage(self._storage_url, self._study_name or self.spec.default_name)

    @property
    def follows(self) -> bool:
        """Whether this is a rank other than 0, which does its part of the runs and knows nothing else."""
        return self._request.strategy is not None and own_rank() > 0

    @property
    def jobs(self) -> int:
        """Runs at a time; connects to Ray if that is to say."""
        if self._jobs is None and self._engine == "ray":
            with spelled_by(self._spelling):
                return ray_cluster.slots(self.spec)
        if self._request.strategy is not None:
            return 1
        return self._jobs or (usable_cores() if device_named(self._request.device) == "cpu" else 1)

    def plan(self, progress: Callable[[str], object] | None = None) -> Plan:
        """What the study would cost; runs nothing of it but a few steps of every method, on one process.

        Args:
            progress: is told what is done now, in a few words.
        """
        with spelled_by(self._spelling):
            given = self._given()
            return make_plan(self.spec, jobs=self.jobs, data_dir=self._data_dir, given=given, progress=progress)

    def run(
        self,
        *,
        progress: bool = True,
        listener: Listener | None = None,
        command: str | None = None,
        callbacks: object | Sequence[object] = (),
        on_run_end: RunEnd | Sequence[RunEnd] = (),
        on_study_end: StudyEnd | Sequence[StudyEnd] = (),
    ) -> bool:
        """Run what is left of the study; returns whether all of it has ended, which an interruption prevents.

        Callbacks are called in this process, between other things that it has to do: the runs go on meanwhile. What
        one raises is a warning of one sentence.

        Args:
            progress: show bars, in a terminal or a notebook.
            listener: is told what happens, instead.
            command: how the study was called, for the report.
            callbacks: objects with a method ``on_run_end(record, study)``, ``on_study_end(study)``, or both.
            on_run_end: functions ``(record, study)``, called when a run has ended and its record is on the disk, here
                or on another host; not for those that had ended before this call.
            on_study_end: functions ``(study)``, called when all runs have ended, also where nothing was left to run.

        Raises:
            InputError: the folder or the storage holds something else, or Ray cannot be used.
            StudyError: one of them can no longer be written; what is finished stays so. Or the study is at its end
                and no final run finished; the sentence says where the report is.
        """
        if self.follows:
            torchrun.follow()
            return True
        functions = [c.workload.name for c in self.spec.comparisons if c.workload.is_function]
        if self._save_weights and functions:
            raise InputError(
                f"{argument('save_weights')} must be left out for {functions[0]}, a function, which does not show its "
                "model; it may keep the weights itself"
            )
        told = Callbacks([*_as_list(callbacks), *map(make_tracker, self._trackers)], on_run_end, on_study_end)
        quiet = Console(stderr=True, quiet=not progress)
        with spelled_by(self._spelling), Spares(self._count_spares()) as spares, ProgressDisplay(quiet) as display:
            records, interrupted = study_run.run(
                self.spec,
                self.folder,
                jobs=self._jobs if self._engine == "ray" else self.jobs,
                engine=self._engine,
                data_dir=self._data_dir,
                command=command or f"steepest.compare.Study in {Path(sys.argv[0]).name or 'Python'}",
                listener=ToldListener(listener or display, told, self),
                given=self._pickled,
                checkpoint_seconds=self._checkpoint_seconds,
                retry_failed=self._retry_failed,
                storage=self.storage,
                spares=spares,
                sources=sources_of_study(self.spec, self._given()),
                save_weights=self._save_weights,
            )
        if not interrupted:
            told.study_ended(self)
        if not interrupted and not any(r.phase == "final" and r.status == "finished" for r in records):
            summaries = summarize_study(self.spec, records)
            raise StudyError(f"{without_result(summaries)}; see {write(self.folder, summaries)}")
        return not interrupted

    def _count_spares(self) -> int:
        """Count the processes to start while the data is being read; the study may turn out to need none."""
        if self._engine != "processes" or self._request.strategy is not None:
            return 0
        return min(self.jobs, len(self._request.methods) * self._request.trials, _SPARES)

    def records(self) -> list[Record]:
        """All runs that have ended; none if the study has not begun."""
        if not (self.folder / SPEC_FILE).exists():
            return []
        return finished_records(self.folder, self.storage)[1]

    def summaries(self) -> list[Summary]:
        """What the report shows, a summary for each comparison."""
        return summarize_study(as_begun(self.spec, self.folder, ["earlier_seeds"]), self.records())

    def table(self) -> "pd.DataFrame":
        """The result, a row for every method of every comparison, with the numbers of the report in full precision.

        The columns are those of the report's ``final.csv``: the name of the ``comparison``, the ``method``, its
        ``test_metric`` (a fraction where the report shows percent) with the ends of its interval, the ``difference``
        to the baseline with its own, the ``verdict``, the median ``evaluations_to_target``, where a miss is infinite,
        the chosen hyperparameters, and more.
        """
        return _frame(final_table(self.summaries()))

    def runs(self) -> "pd.DataFrame":
        """A row for every run that has ended; :meth:`records` have their curves too."""
        return _frame(run_table(self.summaries()))

    def report(self) -> Path:
        """Write ``report.html`` and ``report.md`` into the folder; returns the path of the page.

        Raises:
            StudyError: they cannot be written.
        """
        return write(self.folder, self.summaries())

    def figures(self) -> "dict[str, DrawnFigure]":
        """The figures of the report by name, such as ``"forest"`` and ``"validation"``, in its order.

        Each has ``title``, ``caption``, the picture as ``svg``, the Plotly figure as ``plotly``, and ``save(path)`` for
        .svg, .png and .pdf. Pictures need the extra ``steepest[figures]`` and a Chrome or Chromium. Of several
        comparisons the names begin with theirs.
        """
        from steepest.compare.report.drawn import drawn_figures

        return drawn_figures(self.summaries())

    def latex(self, folder: str | Path) -> list[Path]:
        """Write the tables of the report into a folder as LaTeX, with booktabs' rules; returns their paths.

        Raises:
            StudyError: they cannot be written.
        """
        return export_latex(self.summaries(), checks.path("folder", folder))

    def _repr_html_(self) -> str:
        """Show the result in a notebook, or that there is none yet. Loads no data, and runs nothing."""
        folder = self._out or (self.folder if "spec" in vars(self) else None)
        if folder is None or not (folder / SPEC_FILE).exists():
            return "<p>A study that has not been run.</p>"
        from steepest.compare.report.notebook import result_html

        return result_html(summarize_study(*finished_records(folder, self.storage if "spec" in vars(self) else None)))

    @cached_property
    def _pickled(self) -> bytes | None:
        return pickled(self._given())

    def _given(self) -> Given:
        parts = [*self._request.workloads, *self._request.methods, *self._request.measure]
        return {reference_of(part): part for part in parts if not isinstance(part, str)}


_SHORT = {"sharpness": ("sharpness",), "diagnose": ("noise-scale", "top-eigenvalue")}


def _list_instruments(measure: Any, **short: bool | None) -> Any:
    """List what is measured, with or without what the options that are short for some of it say."""
    found = list(measure) if isinstance(measure, list | tuple) else [measure]
    for name, said in short.items():
        if said is not None and checks.flag(name, said):
            found += [instrument for instrument in _SHORT[name] if instrument not in found]
        elif said is not None:
            found = [instrument for instrument in found if instrument not in _SHORT[name]]
    return found


def _as_list(given: object | Sequence[object]) -> list[object]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _frame(table: Table) -> "pd.DataFrame":
    import pandas as pd  # a third of a second, which the command can do without

    return pd.DataFrame(table.rows, columns=list(table.columns))


def _default_folder(spec: StudySpec) -> Path:
    return Path("studies") / spec.default_name
