"""A study's folder on disk: its lock, its frozen spec, who ran it, and the records that others read."""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from steepest._errors import InputError, StudyError, argument
from steepest._files import clear_place, keep_copy, put_aside, reason_of, say_once, sweep, write_atomically
from steepest._version import __version__
from steepest.compare import spec as spec_module
from steepest.compare.records.lines import ATTEMPTS, Reason, note_attempts, read_lines, text_of_records
from steepest.compare.records.lines import RECORDS as RECORDS
from steepest.compare.records.lines import append_record as append_record
from steepest.compare.records.pruning import forget_methods
from steepest.compare.records.record import Key, Record
from steepest.compare.records.recovery import all_keys, misfit, recovered, stored_or_written
from steepest.compare.records.storage import EMBEDDED, SHARED
from steepest.compare.records.study_file import files_of
from steepest.compare.records.working_copy import commit_of
from steepest.compare.spec import StudySpec
from steepest.page.text import count

LOCK = ".lock"
INVOCATIONS = "invocations.jsonl"
_OF_A_STUDY = {spec_module.FILE, RECORDS, INVOCATIONS, EMBEDDED, SHARED}
_INVOCATION = {"command": str, "jobs": int, "started": int | float, "machine": str, "versions": dict}
_NO_MATTER = (
    "baseline",
    "winner",
    "pairs",
    "earlier_seeds",
    "reference",
    "description",
    "data_sha256_before",
    "prices",
)
_PLAIN: tuple[str, dict[str, object]] = ("recipe", {})  # which specs did not say before there were recipes
_FINGERPRINTS = f"{spec_module.FORMAT}:"  # those of another format cannot be compared
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError)


@contextmanager
def opened(folder: Path, spec: StudySpec, *, reuse: bool = True) -> Iterator[StudySpec]:
    """Hold a study's folder: create it if it is not there, else make sure that it holds this very study.

    Yields the study with the search points that the folder has frozen. The spec of an older format is written anew,
    with the points and the digests that it lacks. Where nothing but methods was changed, their runs are set aside, and
    those of the others count; with ``reuse`` false such a study is refused like any other.

    The lock is the operating system's and goes with the process, however that ends.

    Raises:
        InputError: the folder cannot be written, holds something else, or another process is at work in it.
    """
    check_place(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        clear_place(folder / LOCK, links=True)  # which a lock never is
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"another process is running the study in {str(folder)!r}; wait for it or choose another with "
            f"{argument('out')} (with {argument('storage')}, every host works in a folder of its own)"
        ) from None
    except OSError as error:
        raise _refusal(folder, error) from error
    try:
        sweep(folder)
        frozen = _find_frozen(folder, spec)
        if frozen is not None:
            spec = spec.with_points_of(frozen).after_seeds(frozen.shared.earlier_seeds)
            part = spec.within(frozen)
            changed = frozen.changed(part) if reuse else []
            if not changed and (differences := frozen.differences(part)):
                raise InputError(
                    f"{str(folder)!r} holds a study with another spec ({_first(differences)}); "
                    f"choose another folder with {argument('out')}"
                )
            if changed:
                _set_methods_aside(folder, frozen, changed)
            if part != spec:
                spec = _grown(folder, frozen, spec)
        if frozen is None or not frozen.is_whole or _told(frozen) != _told(spec) or part != spec or changed:
            check_points(spec, read_records(folder))
            write_atomically(folder / spec_module.FILE, spec.to_json() + "\n")
        yield spec
    finally:
        lock.release()


def _set_aside(folder: Path, frozen: StudySpec, of: Callable[[Key], bool], reason: Reason) -> int:
    """Let a study go on without some of its runs, which ``attempts.jsonl`` keeps; return how many there were."""
    from steepest.training.loop.checkpoint import checkpoint_path  # and with it torch

    records = recovered(folder, frozen)
    gone = [record for record in records if of(record.key)]
    note_attempts(folder, gone, reason)
    write_records(folder, [record for record in records if not of(record.key)])
    for path in files_of(folder / EMBEDDED):  # written again from the records
        path.unlink()
    for key in filter(of, all_keys(frozen)):
        for path in (folder / "checkpoints").glob(f"{checkpoint_path(folder, *key).stem}.*"):
            path.unlink(missing_ok=True)
    return len(gone)


def _set_methods_aside(folder: Path, frozen: StudySpec, names: Collection[str]) -> None:
    """Let a study go on without the runs of methods that are not what they were."""
    gone = _set_aside(folder, frozen, lambda key: key[1] in names, "the method was changed")
    forget_methods(folder, names)
    were = "was" if len(names) == 1 else "were"
    say_once(
        f"{folder}: {', '.join(names)} {were} changed since the study began and will run anew; the "
        f"{count(gone, 'run')} from before are set aside in {ATTEMPTS}, and those of the other methods count"
    )


def _grown(folder: Path, frozen: StudySpec, asked: StudySpec) -> StudySpec:
    """Say by what a study grows; with more seeds, remember at how many its verdicts could be seen before."""
    there, here = frozen.shared, asked.shared
    seen = len(here.seeds) > len(there.seeds) and any(r.phase == "final" for r in read_records(folder))
    names = [method.name for method in there.methods]
    added = [method.name for method in here.methods if method.name not in names]
    measured = {instrument.name for instrument in there.instruments}
    instruments = [instrument for instrument in here.instruments if instrument.name not in measured]
    if instruments:
        searched = any(instrument.in_search for instrument in instruments)
        _set_aside(
            folder, frozen, lambda k: k[2] == "final" or (searched and k[2] == "tune"), "an instrument was added"
        )
    parts = [
        f"trials from {there.trials} to {here.trials}" if here.trials > there.trials else "",
        f"seeds from {there.seeds_asked} to {here.seeds_asked}" if here.seeds_asked > there.seeds_asked else "",
        f"methods by {', '.join(added)}" if added else "",
        f"instruments by {', '.join(i.name for i in instruments)}, which its final runs are repeated for"
        if instruments
        else "",
    ]
    if said := ", ".join(filter(None, parts)):
        say_once(f"{folder} grows: {said}; what is there counts")
    return asked.after_seeds((*there.earlier_seeds, there.seeds_asked)) if seen else asked


def _told(study: StudySpec) -> tuple[str, bool, bool]:
    """Find what of a spec is a matter of the report alone; it is as it was asked for last."""
    return study.shared.baseline, study.shared.winner, study.shared.pairs


def check_points(study: StudySpec, records: Iterable[Record]) -> None:
    """Make sure that the runs of a search tried the points that the spec has for them.

    Raises:
        InputError: one did not; another release of SciPy or Optuna may have drawn them, before specs had points.
    """
    points = {(c.name, m.name): c.points(m) for c in study.comparisons for m in c.methods}
    first = study.shared.phases[0]
    for record in records:
        known = points.get((record.workload, record.method), ()) if record.phase == first else ()
        if record.trial < len(known) and record.hyperparameters != known[record.trial]:
            raise InputError(
                f"run {record.trial} of {record.method} on {record.workload} tried {record.hyperparameters}, and the "
                f"study's spec has {known[record.trial]} for it; they do not belong together"
            )


def check_place(folder: Path) -> None:
    """Make sure that a folder can be a study's, and leave nothing behind.

    Raises:
        InputError: it cannot be made or written, or holds something else.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        if folder.is_dir():
            _refuse_foreign(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            made.rmdir()
    except OSError as error:
        raise _refusal(folder, error) from error


def _refusal(folder: Path, error: OSError) -> InputError:
    return InputError(f"{argument('out')} must be a folder that can be written, got {str(folder)!r} ({error.strerror})")


def _refuse_foreign(folder: Path) -> None:
    """Refuse, before anything is made in it, a folder that holds something, and no file of a study's."""
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if found and not {name.partition(".damaged-")[0] for name in found} & _OF_A_STUDY:
        raise InputError(
            f"{argument('out')} must be a new folder or that of a study; {str(folder)!r} holds {found[0]!r}"
        )


def _find_frozen(folder: Path, asked: StudySpec) -> StudySpec | None:
    """Find the spec that a folder's study began with; ``None`` if it begins here, or its spec is lost and the runs that
    are there are those of ``asked``.

    Raises:
        InputError: it is of another version, or lost, and the runs are those of another study.
    """
    path = folder / spec_module.FILE
    try:
        return _read_spec(path)
    except FileNotFoundError:
        lost = f"{str(path)!r} is lost"
    except _DAMAGE as error:
        lost = f"{str(path)!r} is damaged ({reason_of(error)})"
    if difference := _find_difference(folder, asked):
        raise InputError(
            f"{lost}, and what else is in the folder is of another study than this one ({difference}); "
            f"choose another folder with {argument('out')}"
        )
    if path.exists():
        say_once(f"{lost}; it is kept as {put_aside(path).name} and rebuilt")
    elif _has_runs(folder):
        say_once(f"{lost}; it is rebuilt")
    return None


def load_spec(folder: Path) -> StudySpec:
    """The frozen spec of a study's folder.

    Raises:
        InputError: the folder holds no study, or one that this version cannot read.
    """
    path = folder / spec_module.FILE
    try:
        return _read_spec(path)
    except FileNotFoundError:
        if not _has_runs(folder):
            raise InputError(f"{str(folder)!r} holds no study: there is no {spec_module.FILE} in it") from None
        lost = f"{str(path)!r} is lost"
    except _DAMAGE as error:
        lost = f"{str(path)!r} is not a study's spec that steepest {__version__} can read ({reason_of(error)})"
    again = next((entry["command"] for entry in reversed(invocations(folder))), "")
    raise InputError(f"{lost}; the command that ran the study rebuilds it{f': {again}' if again else ''}")


def as_begun(study: StudySpec, folder: Path, unsaid: Iterable[str]) -> StudySpec:
    """The study, with what nobody has said of it as the one in the folder began, if there is one.

    Args:
        unsaid: names of what all comparisons share, such as ``baseline`` and ``choice``.
    """
    try:
        begun = load_spec(folder).shared
    except InputError:
        return study
    names = {method.name for method in study.methods}
    known = {name: getattr(begun, name) for name in unsaid if name != "baseline" or begun.baseline in names}
    return StudySpec(tuple(replace(spec, **known) for spec in study.comparisons))


def _read_spec(path: Path) -> StudySpec:
    """Read the spec; raise one of ``_DAMAGE`` if it is damaged.

    Raises:
        FileNotFoundError: there is none.
        InputError: it may not be read, or a newer version wrote it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise InputError(f"{str(path)!r} cannot be read ({reason_of(error)})") from error
    raw = json.loads(text)
    written = raw.get("format") if isinstance(raw, dict) else None
    if isinstance(written, int) and written > spec_module.FORMAT:
        raise InputError(
            f"{str(path)!r} is not a study's spec that steepest {__version__} can read (its format is {written}, not "
            f"{spec_module.FORMAT}: a newer version wrote it)"
        )
    return StudySpec.from_json(text)


def _has_runs(folder: Path) -> bool:
    return any((folder / name).exists() for name in (RECORDS, EMBEDDED))


def _find_difference(folder: Path, asked: StudySpec) -> str:
    """Find in what the runs of a folder whose spec is lost are not those of this study; nothing if they may be."""
    said = [entry["spec"] for entry in invocations(folder) if "spec" in entry]
    if said and said[-1].startswith(_FINGERPRINTS) and said[-1] != fingerprint(asked):
        return f"{INVOCATIONS} says so"
    return misfit(asked, stored_or_written(folder))


def fingerprint(spec: StudySpec) -> str:
    """A digest of all that a study's results depend on; where a file lies makes no difference."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(item) for key, item in value.items() if key not in _NO_MATTER and (key, item) != _PLAIN}
        return [bare(item) for item in value] if isinstance(value, list) else value

    digest = hashlib.sha256(json.dumps(bare(json.loads(spec.to_json())), sort_keys=True).encode()).hexdigest()
    return f"{_FINGERPRINTS}{digest}"


def _first(differences: list[str]) -> str:
    more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
    return "; ".join(differences[:3]) + more


def write_records(folder: Path, records: Iterable[Record]) -> None:
    """Write all records anew, one JSON object a line."""
    write_atomically(folder / RECORDS, text_of_records(records))


def read_records(folder: Path) -> list[Record]:
    """What :func:`write_records` and :func:`append_record` wrote; of two records of a run, the later."""
    return read_lines(folder / RECORDS).records


def note_invocation(
    folder: Path, command: str, jobs: int, spec: StudySpec | None = None, sources: Sequence[str] = ()
) -> None:
    """Record who runs the study now: the command, the machine, the versions and the commit, and which study it is.

    Lines of the file that are damaged are put aside.

    Args:
        sources: the names of the copies of the user's files.
    """
    import torch  # seconds, which who only reads a folder can do without

    from steepest._machine import machine

    path = folder / INVOCATIONS
    known, damaged = _read_invocations(path)
    if damaged:
        say_once(f"{path} was damaged ({damaged}); it is kept as {keep_copy(path).name}, and what is whole counts")
    at = commit_of(Path.cwd())
    entry = {
        "command": command,
        "jobs": jobs,
        "started": time.time(),
        "machine": machine(),
        "versions": {"steepest": __version__, "torch": torch.__version__, "python": platform.python_version()},
        **({} if at is None else {"git": at}),
        **({"sources": [*sources]} if sources else {}),
        **({} if spec is None else {"spec": fingerprint(spec)}),
    }
    write_invocations(folder, [*known, entry])


def write_invocations(folder: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Write all of them anew, the oldest first."""
    write_atomically(folder / INVOCATIONS, "".join(map(_line, entries)))


def invocations(folder: Path) -> list[dict[str, Any]]:
    """All that :func:`note_invocation` wrote, the oldest first; what is damaged is left out."""
    return _read_invocations(folder / INVOCATIONS)[0]


def _read_invocations(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Read the invocations of a file, and say what is wrong with the rest of it."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], ""
    except PermissionError as error:
        raise StudyError(f"{str(path)!r} cannot be read ({reason_of(error)})") from error
    except OSError as error:
        return [], reason_of(error)
    found, damaged = [], ""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            whole = all(isinstance(entry[name], kind) for name, kind in _INVOCATION.items())
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if whole:
            found.append(entry)
        else:
            damaged = damaged or f"line {number} is no call of the command"
    return found, damaged


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False) + "\n"
