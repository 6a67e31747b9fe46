"""Addresses of the page *Models*."""

import re
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from steepest.formulas.app import symbols
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
)
from steepest.formulas.app.desk import Desk
from steepest.formulas.recognition import Recognizer, test_recognizer
from steepest.formulas.sets import SymbolSet

_MOST = 20  # models compared at once


def model_routes(desk: Desk) -> list[Route]:
    """The routes."""
    models = desk.models

    async def every(request: Request) -> Response:
        return await answered(_list, desk)

    async def bring(request: Request) -> Response:
        name = take_name({"name": request.query_params.get("name", "")})
        return await answered(_bring, desk, name, await request.body())

    async def rename(request: Request) -> Response:
        name = take_name(await read_json(request))
        return await answered(_done, models.rename, path_id(request), name)

    async def remove(request: Request) -> Response:
        return await answered(_done, models.remove, path_id(request))

    async def use(request: Request) -> Response:
        anyway = take(await read_json(request), "anyway", bool, default=False)
        return await answered(_done, models.use, path_id(request), anyway)

    async def roll_back(request: Request) -> Response:
        return await answered(lambda: {"in_use": models.roll_back()})

    async def file(request: Request) -> Response:
        return await answered(_file, desk, path_id(request))

    async def compare(request: Request) -> Response:
        return await answered(_compare, desk, await read_json(request))

    one = "/api/models/{id:int}"
    return [
        Route("/api/models", every),
        Route("/api/models", bring, methods=["POST"], max_body_size=FILE_LIMIT),
        Route("/api/models/back", roll_back, methods=["POST"], max_body_size=JSON_LIMIT),
        Route("/api/models/compare", compare, methods=["POST"], max_body_size=JSON_LIMIT),
        Route(one, rename, methods=["PATCH"], max_body_size=JSON_LIMIT),
        Route(one, remove, methods=["DELETE"], max_body_size=JSON_LIMIT),
        Route(f"{one}/use", use, methods=["POST"], max_body_size=JSON_LIMIT),
        Route(f"{one}/file", file),
    ]


def _done(work: Any, *args: Any) -> dict[str, Any]:
    work(*args)
    return {}


def _list(desk: Desk) -> dict[str, Any]:
    desk.trainings.collect()
    return desk.models.list()


def _bring(desk: Desk, name: str, content: bytes) -> dict[str, Any]:
    return {"id": desk.models.add(content, re.sub(r"\.safetensors$", "", name), {"brought": True})}


def _file(desk: Desk, model_id: int) -> Response:
    name = re.sub(r"[^a-z0-9]+", "-", desk.models.find(model_id)["name"].lower()).strip("-") or "model"
    headers = {"content-disposition": f'attachment; filename="{name}.safetensors"'}
    content = desk.models.path(model_id).read_bytes()
    return Response(content, media_type="application/octet-stream", headers=headers)


def _compare(desk: Desk, found: dict[str, Any]) -> dict[str, Any]:
    """Try models on the same set."""
    chosen, set_id = take_ids(found, "models", _MOST), take(found, "set", int)
    _, images, labels = symbols.load_samples(desk.database, set_id)
    if not labels:
        raise RefusedError(422, "the set is empty")
    compared = []
    with desk.heavy:
        for model_id in dict.fromkeys(chosen):
            recognizer = Recognizer.load(desk.models.path(model_id))
            tested = test_recognizer(recognizer, SymbolSet(np.ascontiguousarray(images), labels))
            worst = [[pair.said, pair.was, pair.count] for pair in tested.confusions[:5]]
            compared.append(
                {
                    "id": model_id,
                    "accuracy": tested.accuracy,
                    "balanced_accuracy": tested.balanced_accuracy,
                    "confusions": worst,
                }
            )
    return {"symbols": len(labels), "models": compared}
