"""Pages that were made, as files."""

import json
from pathlib import Path

import cv2

from steepest._files import write_atomically
from steepest.formulas.image.making import Made


def write_page(path: Path, made: Made) -> None:
    """Write a page as ``PATH.png``, and what is on it as ``PATH.json``.

    ::

        {"lines": [[{"label": "∀", "box": [x, y, width, height]}, ...], ...], "broken": 2, "touching": 1}
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [[{"label": one.label, "box": [int(v) for v in one.box]} for one in line] for line in made.lines]
    told = {"lines": lines, "broken": made.broken, "touching": made.touching}
    write_atomically(path.with_name(f"{path.name}.png"), cv2.imencode(".png", made.image)[1].tobytes())
    write_atomically(path.with_name(f"{path.name}.json"), json.dumps(told, ensure_ascii=False))
