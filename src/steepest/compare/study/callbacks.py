"""Who is told when a run, or the study, has ended: the user's objects and functions, in the process that drives it."""

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from steepest._errors import InputError, argument
from steepest._files import say_once
from steepest.compare.records.record import Job, Record
from steepest.compare.running.driver import Listener
from steepest.compare.spec import StudySpec
from steepest.training.code.user_code import told

if TYPE_CHECKING:
    from steepest.compare.study.study import Study

RunEnd = Callable[[Record, "Study"], object]
StudyEnd = Callable[["Study"], object]
RUN_END, STUDY_END = "on_run_end", "on_study_end"


class Callbacks:
    """The functions of a user's objects, each called so that nothing that it does can harm the study.

    Args:
        objects: one, or several, with a method ``on_run_end(record, study)``, ``on_study_end(study)``, or both.
        on_run_end: one function, or several.
        on_study_end: likewise.

    Raises:
        InputError: an object has neither method, or a function cannot be called.
    """

    def __init__(self, objects: object = (), on_run_end: object = (), on_study_end: object = ()) -> None:
        found = _list(objects)
        if strange := [each for each in found if not (_has(each, RUN_END) or _has(each, STUDY_END))]:
            raise InputError(
                f"{argument('callbacks')} must be objects with {RUN_END}(record, study) or {STUDY_END}(study), got "
                f"{strange[0]!r}"
            )
        self._run = [getattr(each, RUN_END) for each in found if _has(each, RUN_END)]
        self._study = [getattr(each, STUDY_END) for each in found if _has(each, STUDY_END)]
        self._run += _functions(RUN_END, on_run_end)
        self._study += _functions(STUDY_END, on_study_end)

    def run_ended(self, record: Record, study: "Study") -> None:
        """Tell of a run; each gets a record of its own, to do with as it likes."""
        for call in self._run:
            _call(RUN_END, call, copy.deepcopy(record), study)

    def study_ended(self, study: "Study") -> None:
        """Tell of the end."""
        for call in self._study:
            _call(STUDY_END, call, study)


class ToldListener:
    """A study's listener that passes on what it hears, and tells the callbacks of every run that has ended."""

    def __init__(self, listener: Listener, callbacks: Callbacks, study: "Study") -> None:
        self._listener, self._callbacks, self._study = listener, callbacks, study

    def begin(self, study: StudySpec, records: Sequence[Record]) -> None:
        self._listener.begin(study, records)

    def started(self, job: Job) -> None:
        self._listener.started(job)

    def progressed(self, job: Job, fraction: float) -> None:
        self._listener.progressed(job, fraction)

    def died(self, job: Job) -> None:
        self._listener.died(job)

    def ended(self, record: Record) -> None:
        self._listener.ended(record)
        self._callbacks.run_ended(record, self._study)

    def waiting(self, elsewhere: int) -> None:
        self._listener.waiting(elsewhere)


def _list(given: object) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _has(each: object, name: str) -> bool:
    return callable(getattr(each, name, None))


def _functions(name: str, given: object) -> list[Any]:
    found = [] if given is None else _list(given)
    if strange := [each for each in found if not callable(each)]:
        raise InputError(f"{argument(name)} must be a function, or a list of some, got {strange[0]!r}")
    return found


def _call(name: str, call: Callable[..., object], *given: object) -> None:
    """Call it; what it raises is one sentence, once for each kind."""
    try:
        call(*given)
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        owner = getattr(call, "__qualname__", None) or type(call).__name__
        where = f"{name} ({owner})" if owner.rpartition(".")[2] != name or "." in owner else name
        say_once(f"{where} raised {told(error)}; the study goes on, and nothing that was computed is lost")
