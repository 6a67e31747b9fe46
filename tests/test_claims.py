"""The studies of the claims: each can be run, is on their page, and is run by `make claims` or `make claims-all`."""

import importlib.util
import re
from pathlib import Path

import pytest

from steepest.compare import Study

ROOT = Path(__file__).parents[1]
STUDIES = sorted((ROOT / "studies").glob("*.toml"))
PAGE = (ROOT / "docs" / "claims.md").read_text()


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_is_read_and_says_how_it_is_run(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    Study.from_file(path)
    assert f"#   steepest compare studies/{path.name} --data-dir DIR\n" in path.read_text()


def test_the_page_names_every_study_and_no_other():
    assert set(re.findall(r"studies/([\w-]+)\.toml", PAGE)) - {"NAME"} == {path.stem for path in STUDIES}


def test_every_study_is_made_once():
    makefile = (ROOT / "Makefile").read_text()
    lists = re.findall(r"^(?:\w+_)?CLAIMS := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    made = [name for found in lists for name in found.replace("\\", "").split()]
    assert sorted(made) == sorted(path.stem for path in STUDIES)


def test_there_are_as_many_claims_as_were_promised_and_each_has_its_verdict():
    rows = re.findall(r"^\| (?!The paper|---).*$", PAGE.partition("\n## The same again\n")[0], re.MULTILINE)
    assert len(rows) >= 24
    verdicts = ("holds here", "not seen here", "opposite", "too small to tell", "not run yet", "all forget")
    for row in rows:
        assert any(verdict in row.split("|")[2] for verdict in verdicts), row


def test_the_pictures_rows_are_those_with_an_interval_and_each_difference_lies_in_its_own():
    spec = importlib.util.spec_from_file_location("claims_picture", ROOT / "docs" / "claims_picture.py")
    picture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(picture)
    rows = [row for those in picture.read_rows(PAGE).values() for row in those]
    assert len(rows) >= 15
    assert all(low <= value <= high for row in rows for value, low, high in row.differences)
    told = picture.on_page_markdown(PAGE)
    assert told.count("<s ") == sum(len(row.differences) for row in rows)
    assert all(row.claim in told for row in rows)
