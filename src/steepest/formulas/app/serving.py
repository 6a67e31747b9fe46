"""The server: one process, one address, and nothing to do while nobody asks."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

import uvicorn

from steepest._errors import InputError, argument
from steepest.formulas.app.application import make_app
from steepest.formulas.app.models import DEFAULT
from steepest.formulas.app.places import find_data_folder
from steepest.formulas.app.security import LOCAL


def serve(
    host: str = "127.0.0.1",
    port: int = 8000,
    data_folder: Path | str | None = None,
    *,
    allow_hosts: Iterable[str] = (),
    default_model: Path = DEFAULT,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the application until it is interrupted.

    Args:
        host: the address to listen to. Nobody is asked for a password: at another than this machine's own, whoever
            reaches it reads and changes everything.
        port: 0 takes a free one.
        data_folder: where sets, sheets and models are kept; by default ``STEEPEST_FORMULAS``, or in the user's folder
            for data.
        allow_hosts: more names by which browsers reach this machine.
        default_model: that reads until another is used.
        tell: gets a line of text: the address, once it answers.

    Raises:
        InputError: the address cannot be listened to, or the folder not written.
    """
    folder = find_data_folder(data_folder)
    taken = _take_address(host, port)
    app = make_app(folder, host=host, allow_hosts=allow_hosts, default_model=default_model)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{taken.getsockname()[1]}"
    if host not in LOCAL:
        tell(f"{host} is no address of this machine alone: whoever reaches it can read and change what is in {folder}")
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=3,
        limit_concurrency=64,
    )
    try:
        QuietServer(config, lambda: tell(f"{address} answers; data in {folder}; Ctrl-C ends it")).run([taken])
    except KeyboardInterrupt:
        return


class QuietServer(uvicorn.Server):
    """uvicorn's, without the clock that wakes it ten times a second: it waits for its end.

    Args:
        ready: called when it answers.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._end: Callable[[], object] | None = None

    async def main_loop(self) -> None:
        """Wait until a signal comes."""
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        self._end = lambda: loop.call_soon_threadsafe(ended.set)
        await self.on_tick(0)  # sets the headers of every answer
        self._ready()
        if not self.should_exit:
            await ended.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End as uvicorn does, at once."""
        super().handle_exit(sig, frame)
        if self._end is not None:
            self._end()


def _take_address(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise InputError(f"{argument('port')} must be from 0 to 65535, got {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        taken = socket.socket(family)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
        taken.listen(128)
    except OSError as error:
        raise InputError(f"{host} cannot be listened to at port {port}: {error.strerror or error}") from error
    return taken
