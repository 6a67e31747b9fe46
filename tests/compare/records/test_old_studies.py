"""Folders that commit 3254bd2 wrote, with specs of format 2, as text: they open, report and go on."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from steepest._errors import InputError
from steepest.compare import Study
from steepest.compare.policy.finished import finished_records
from steepest.compare.records.lines import record_of_json
from steepest.compare.spec import StudySpec

OLD = Path(__file__).with_name("old_studies")
STUDIES = {
    "finished": (f"{OLD}/own.py:clouds", {"methods": ["sgd", f"{OLD}/own.py:own"], "trials": 3}),
    "half": ("digits-mlp", {"methods": ["sgd", "csgd+ssgd+sngm"], "trials": 3, "epochs": 2}),  # kill -9 in its search
    "pruned": (f"{OLD}/own.py:clouds", {"methods": ["sgd", f"{OLD}/own.py:own"], "trials": 8, "pruner": "median"}),
}


def restored(name, folder):
    """The folder as it was left."""
    shutil.copytree(OLD / name, folder)
    with sqlite3.connect(folder / "study.db") as database:
        database.executescript((folder / "study.sql").read_text())
    (folder / "study.sql").unlink()
    workloads, options = STUDIES[name]
    return Study(workloads, **options, seeds=2, jobs=1, device="cpu", out=folder)


def results(lines):
    """What does not differ between two runs of the same thing."""
    records = (record_of_json(line).to_dict() for line in lines.splitlines())
    left_out = ("started", "finished", "seconds", "torch", "device")
    return {
        (r["method"], r["phase"], r["trial"]): {key: value for key, value in r.items() if key not in left_out}
        for r in records
    }


def close(found, expected):
    """Other processors round otherwise."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return found == (pytest.approx(expected, rel=1e-3) if isinstance(expected, float) else expected)


def test_a_finished_study_opens_reports_and_needs_no_run(tmp_path):
    study = restored("finished", tmp_path / "old")
    before = (tmp_path / "old" / "trials.jsonl").read_text()
    table = study.table()
    assert study.run(progress=False)
    assert results((tmp_path / "old" / "trials.jsonl").read_text()) == results(before)
    assert study.table().equals(table)
    assert "89.17" in (study.report().with_suffix(".md")).read_text()


@pytest.mark.parametrize("name", ["half", "pruned"])
def test_a_study_that_was_interrupted_goes_on_to_what_it_would_have_been(name, tmp_path):
    assert restored(name, tmp_path / "old").run(progress=False)
    found = results((tmp_path / "old" / "trials.jsonl").read_text())
    assert close(found, results((OLD / name / "in_one_go.jsonl").read_text()))


def test_the_points_and_the_digests_are_frozen_when_the_folder_is_opened(tmp_path):
    study = restored("finished", tmp_path / "old")
    assert StudySpec.from_json((tmp_path / "old" / "spec.json").read_text()).methods[1].points == ()
    assert study.run(progress=False)
    text = (tmp_path / "old" / "spec.json").read_text()
    spec = StudySpec.from_json(text)
    tuned = {(r.method, r.trial): r.hyperparameters for r in finished_records(tmp_path / "old")[1] if r.phase == "tune"}
    assert json.loads(text)["format"] == 6
    assert spec.is_whole
    assert {(m.name, i): point for m in spec.methods for i, point in enumerate(m.points)} == tuned


def test_runs_at_other_points_than_the_spec_has_are_not_mixed_with_them(tmp_path):
    study = restored("finished", tmp_path / "old")
    path = tmp_path / "old" / "trials.jsonl"
    path.write_text(path.read_text().replace('"lr": 0.06271412100983031', '"lr": 0.05'))
    spec = (tmp_path / "old" / "spec.json").read_text()
    with pytest.raises(
        InputError, match=r"run 1 of sgd on clouds tried {'lr': 0.05}, and the study's spec has {'lr': 0.06"
    ):
        study.run(progress=False)
    assert (tmp_path / "old" / "spec.json").read_text() == spec
