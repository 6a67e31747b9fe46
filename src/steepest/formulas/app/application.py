"""The application: its addresses, and what stands before them."""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steepest.formulas.app.answers import ANSWERS, RefusedError
from steepest.formulas.app.desk import Desk
from steepest.formulas.app.model_routes import model_routes
from steepest.formulas.app.models import DEFAULT
from steepest.formulas.app.places import find_data_folder
from steepest.formulas.app.reading_routes import reading_routes
from steepest.formulas.app.security import Guard
from steepest.formulas.app.symbol_routes import symbol_routes
from steepest.formulas.app.training_routes import training_routes

PAGES = ("/", "/symbols", "/train", "/models")
_KINDS = {"js": "text/javascript", "css": "text/css", "html": "text/html"}


def make_app(
    data_folder: Path | str | None = None,
    *,
    host: str = "127.0.0.1",
    allow_hosts: Iterable[str] = (),
    default_model: Path = DEFAULT,
) -> Starlette:
    """The application on a data folder.

    Args:
        data_folder: by default as :func:`find_data_folder` finds it.
        host: the address that it is served at.
        allow_hosts: more names by which browsers may ask for it.
        default_model: that reads until another is used.

    Raises:
        InputError: the folder or its database cannot be used.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     app = make_app(folder)
        >>> sorted(path.path for path in app.routes if path.path in PAGES)
        ['/', '/models', '/symbols', '/train']
    """
    desk = Desk(find_data_folder(data_folder), default_model)
    shown = {f"/static/{name}": (content, kind) for name, content, kind in _list_static()}
    page = shown["/static/page.html"][0]

    async def show_page(request: Request) -> Response:
        return Response(page, media_type="text/html; charset=utf-8")

    async def show_static(request: Request) -> Response:
        if request.url.path not in shown:
            raise RefusedError(404, "there is nothing at this address")
        content, kind = shown[request.url.path]
        return Response(content, media_type=f"{kind}; charset=utf-8")

    routes = [
        *(Route(path, show_page) for path in PAGES),
        Route("/static/{name:str}", show_static),
        *reading_routes(desk),
        *symbol_routes(desk),
        *training_routes(desk),
        *model_routes(desk),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, host=host, names=tuple(allow_hosts))],
        exception_handlers=ANSWERS,
    )


def _list_static() -> list[tuple[str, bytes, str]]:
    """Read the files of the pages; they are few and small, and no request's path reaches the disk."""
    own = files("steepest.formulas.app") / "static"
    found = [(path.name, path.read_bytes()) for path in own.iterdir() if path.name.rpartition(".")[2] in _KINDS]
    found.append(("look.css", (files("steepest.page") / "templates" / "page.css").read_bytes()))
    return [(name, content, _KINDS[name.rpartition(".")[2]]) for name, content in found]
