"""Addresses of the page *Read*."""

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steepest.formulas.app import reader
from steepest.formulas.app.answers import JSON_LIMIT, RefusedError, answered, path_id, read_json, take, take_ids
from steepest.formulas.app.desk import Desk
from steepest.formulas.app.drawing import check_strokes, draw_page
from steepest.formulas.app.sheets import Lines, Sheet, shrink
from steepest.formulas.app.showing import SUFFIX, show_sheet, write_text
from steepest.formulas.app.symbols import Sample, add_samples
from steepest.formulas.image import open_image
from steepest.formulas.image.opening import LARGEST_FILE
from steepest.formulas.logic.labels import LABELS, MEANINGS

_PLAIN = {"grammar": True, "words": False}
_CHARACTERS = [sign for label in LABELS for sign, share in MEANINGS[label].items() if share > 0.5]


def reading_routes(desk: Desk) -> list[Route]:
    """The routes."""

    async def draw(request: Request) -> Response:
        found = await read_json(request)
        return await answered(_draw, desk, found)

    async def bring(request: Request) -> Response:
        return await answered(_bring, desk, await request.body())

    async def show(request: Request) -> Response:
        return await answered(_show, desk, path_id(request))

    async def picture(request: Request) -> Response:
        return await answered(_picture, desk, path_id(request))

    async def text(request: Request) -> Response:
        return await answered(_text, desk, path_id(request), request.query_params.get("to", "unicode"))

    async def change(request: Request) -> Response:
        found = await read_json(request)
        return await answered(_change, desk, path_id(request), request.path_params["way"], found)

    async def signs(request: Request) -> Response:
        return await answered(lambda: {"labels": LABELS, "characters": _CHARACTERS})

    return [
        Route("/api/signs", signs),
        Route("/api/sheets/drawn", draw, methods=["POST"], max_body_size=JSON_LIMIT),
        Route("/api/sheets/picture", bring, methods=["POST"], max_body_size=LARGEST_FILE),
        Route("/api/sheets/{id:int}", show),
        Route("/api/sheets/{id:int}/picture", picture),
        Route("/api/sheets/{id:int}/text", text),
        Route("/api/sheets/{id:int}/{way:str}", change, methods=["POST"], max_body_size=JSON_LIMIT),
    ]


def _draw(desk: Desk, found: dict[str, Any]) -> dict[str, Any]:
    strokes, number = check_strokes(found.get("strokes")), take(found, "sheet", int, default=None)
    page = draw_page(strokes)
    with desk.heavy:
        if number is None:
            lines = desk.reader.read(page.image, _PLAIN)
            return _show(desk, desk.sheets.add(lines, _PLAIN, page.image, strokes))
        before = desk.sheets.load(number)
        lines = desk.reader.read(page.image, before.options)
        kept = reader.keep_corrections(before, lines, replace(before, strokes=strokes))
        desk.sheets.redraw(number, kept, strokes)
    return _show(desk, number)


def _bring(desk: Desk, content: bytes) -> dict[str, Any]:
    with desk.heavy:
        image = shrink(open_image(content))
        return _show(desk, desk.sheets.add(desk.reader.read(image, _PLAIN), _PLAIN, image, None))


def _show(desk: Desk, number: int) -> dict[str, Any]:
    return show_sheet(desk.sheets.load(number))


def _picture(desk: Desk, number: int) -> Response:
    content = desk.sheets.picture(number)
    return Response(content, media_type="image/png" if content.startswith(b"\x89PNG") else "image/jpeg")


def _text(desk: Desk, number: int, to: str) -> Response:
    if to not in SUFFIX:
        raise RefusedError(400, f"to must be one of {', '.join(SUFFIX)}, got {to[:20]!r}")
    text = write_text(desk.sheets.load(number), to)
    name = f'attachment; filename="formulas-{number}.{SUFFIX[to]}"'
    return Response(text, media_type="text/plain; charset=utf-8", headers={"content-disposition": name})


def _change(desk: Desk, number: int, way: str, found: dict[str, Any]) -> dict[str, Any]:
    if way == "undo":
        desk.sheets.undo(number)
        return _show(desk, number)
    if way == "keep":
        return _keep(desk, desk.sheets.load(number), found)
    work = _WAYS.get(way)
    if work is None:
        raise RefusedError(404, "there is nothing at this address")
    revision = take(found, "revision", int)
    desk.sheets.change(number, revision, lambda sheet: work(desk, sheet, found))
    return _show(desk, number)


def _correct(desk: Desk, sheet: Sheet, found: dict[str, Any]) -> tuple[Lines, dict[str, bool]]:
    character = take(found, "character", (str, type(None)))
    return reader.correct(sheet.lines, *_place(found), character), sheet.options


def _remove(desk: Desk, sheet: Sheet, found: dict[str, Any]) -> tuple[Lines, dict[str, bool]]:
    return reader.remove(sheet.lines, *_place(found)), sheet.options


def _split(desk: Desk, sheet: Sheet, found: dict[str, Any]) -> tuple[Lines, dict[str, bool]]:
    return desk.reader.split(sheet, desk.sheets.image(sheet), *_place(found)), sheet.options


def _merge(desk: Desk, sheet: Sheet, found: dict[str, Any]) -> tuple[Lines, dict[str, bool]]:
    line, places = take(found, "line", int), take_ids(found, "places", 1000)
    return desk.reader.merge(sheet, desk.sheets.image(sheet), line, places), sheet.options


def _again(desk: Desk, sheet: Sheet, found: dict[str, Any]) -> tuple[Lines, dict[str, bool]]:
    return desk.reader.again(sheet.lines), sheet.options


def _set_options(desk: Desk, sheet: Sheet, found: dict[str, Any]) -> tuple[Lines, dict[str, bool]]:
    return sheet.lines, {name: take(found, name, bool, default=sheet.options[name]) for name in _PLAIN}


_WAYS = {
    "correct": _correct, "remove": _remove, "split": _split, "merge": _merge, "again": _again, "options": _set_options,
}  # fmt: skip


def _place(found: dict[str, Any]) -> tuple[int, int]:
    return take(found, "line", int), take(found, "place", int)


def _keep(desk: Desk, sheet: Sheet, found: dict[str, Any]) -> dict[str, Any]:
    """Add symbols of a sheet to a set: all, those that were corrected, or one."""
    which, set_id = take(found, "which", str), take(found, "set", int)
    if which not in ("all", "corrected", "one"):
        raise RefusedError(400, f"which must be all, corrected or one, got {which[:20]!r}")
    one = _place(found) if which == "one" else None
    if one:
        reader.find_symbol(sheet.lines, *one)
    samples = [
        Sample(symbol.choice.label, symbol.bitmap, source=f"sheet {sheet.number} at {','.join(map(str, symbol.box))}")
        for at, line in enumerate(sheet.read().lines)
        for place, symbol in enumerate(line.symbols)
        if symbol.choice and (which == "all" or (at, place) == one or (which == "corrected" and symbol.corrected))
    ]
    if not samples:
        raise RefusedError(422, "there is no corrected symbol on this sheet")
    return {"added": len(add_samples(desk.database, set_id, samples))}
