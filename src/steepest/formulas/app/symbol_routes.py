"""Addresses of the page *Symbols*."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steepest.formulas.app import symbols, user_sets
from steepest.formulas.app.answers import (
    FILE_LIMIT,
    JSON_LIMIT,
    RefusedError,
    answered,
    path_id,
    read_json,
    take,
    take_ids,
    take_name,
)  # fmt: skip
from steepest.formulas.app.desk import Desk
from steepest.formulas.app.drawing import check_strokes, draw_symbol, write_strokes
from steepest.formulas.app.exchange import EXPORTS, export_set, import_set
from steepest.formulas.app.outliers import find_outliers
from steepest.formulas.app.symbols import Sample


def symbol_routes(desk: Desk) -> list[Route]:
    """The routes."""
    database = desk.database

    async def sets(request: Request) -> Response:
        return await answered(lambda: {"sets": user_sets.list_sets(database)})

    async def make(request: Request) -> Response:
        name = take_name(await read_json(request))
        return await answered(lambda: {"id": user_sets.make_set(database, name)})

    async def show(request: Request) -> Response:
        return await answered(user_sets.show_set, database, path_id(request))

    async def rename(request: Request) -> Response:
        name = take_name(await read_json(request))
        return await answered(_done, user_sets.rename_set, database, path_id(request), name)

    async def remove(request: Request) -> Response:
        return await answered(_done, user_sets.remove_set, database, path_id(request))

    async def samples(request: Request) -> Response:
        label, after = request.query_params.get("label", ""), request.query_params.get("after", "0")
        number = int(after) if after.isdecimal() and len(after) < 19 else 0
        return await answered(symbols.list_samples, database, path_id(request), label, number)

    async def draw(request: Request) -> Response:
        return await answered(_draw, desk, path_id(request), await read_json(request))

    async def change(request: Request) -> Response:
        return await answered(_change, desk, request.path_params["way"], await read_json(request))

    async def outliers(request: Request) -> Response:
        return await answered(_outliers, desk, path_id(request))

    async def bring(request: Request) -> Response:
        name = request.query_params.get("name", "")
        return await answered(_import, desk, path_id(request), name, await request.body())

    async def export(request: Request) -> Response:
        return await answered(_export, desk, path_id(request), request.query_params.get("to", "zip"))

    one = "/api/sets/{id:int}"
    return [
        Route("/api/sets", sets),
        Route("/api/sets", make, methods=["POST"], max_body_size=JSON_LIMIT),
        Route(one, show),
        Route(one, rename, methods=["PATCH"], max_body_size=JSON_LIMIT),
        Route(one, remove, methods=["DELETE"], max_body_size=JSON_LIMIT),
        Route(f"{one}/samples", samples),
        Route(f"{one}/samples", draw, methods=["POST"], max_body_size=JSON_LIMIT),
        Route(f"{one}/outliers", outliers),
        Route(f"{one}/import", bring, methods=["POST"], max_body_size=FILE_LIMIT),
        Route(f"{one}/export", export),
        Route("/api/samples/{way:str}", change, methods=["POST"], max_body_size=JSON_LIMIT),
    ]


def _done(work: Any, *args: Any) -> dict[str, Any]:
    work(*args)
    return {}


def _draw(desk: Desk, set_id: int, found: dict[str, Any]) -> dict[str, Any]:
    strokes, label = check_strokes(found.get("strokes")), take(found, "label", str)
    bitmap = draw_symbol(strokes)
    (number,) = symbols.add_samples(desk.database, set_id, [Sample(label, bitmap, write_strokes(strokes))])
    return {"id": number, "label": label, "bitmap": symbols.pack(bitmap).hex()}


def _change(desk: Desk, way: str, found: dict[str, Any]) -> dict[str, Any]:
    ids = take_ids(found, "ids")
    if way == "relabel":
        return {"changed": symbols.relabel(desk.database, ids, take(found, "label", str))}
    if way not in ("delete", "restore"):
        raise RefusedError(404, "there is nothing at this address")
    return {"changed": symbols.set_deleted(desk.database, ids, way == "delete")}


def _outliers(desk: Desk, set_id: int) -> dict[str, Any]:
    ids, images, labels = symbols.load_samples(desk.database, set_id)
    with desk.heavy:
        found = find_outliers(images, labels)
    return {
        "outliers": [
            {"id": ids[k], "label": labels[k], "like": like, "bitmap": symbols.pack(images[k]).hex()}
            for k, like in found
        ]
    }


def _import(desk: Desk, set_id: int, name: str, content: bytes) -> dict[str, Any]:
    with desk.heavy:
        samples = import_set(name, content)
    return {"added": len(symbols.add_samples(desk.database, set_id, samples))}


def _export(desk: Desk, set_id: int, to: str) -> Response:
    if to not in EXPORTS:
        raise RefusedError(400, f"to must be one of {', '.join(EXPORTS)}, got {to[:20]!r}")
    with desk.heavy:
        content = export_set(desk.database, set_id, to)
    headers = {"content-disposition": f'attachment; filename="symbols-{set_id}.{to}"'}
    return Response(content, media_type=EXPORTS[to], headers=headers)
