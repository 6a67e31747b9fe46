"""Who may ask: this page, by this machine's name, and no other page that the browser shows."""

import ipaddress
import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "::1")
_EVERYWHERE = ("0.0.0.0", "::", "")
TOO_LARGE = "the body is larger than this address takes"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Let through what a page of this server asks under one of its names, and say in headers what its pages may do.

    A foreign ``Host`` is what a page has whose name was bound to this address after it was loaded; a foreign ``Origin``
    is a page that asks from elsewhere.

    Args:
        host: the address that is listened to; of all addresses, any that is a number may be asked for.
        names: more names that this server has.
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", names: Iterable[str] = ()) -> None:
        self.app = app
        self.names = {name.lower() for name in (*LOCAL, host, *names) if name not in _EVERYWHERE}
        self.numbers = host in _EVERYWHERE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 403 and a sentence, or pass on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refuse(Headers(scope=scope))
        if refused is None:
            await self.app(scope, receive, _with_sentence(send_guarded))
        else:
            await _send_sentence(send_guarded, 403, refused)

    def _refuse(self, headers: Headers) -> str | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return "the host of the request is not this server; a name is allowed with `--allow-host`"
        if any(urlsplit(origin).netloc.lower() != hosts[0].lower() or ":" not in origin for origin in origins):
            return "the request comes from a page of another origin, which may ask for nothing here"
        followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not (followed and not origins):
            return "the request comes from a page of another site, which may ask for nothing here"
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self.names or (self.numbers and _is_number(name))


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_sentence(send: Send) -> Send:
    """Put a sentence in the place of Starlette's two words about a body that is too large."""
    replaced = False

    async def send_sentence(message: Message) -> None:
        nonlocal replaced
        if message["type"] == "http.response.start" and message["status"] == 413:
            replaced = True
            await _send_sentence(send, 413, TOO_LARGE)
        elif not replaced:
            await send(message)

    return send_sentence


async def _send_sentence(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
