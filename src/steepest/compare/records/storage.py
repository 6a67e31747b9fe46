"""Where a study's runs are kept: a file in its folder, or a PostgreSQL that many hosts share."""

import json
import os
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import URL

from steepest._errors import InputError, argument, require

EMBEDDED = "study.db"
SHARED = "storage.json"
_DRIVER = "postgresql+psycopg"
# A network that swallows packets must not hold a host for hours, nor a host that is gone the lock of the others.
_CONNECTION = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "steepest",
}


def masked(url: str) -> str:
    """A URL without its passwords, even if it is none that can be read.

    Example:
        >>> masked("postgresql://me:p@ssword@host/db?sslpassword=secret")
        'postgresql://me:***@host/db?sslpassword=***'
    """
    url = re.sub(r"(://[^/:@]*):.*@" if "://" in url else r"^([^/:@]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&]\w*password=)[^&\s]*", r"\1***", url)


@dataclass(frozen=True)
class Storage:
    """A database that hosts share, and the study's name in it.

    Its text is the URL without the password, which stands nowhere else but in ``url``.

    Args:
        url: ``postgresql://user:password@host:port/database``. What is left out of it, libpq finds as ever: in
            ``PGPASSWORD``, ``PGHOST`` and the like, or in ``~/.pgpass``.
        study: letters, digits and any of ``. _ + -``.

    Raises:
        InputError: the URL is of another kind, or the name of another form.

    Example:
        >>> print(Storage("postgresql://me:secret@host/db", "digits"))
        postgresql://me:***@host/db
    """

    url: str = field(repr=False)
    study: str

    def __post_init__(self) -> None:
        self._parsed()
        if not re.fullmatch(r"[\w.+-]+", self.study):
            raise InputError(
                f"{argument('study')} must be made of letters, digits and any of . _ + -, got {self.study!r}"
            )

    def __str__(self) -> str:
        return masked(self.url)

    def masked_in(self, command: str) -> str:
        """A shell command that may hold the URL, without the password."""
        for quoted in (self.url, self.url.replace("'", "'\"'\"'")):
            command = command.replace(quoted, str(self))
        return command

    @property
    def sqlalchemy_url(self) -> str:
        """As SQLAlchemy takes it, password and all."""
        url = self._parsed().set(drivername=_DRIVER)
        return url.set(query={**_CONNECTION, **url.query}).render_as_string(hide_password=False)

    def without_password(self) -> "Storage":
        url = self._parsed()
        query = {key: value for key, value in url.query.items() if not key.endswith("password")}
        bare = url._replace(password=None, query=sqlalchemy.util.immutabledict(query))
        return Storage(bare.render_as_string(hide_password=False), self.study)

    def _parsed(self) -> URL:
        allowed = f"{argument('storage')} must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        try:
            url = sqlalchemy.make_url(self.url)
        except (sqlalchemy.exc.ArgumentError, ValueError):
            raise InputError(f"{allowed}, got {masked(self.url)!r}") from None
        if url.drivername not in ("postgresql", _DRIVER):
            raise InputError(f"{allowed}, got {masked(self.url)!r}")
        require("psycopg", "postgresql")
        return url


def file_url(path: Path) -> str:
    """A SQLite file as SQLAlchemy takes it."""
    return URL.create("sqlite", database=str(path.resolve())).render_as_string(hide_password=False)


@dataclass(frozen=True)
class Membership:
    """What a folder remembers of the storage that its host shares, in ``storage.json``: everything but the password.

    ``owner`` marks the runs that this folder's process takes, so that the same command, after a crash, can free them.
    """

    storage: Storage
    owner: str

    def to_json(self) -> str:
        bare = self.storage.without_password()
        return json.dumps({"storage": bare.url, "study": bare.study, "owner": self.owner}, indent=2) + "\n"

    @classmethod
    def of(cls, folder: Path) -> "Membership | None":
        """That of a folder, or ``None`` if its runs are kept in the folder itself.

        Raises:
            InputError: the file is damaged.
        """
        path = folder / SHARED
        if not path.exists():
            return None
        try:
            raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(Storage(raw["storage"], raw["study"]), raw["owner"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{str(path)!r} does not say where a study's runs are kept ({error})") from error

    @classmethod
    def joined(cls, folder: Path, storage: Storage) -> "Membership":
        """The folder's, with the storage as it is given now; its first one begins here."""
        before = cls.of(folder)
        return cls(storage, before.owner if before else uuid.uuid4().hex)


def seconds_from_environment(name: str, default: float) -> float:
    """A positive number of seconds that an environment variable may set.

    Raises:
        InputError: it is set to something else.
    """
    text = os.environ.get(name, "")
    try:
        seconds = float(text or default)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InputError(f"{name} must be a positive number of seconds, got {text!r}")
    return seconds
