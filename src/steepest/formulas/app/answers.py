"""Requests to values and values to answers: what is wrong with a request is a sentence, as JSON."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from steepest._errors import InputError
from steepest._files import reason_of
from steepest.formulas.app.security import HEADERS

JSON_LIMIT, FILE_LIMIT = 4 * 2**20, 64 * 2**20  # bytes of a body
_LOCKED = "the database is being written by another program; try again in a moment"


class RefusedError(InputError):
    """A request that cannot be answered: a status of HTTP and one sentence."""

    def __init__(self, status: int, sentence: str, **more: Any) -> None:
        super().__init__(sentence)
        self.status, self.more = status, more


async def read_json(request: Request) -> dict[str, Any]:
    """The body as an object.

    Raises:
        RefusedError: it is none.
    """
    try:
        found = json.loads(await request.body(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body must be JSON") from None
    if not isinstance(found, dict):
        raise RefusedError(400, f"the body must be an object, got {type(found).__name__}")
    return found


def take(found: dict[str, Any], name: str, kind: type | tuple[type, ...], *, default: Any = ...) -> Any:
    """One value of an object, of a kind; numbers are not taken for booleans nor the other way round.

    Raises:
        RefusedError: it is missing, or of another kind.

    Example:
        >>> take({"epochs": 3}, "epochs", int)
        3
    """
    if name not in found and default is not ...:
        return default
    value = found.get(name)
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise RefusedError(400, f"{name} must be {' or '.join(_NAMES[kind] for kind in kinds)}, got {_shown(value)}")
    return value


_NAMES = {
    type(None): "null",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
    bool: "true or false",
}


def take_ids(found: dict[str, Any], name: str, most: int = 20_000) -> list[int]:
    """A list of whole numbers, of some at least.

    Raises:
        RefusedError: it is none.
    """
    ids = take(found, name, list)
    if not ids or len(ids) > most or not all(isinstance(value, int) and not isinstance(value, bool) for value in ids):
        raise RefusedError(400, f"{name} must be from 1 to {most} whole numbers, got {_shown(ids)}")
    return [_within(value) for value in ids]


def take_name(found: dict[str, Any], name: str = "name") -> str:
    """A name that a user gives: one line of at most 80 signs.

    Raises:
        RefusedError: it is empty, longer, or has signs that cannot be seen.
    """
    text = " ".join(str(take(found, name, str)).split())
    if not text or len(text) > 80 or not text.isprintable():
        raise RefusedError(400, f"{name} must be 1 to 80 signs that can be seen, got {_shown(text)}")
    return text


def path_id(request: Request, name: str = "id") -> int:
    """The number in the address."""
    return _within(request.path_params[name])


def _within(value: int) -> int:
    if not -(2**63) <= value < 2**63:  # what SQLite holds
        raise RefusedError(404, f"there is no number {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


async def answered(work: Callable[..., Any], *args: Any) -> Response:
    """What ``work`` returns as JSON, computed in a thread; a response is handed on as it is."""
    found = await run_in_threadpool(work, *args)
    return found if isinstance(found, Response) else JSONResponse(found)


def _sentence(status: int, text: str, **more: Any) -> JSONResponse:
    return JSONResponse({"error": text, **more}, status_code=status)


async def answer_refused(_: Request, error: Exception) -> Response:
    """A request refused."""
    return _sentence(getattr(error, "status", 400), str(error), **getattr(error, "more", {}))


async def answer_input(_: Request, error: Exception) -> Response:
    """Bad input that a function of the library refused."""
    return _sentence(422, reason_of(error))


async def answer_http(_: Request, error: Exception) -> Response:
    """No such page, a body over the limit, and the like."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    texts = {
        404: "there is nothing at this address",
        405: "this address does not take requests of this method",
    }
    return _sentence(status, texts.get(status, "the request cannot be answered"))


async def answer_database(_: Request, error: Exception) -> Response:
    """A database that is locked, full, read-only or damaged."""
    locked = "locked" in str(error) or "busy" in str(error)
    return _sentence(503, _LOCKED if locked else f"the database cannot be used: {reason_of(error)}")


async def answer_files(_: Request, error: Exception) -> Response:
    """A disk that is full, a file that may not be read."""
    return _sentence(500, f"a file of the data folder cannot be used: {reason_of(error)}")


async def answer_anything(_: Request, error: Exception) -> Response:
    """A bug; the terminal has its traceback."""
    answer = _sentence(500, f"the server failed, which is a bug: {type(error).__name__}")
    answer.headers.update(HEADERS)  # which the guard sets of all others
    return answer


async def answer_nobody(_: Request, error: Exception) -> Response:
    """The browser is gone."""
    return Response(status_code=400)


ANSWERS: dict[Any, Any] = {
    RefusedError: answer_refused,
    InputError: answer_input,
    HTTPException: answer_http,
    sqlite3.Error: answer_database,
    OSError: answer_files,
    ClientDisconnect: answer_nobody,
    Exception: answer_anything,
}
