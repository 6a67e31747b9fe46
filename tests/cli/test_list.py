"""The studies below a folder."""

import json
import os
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from filelock import FileLock

from steepest.cli import run
from steepest.compare import Study
from steepest.compare.records.folder import LOCK, RECORDS
from tests.compare import TINY_FILE


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("list") / "one"
    Study(f"{TINY_FILE}:clouds", methods=["sgd", "adamw"], trials=2, seeds=2, jobs=1, out=out).run(progress=False)
    return out


@pytest.fixture
def below(finished, tmp_path, monkeypatch):
    """A folder with a study that is finished, one that is not, one that is damaged, and what is none."""
    for name in ("a", "deep/er/b", ".hidden/c", "broken"):
        shutil.copytree(finished, tmp_path / name)
    lines = (tmp_path / "deep/er/b" / RECORDS).read_text().splitlines(keepends=True)
    (tmp_path / "deep/er/b" / RECORDS).write_text("".join(lines[:5]))
    (tmp_path / "deep/er/b" / "study.db").unlink()
    (tmp_path / "broken" / "spec.json").write_text("{")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "spec.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(capsys, *words):
    assert run(["list", *words, "--json"]) == 0
    return {study["name"]: study for study in json.loads(capsys.readouterr().out)}


def test_studies_are_listed_with_what_is_done_and_their_state(below, capsys):
    found = listed(capsys)
    assert list(found) == ["a", "broken", "deep/er/b"]
    assert (found["a"]["done"], found["a"]["planned"], found["a"]["state"]) == (8, 8, "finished")
    b = found["deep/er/b"]
    assert (b["done"], b["planned"], b["state"]) == (5, 8, "can be resumed")
    assert (b["workloads"], b["methods"]) == (["clouds"], ["sgd", "adamw"])
    assert datetime.fromisoformat(b["last"]).year >= 2024
    assert found["broken"]["state"] == "cannot be read"
    assert found["broken"]["problem"].startswith("'broken/spec.json' is not a study's spec that steepest ")
    assert list(listed(capsys, "deep")) == ["er/b"]
    assert list(listed(capsys, "a")) == ["a"]


def test_the_table_is_aligned_and_a_line_each(below, capsys):
    assert run(["list"]) == 0
    table, problem = capsys.readouterr().out.split("\n\n")
    head, *lines = table.splitlines()
    assert problem.startswith("'broken/spec.json' is not a study's spec")
    assert [line.split()[0] for line in lines] == ["a", "broken", "deep/er/b"]
    assert lines[0][head.index("workloads") :].startswith("clouds ")
    assert lines[2][head.index("methods") :].startswith("sgd, adamw ")
    assert lines[2][: head.index("runs") + 4].endswith("5 of 8")
    assert lines[0].rstrip().endswith("finished")


def test_a_study_that_is_being_run_says_so_and_is_left_alone(below, capsys):
    before = {path: path.stat().st_mtime_ns for path in below.rglob("*") if path.is_file()}
    lock = FileLock(below / "deep/er/b" / LOCK)
    with lock:
        assert listed(capsys)["deep/er/b"]["state"] == "being run"
    assert listed(capsys)["deep/er/b"]["state"] == "can be resumed"
    with FileLock(below / "deep/er/b" / LOCK, timeout=0):  # and was not taken
        pass
    after = {path: path.stat().st_mtime_ns for path in below.rglob("*") if path.is_file() and path.name != LOCK}
    assert after == {path: at for path, at in before.items() if path.name != LOCK}


def test_nothing_to_list_and_no_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["list"]) == 0
    assert capsys.readouterr().out == "There is no study in ..\n"
    assert listed(capsys) == {}
    assert run(["list", "nope"]) == 2
    assert capsys.readouterr().err == "error: DIR must be an existing folder, got 'nope'.\n"


def test_a_link_in_a_circle_is_not_followed(below, capsys):
    os.symlink(below, below / "deep" / "again")
    assert list(listed(capsys)) == ["a", "broken", "deep/er/b"]
    assert Path("deep/again").is_dir()
