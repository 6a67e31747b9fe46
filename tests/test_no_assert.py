"""`python -O` strips assert statements: what ships may hold none."""

import ast

import pytest

from tests.markdown import ROOT

SOURCES = sorted((ROOT / "src" / "steepest").rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_ships_relies_on_an_assert(source):
    tree = ast.parse(source.read_text(encoding="utf-8"))
    found = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert found == [], f"raise instead, or typing.cast: lines {found} of {source}"
