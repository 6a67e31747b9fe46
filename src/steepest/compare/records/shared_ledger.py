"""A ledger that many hosts share: one PostgreSQL, one name for the study, a folder for each host.

Optuna's studies are those of :mod:`~steepest.compare.records.optuna_ledger` with the study's name and a slash in front;
one more, ``NAME/hosts``, has no trials but remembers the frozen spec, the hosts with their heartbeats, and the commands
that they ran. A run that is taken bears its ``owner``.

A host counts in its own attribute, every so often. Who sees that a count stands still for the grace period, measured
on its own clock and without an outage of the storage in between, takes the host for dead and puts its runs back into
the queue. Should it be alive after all, it and another do the same run, and whoever ends first counts.
"""

import hashlib
import json
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from steepest._errors import InputError, argument
from steepest.compare.records.ledger import News
from steepest.compare.records.optuna_ledger import ENDED, OptunaLedger, patiently, record_in
from steepest.compare.records.record import Job, Key, Record
from steepest.compare.records.retries import STORAGE_ERRORS, Patience, reason_of
from steepest.compare.records.storage import Membership, seconds_from_environment
from steepest.compare.spec import StudySpec

GRACE = "STEEPEST_GRACE"  # seconds
GRACE_SECONDS = 60.0
_BEATS_PER_GRACE = 6
_IDLE_SECONDS = 1.0  # between two looks while there is nothing to do
_SHARE = 20  # looking takes at most so small a part of the time
_HOSTS = "hosts"
_REOPENED = "reopened"  # how often runs that had ended were opened again, which is what the others look for
_STRANDED_SECONDS = 120  # a host that holds the lock and falls silent for so long loses its connection, and the lock


class SharedLedger(OptunaLedger):
    """The ledger of a study in a shared storage.

    Args:
        member: the storage, and who we are there.
        spec: what is studied.
        patience: waits for the storage while it is away; opening it does not wait.

    Raises:
        InputError: the storage cannot be opened, or holds another study of this name.
    """

    def __init__(self, member: Membership, spec: StudySpec, patience: Patience | None = None) -> None:
        self.spec = spec
        self.prefix = f"{member.storage.study}/"
        self._member = member
        self._grace = seconds_from_environment(GRACE, GRACE_SECONDS)
        self.patience = patience or Patience(f"the storage {member.storage}")
        self._beat = 0
        self._looked, self._cost = -float("inf"), 0.0  # when, and how many seconds it took
        self._seen: dict[str, tuple[object, float]] = {}  # owner to its last beat, and since when
        self._outages = 0
        self._reopened: object = None
        url = member.storage.sqlalchemy_url
        self._locks = sqlalchemy.create_engine(url, pool_pre_ping=True)
        try:
            with self.exclusive("tables"):
                self.open(url)
            self._check_spec()
        except STORAGE_ERRORS as error:
            raise InputError(f"{argument('storage')} {member.storage} cannot be opened ({reason_of(error)})") from None

    def close(self) -> None:
        super().close()
        self._locks.dispose()

    @contextmanager
    def exclusive(self, what: str = "") -> Iterator[None]:
        """What only one host may do at a time: PostgreSQL holds the lock, and frees it if the host is gone."""
        name = f"steepest/{what or self.prefix}"
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        with self._locks.begin() as connection:
            connection.execute(
                sqlalchemy.text(f"SET LOCAL idle_in_transaction_session_timeout = '{_STRANDED_SECONDS}s'")
            )
            connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(number)))
            yield

    @patiently
    def join(self) -> None:
        """Freeze the spec of a new study, and tell the others that we are here.

        Raises:
            InputError: another host was faster and froze another.
        """
        with self.exclusive():
            hosts = self.create_study(_HOSTS)
            self._check_spec()
            if "spec" not in self.storage.get_study_user_attrs(hosts):
                self.storage.set_study_user_attr(hosts, "spec", self.spec.to_json())
        self._tell_beat(hosts)
        self._reopened = self.storage.get_study_user_attrs(hosts).get(_REOPENED)

    @patiently
    def shared_invocations(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Tell what ran on this host, and return what ran on any, the oldest first."""
        hosts = self.create_study(_HOSTS)
        self.storage.set_study_user_attr(hosts, f"invocations/{self._member.owner}", json.dumps(entries))
        shared = [
            entry
            for name, value in self.storage.get_study_user_attrs(hosts).items()
            if name.startswith("invocations/")
            for entry in json.loads(value)
        ]
        return sorted({json.dumps(entry): entry for entry in shared}.values(), key=lambda entry: entry["started"])

    @patiently
    def take(self, job: Job) -> bool:
        """Mark a planned job as running; whether it is ours to run, and not another host's."""
        trial_id = self.trial_id(job.key)
        with self.exclusive():
            trial = self.storage.get_trial(trial_id)
            if trial.state in ENDED:  # it may have been opened again since
                self._last.clear()
                trial_id = self.trial_id(job.key)
                trial = self.storage.get_trial(trial_id)
            if trial.state == TrialState.WAITING:
                self.storage.set_trial_user_attr(trial_id, "owner", self._member.owner)
                return self.storage.set_trial_state_values(trial_id, TrialState.RUNNING)
            return trial.state == TrialState.RUNNING and self.is_ours(trial)  # the answer to an earlier call was lost

    def reopen(self, records: Iterable[Record]) -> None:
        """Let runs that have ended be run again, and let the other hosts know."""
        super().reopen(records)
        self._tell_reopened()

    @patiently
    def _tell_reopened(self) -> None:
        with self.exclusive():
            hosts = self.create_study(_HOSTS)
            before = self.storage.get_study_user_attrs(hosts).get(_REOPENED, 0)
            self.storage.set_study_user_attr(hosts, _REOPENED, before + 1)
            if before == (self._reopened or 0):  # nobody else did in the meantime
                self._reopened = before + 1

    def is_ours(self, trial: FrozenTrial) -> bool:
        return trial.user_attrs.get("owner") == self._member.owner

    def news(self, known: set[Key], *, idle: bool) -> News | None:
        """What others have done since, if it is time to look.

        Args:
            known: the runs whose records need not be told.
            idle: look often: there is nothing else to do.
        """
        beat = self._grace / _BEATS_PER_GRACE
        pause = min(max(_IDLE_SECONDS, _SHARE * self._cost), beat) if idle else beat
        began = time.monotonic()
        if began - self._looked < pause:
            return None
        news = self._look(known)
        self._looked = time.monotonic()
        self._cost = self._looked - began
        return news

    @patiently
    def _look(self, known: set[Key]) -> News:
        hosts = self.create_study(_HOSTS)
        self._tell_beat(hosts)
        if (reopened := self.storage.get_study_user_attrs(hosts).get(_REOPENED)) != self._reopened:
            self._reopened = reopened
            return News([], set(), reopened=True)
        found = News([], set())
        taken: list[FrozenTrial] = []
        for workload, method, phase in self.studies():
            study = self.study_id(f"{workload}/{method}/{phase}")
            of = self.spec.comparison(workload)
            if study is None or all((workload, method, phase, i) in known for i in range(of.most(phase))):
                continue
            for index, trial in self.last_trials(study).items():
                key = (workload, method, phase, index)
                if trial.state in ENDED and key not in known:
                    found.records.append(record_in(trial))
                elif trial.state == TrialState.RUNNING and not self.is_ours(trial):
                    found.elsewhere.add(key)
                    taken.append(trial)
        self._free_the_dead(hosts, taken)
        return found

    def _tell_beat(self, hosts: int) -> None:
        self._beat += 1
        beat = f"{self._beat} {time.time()} {platform.node()}"  # the time: a host that restarts counts anew
        self.storage.set_study_user_attr(hosts, f"host/{self._member.owner}", beat)

    def _free_the_dead(self, hosts: int, taken: list[FrozenTrial]) -> None:
        """Put runs back into the queue whose hosts have been silent for too long."""
        if self._outages != self.patience.outages:  # nobody could be heard
            self._outages = self.patience.outages
            self._seen.clear()
        now = time.monotonic()
        attributes = self.storage.get_study_user_attrs(hosts)
        dead = set()
        for owner in {trial.user_attrs.get("owner", "") for trial in taken}:
            beat = attributes.get(f"host/{owner}")
            before, since = self._seen.get(owner, (object(), now))
            self._seen[owner] = (beat, since if beat == before else now)
            if now - self._seen[owner][1] > self._grace:
                dead.add(owner)
        for trial in taken:
            owner = trial.user_attrs.get("owner", "")
            if owner not in dead:
                continue
            with self.exclusive():
                again = self.storage.get_trial(trial._trial_id)
                if again.state == TrialState.RUNNING and again.user_attrs.get("owner", "") == owner:
                    self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def _check_spec(self) -> None:
        hosts = self.study_id(_HOSTS)
        text = None if hosts is None else self.storage.get_study_user_attrs(hosts).get("spec")
        if text is None:
            return
        try:
            there = StudySpec.from_json(text)
            self.spec = self.spec.with_points_of(there)
            differences = there.differences(self.spec)
        except (ValueError, KeyError, TypeError) as error:
            differences = [f"it cannot be read: {error}"]
        if differences:
            more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
            storage = self._member.storage
            raise InputError(
                f"{storage} holds a study {storage.study!r} with another spec ({'; '.join(differences[:3])}{more}); "
                f"choose another name with {argument('study')}"
            )
