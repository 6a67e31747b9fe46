"""What is known of a study, for whoever reads its folder, also while it runs."""

from collections.abc import Iterable
from pathlib import Path

from steepest._errors import InputError
from steepest._files import say_once
from steepest.compare.policy.standing import counted
from steepest.compare.records.folder import load_spec
from steepest.compare.records.record import Record
from steepest.compare.records.recovery import place_of, written_records
from steepest.compare.records.retries import sentence_for_lost
from steepest.compare.records.storage import Membership, Storage
from steepest.compare.spec import StudySpec


def finished_records(folder: Path, storage: Storage | None = None) -> tuple[StudySpec, list[Record]]:
    """Spec and finished runs of a study's folder, also while the study runs.

    Runs that are kept in a shared storage are read there; if it cannot be reached, those that the folder knows are
    returned, and the log says so.

    Args:
        storage: the shared storage, with a password that the folder does not remember.

    Raises:
        InputError: the folder holds no study.
    """
    study = load_spec(folder)
    records = known_records(folder, study)
    try:
        member = Membership.of(folder)
        if member is not None:
            from steepest.compare.records.shared_ledger import SharedLedger  # half a second, which few studies need

            with SharedLedger(Membership(storage or member.storage, member.owner), study) as shared:
                found = {record.key: record for record in [*records, *shared.records()]}
                records = _counting_or_pending(study, found.values())
    except InputError as error:
        say_once(f"{error}; shown is what {str(folder)!r} knows of the study")
    place = place_of(study)
    return study, sorted(records, key=lambda record: place[record.key])


def known_records(folder: Path, study: StudySpec) -> list[Record]:
    """The finished runs that a study's folder knows of; a shared storage is not asked."""
    with sentence_for_lost(folder, None):
        return _counting_or_pending(study, written_records(folder, study))


def _counting_or_pending(study: StudySpec, records: Iterable[Record]) -> list[Record]:
    counting, pending, _ = counted(study, records)
    return [*counting, *pending]
