"""A real PostgreSQL for a test: of its own, on a free port, stopped and started as the test likes."""

import contextlib
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

PASSWORD = "s3cr@t/{word}"
QUOTED = "s3cr%40t%2F%7Bword%7D"


def programs():
    """The folder of PostgreSQL's programs; skips the test if there is none."""
    on_path = shutil.which("postgres")
    folders = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in reversed(folders):
        if (folder / "initdb").exists():
            return folder
    pytest.skip("no PostgreSQL: apt-get install postgresql")


class PostgreSQL:
    """Use as a context manager. The server trusts nobody without the password, and forgets all in the end."""

    def __init__(self):
        self._bin = programs()
        # The server refuses to run as root.
        self._user = next(n for n in ("postgres", "nobody") if _exists(n)) if os.getuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        if self._user:
            shutil.chown(self._folder, self._user)
        self.port = _free_port()

    def __enter__(self):
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._call("initdb", "-U", "me", f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync", "-E", "UTF8",
                   "--locale=C")  # fmt: skip
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def url(self):
        return f"postgresql://me:{QUOTED}@127.0.0.1:{self.port}/postgres"

    @property
    def url_without_password(self):
        return f"postgresql://me@127.0.0.1:{self.port}/postgres"

    def start(self):
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=30"
        self._call("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self):
        """As a crash does: connections break, transactions are lost."""
        self._call("pg_ctl", "-w", "-m", "immediate", "stop")

    def _call(self, program, *arguments):
        data = str(self._folder / "data")
        subprocess.run([self._bin / program, "-D", data, *arguments], check=True, user=self._user, cwd=self._folder,
                       stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=300)  # fmt: skip


def _free_port():
    """Below those the system gives to connections, one of which could take it while the server is stopped."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), contextlib.closing(socket.socket()) as free:
            free.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port among a hundred")


def _exists(user):
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(user))
    return False
