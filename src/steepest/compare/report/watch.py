"""A study's page while it runs: served on this machine, renewed when there are new records. Nothing is written."""

import contextlib
import hashlib
import ipaddress
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import plotly
import plotly.offline

from steepest._errors import InputError, StudyError, argument
from steepest.compare.analysis.summary import Summary, summarize_study
from steepest.compare.policy.finished import finished_records
from steepest.compare.records.folder import invocations
from steepest.compare.report.page import render_html

REREAD_SECONDS = 1.0
_SHARE = 0.1  # of the time, at most, goes into reading and drawing: the study needs the machine


def serve(
    folder: Path, port: int = 0, host: str = "127.0.0.1", *, ready: Callable[[str], None] = lambda address: None
) -> None:
    """Serve a study's report until interrupted.

    Args:
        port: 0 for any that is free.
        host: the default is reached from this machine only. On another address everybody who reaches it can read the
            page.
        ready: called with the page's address once it is served.

    Raises:
        InputError: the folder holds no study, or the address cannot be used.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"{argument('port')} must be from 0 to 65535, got {port}")
    watched = Watched(folder)
    watched.page()  # so that a folder without a study is refused before anything is served
    try:
        server = Server((host, port), partial(Handler, watched, host))
    except OSError as error:
        raise InputError(
            f"cannot serve on {host}:{port} ({error.strerror}); choose another {argument('port')} or {argument('host')}"
        ) from error
    with server:
        ready(f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


class Server(ThreadingHTTPServer):
    """A thread for every request, on an IPv4 or IPv6 address."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader who leaves in the middle of a page is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Watched:
    """A study's folder and the newest page made of it; reads again at most every second, whoever asks, and less often
    where that takes long."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._read_again = -float("inf")
        self._version = ""
        self._page = b""

    def page(self) -> tuple[str, bytes]:
        """The page and its version, which changes with the records.

        Raises:
            InputError, StudyError: the folder holds no study, or cannot be read.
        """
        with self._lock:
            started = time.monotonic()
            if started >= self._read_again:
                summaries = read(self._folder)
                version = version_of(summaries)
                if version != self._version:
                    page = render_html(summaries, invocations(self._folder), live=version)
                    self._version, self._page = version, page.encode()
                ended = time.monotonic()
                self._read_again = ended + max(REREAD_SECONDS, (ended - started) / _SHARE)
            return self._version, self._page


def read(folder: Path) -> list[Summary]:
    """A study's comparisons as its records have them now."""
    return summarize_study(*finished_records(folder))


def version_of(summaries: list[Summary]) -> str:
    """An HTTP entity tag that is another one whenever a run has ended."""
    keys = [
        sorted([*r.key, r.finished] for row in s.rows for r in [*row.runs_of_search, *row.finals]) for s in summaries
    ]
    return f'"{hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16]}"'


class Handler(BaseHTTPRequestHandler):
    """Answers ``/`` with the page and ``/plotly.js`` with its figures' script."""

    server_version = "steepest"
    sys_version = ""

    def __init__(self, watched: Watched, host: str, *arguments: object) -> None:
        self._watched = watched
        self._host = host
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not known_host(self.headers.get("Host", ""), self._host):
            self._answer(HTTPStatus.FORBIDDEN, "This page is asked for by its address.")
        elif path == "/":
            try:
                version, page = self._watched.page()
            except (InputError, StudyError) as error:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
            else:
                self._send(page, "text/html; charset=utf-8", version, "no-cache")
        elif path == "/plotly.js":
            script = plotly.offline.get_plotlyjs().encode()
            self._send(script, "text/javascript; charset=utf-8", f'"{plotly.__version__}"', "max-age=3600")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "There is no such page.")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def _send(self, body: bytes, kind: str, tag: str, cache: str) -> None:
        """Send the body, or only that it is still the same."""
        same = self.headers.get("If-None-Match") == tag
        self._respond(HTTPStatus.NOT_MODIFIED if same else HTTPStatus.OK, b"" if same else body, kind, tag, cache)

    def _answer(self, status: HTTPStatus, sentence: str) -> None:
        self._respond(status, sentence.encode(), "text/plain; charset=utf-8", "", "no-store")

    def _respond(self, status: HTTPStatus, body: bytes, kind: str, tag: str, cache: str) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Cache-Control": cache, "X-Content-Type-Options": "nosniff"}
        for name, value in {**headers, **({"ETag": tag} if tag else {})}.items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing: the terminal is the user's."""


def known_host(header: str, host: str) -> bool:
    """Whether a Host header is an address, this machine's name or the one served on.

    A foreign name is that of a web page elsewhere which had its name point here, to read what is served to this
    machine alone (DNS rebinding).

    Example:
        >>> [known_host(h, "127.0.0.1") for h in ("127.0.0.1:8000", "localhost", "[::1]:80", "evil.example:8000", "")]
        [True, True, True, False, False]
    """
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if name in ("localhost", host):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
