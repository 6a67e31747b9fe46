"""Addresses of the page *Train*."""

from dataclasses import fields
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steepest._errors import InputError
from steepest.formulas.app import symbols, user_sets
from steepest.formulas.app.answers import JSON_LIMIT, RefusedError, answered, read_json, take, take_ids, take_name
from steepest.formulas.app.choices import MADE, list_choices, made_symbols, method_names
from steepest.formulas.app.desk import Desk
from steepest.formulas.recognition import Settings
from steepest.formulas.sets import SymbolSet, read_set

_SETTINGS: dict[str, Any] = {
    "network": str, "method": str, "lr": (float, int, type(None)), "epochs": (int, type(None)), "batch_size": int,
    "seed": int, "distort": bool, "fragments": (float, int), "hidden": int, "activation": str, "schedule": str,
}  # fmt: skip
_LONGEST = 10_000  # epochs


def training_routes(desk: Desk) -> list[Route]:
    """The routes."""
    trainings = desk.trainings

    async def choices(request: Request) -> Response:
        return await answered(list_choices)

    async def every(request: Request) -> Response:
        return await answered(lambda: {"trainings": trainings.list()})

    async def start(request: Request) -> Response:
        return await answered(_start, desk, await read_json(request))

    async def show(request: Request) -> Response:
        after = request.query_params.get("after", "0")
        number = int(after) if after.isdecimal() and len(after) < 10 else 0
        return await answered(trainings.show, request.path_params["name"], number)

    async def examples(request: Request) -> Response:
        return await answered(_examples, desk, request.path_params["name"])

    async def change(request: Request) -> Response:
        return await answered(_change, desk, request.path_params["name"], request.path_params["way"])

    async def remove(request: Request) -> Response:
        return await answered(_remove, desk, request.path_params["name"])

    one = "/api/trainings/{name:str}"
    return [
        Route("/api/choices", choices),
        Route("/api/trainings", every),
        Route("/api/trainings", start, methods=["POST"], max_body_size=JSON_LIMIT),
        Route(one, show),
        Route(one, remove, methods=["DELETE"], max_body_size=JSON_LIMIT),
        Route(f"{one}/examples", examples),
        Route(f"{one}/{{way:str}}", change, methods=["POST"], max_body_size=JSON_LIMIT),
    ]


def _start(desk: Desk, found: dict[str, Any]) -> dict[str, Any]:
    name, chosen = take_name(found), take_ids(found, "sets", 100)
    settings = _settings(take(found, "settings", dict))
    known = {entry["id"]: entry["name"] for entry in user_sets.list_sets(desk.database)}
    chosen = sorted(set(chosen))  # what is shipped comes first
    parts = [_symbols(desk, set_id) for set_id in chosen]
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    if len(whole) < 2:
        raise RefusedError(422, f"the sets must have at least 2 symbols, and have {len(whole)}")
    request = {
        "name": name,
        "settings": {key: getattr(settings, key) for key in _SETTINGS},
        "epochs": settings.passes,
        "sets": [MADE if set_id == 0 else known[set_id] for set_id in chosen],
        "symbols": len(whole),
        "shipped": len(parts[0]) if chosen[0] == 0 else 0,
    }
    return {"training": desk.trainings.start(whole, request)}


def _symbols(desk: Desk, set_id: int) -> SymbolSet:
    if set_id == 0:
        return made_symbols()
    _, images, labels = symbols.load_samples(desk.database, set_id)
    return SymbolSet(np.ascontiguousarray(images), labels)


def _settings(found: dict[str, Any]) -> Settings:
    known = {field.name for field in fields(Settings)} & set(_SETTINGS)
    if other := sorted(set(found) - known):
        raise RefusedError(400, f"settings must be of {', '.join(sorted(known))}, got {other[0][:40]!r}")
    values = {name: take(found, name, _SETTINGS[name]) for name in found}
    if values.get("method", "adam") not in method_names():  # no path of a user's code is one
        raise RefusedError(422, f"method must be one of {', '.join(method_names())}, got {values['method'][:40]!r}")
    try:
        settings = Settings(**values)
        settings.find_method()
    except (InputError, ValueError) as error:
        raise RefusedError(422, str(error)) from None
    if settings.passes > _LONGEST:
        raise RefusedError(422, f"epochs must be at most {_LONGEST}, got {settings.passes}")
    return settings


def _examples(desk: Desk, name: str) -> dict[str, Any]:
    """Find the pictures of the worst confusions."""
    result = desk.trainings.show(name)["result"]
    if result is None:
        raise RefusedError(409, "the training has no result yet")
    images = read_set(desk.trainings.symbols_path(name)).images
    return {
        "confusions": [
            {**pair, "bitmaps": [symbols.pack(images[k]).hex() for k in pair["examples"]]}
            for pair in result["confusions"][:20]
        ]
    }


def _change(desk: Desk, name: str, way: str) -> dict[str, Any]:
    if way == "cancel":
        desk.trainings.cancel(name)
    elif way == "resume":
        desk.trainings.resume(name)
    else:
        raise RefusedError(404, "there is nothing at this address")
    return {}


def _remove(desk: Desk, name: str) -> dict[str, Any]:
    desk.trainings.remove(name)
    return {}
