"""Every file of a study, damaged in every way: nothing that was computed is lost, or one sentence names the file."""

import errno
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from steepest import _files as damage_module
from steepest._errors import InputError, StudyError
from steepest.compare.policy.finished import finished_records
from steepest.compare.records import folder as study_folder
from steepest.compare.spec import StudySpec
from tests.compare.running.inline import run
from tests.compare.study.frozen import freeze

SPEC = StudySpec((freeze("digits-mlp", ["sgd", "sngm"], trials=4, seeds=2),))
RUNS = 12
FILES = ("spec.json", "trials.jsonl", "study.db", "study.db-journal", "study.db-wal", "invocations.jsonl", ".lock",
         "checkpoints", "report.html")  # fmt: skip


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_folder(path):
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "something").write_text("in it")


def one_bad_byte(path):
    content = path.read_bytes()
    path.write_bytes(content[:60] + b"\xff" + content[61:])


DAMAGES = {
    "cut": truncate,
    "emptied": lambda path: path.write_bytes(b""),
    "junk": lambda path: path.write_text("junk\n"),
    "other JSON": lambda path: path.write_text('[1, {"format": "x"}]\n{"a": NaN}\n'),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "no UTF-8": one_bad_byte,
    "a folder": as_folder,
    "deleted": lambda path: path.unlink(),
}


@pytest.fixture(autouse=True)
def _tells_anew(monkeypatch):
    monkeypatch.setattr(damage_module, "_told", set())


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """A finished study, and one that was interrupted after its fifth run."""
    found = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, until in (("finished", None), ("half", 5)):
            folder = tmp_path_factory.mktemp(name) / "study"
            _, records, _ = run(monkeypatch, SPEC, folder, until=until)
            (folder / "checkpoints").mkdir()
            found[name] = folder, records
    assert len(found["finished"][1]) == RUNS > len(found["half"][1])
    return found


@pytest.mark.parametrize(
    ("file", "how", "state"),
    [
        *((file, how, "half") for file in FILES for how in DAMAGES),
        *((file, how, "finished") for file in FILES[:3] for how in ("cut", "junk", "deleted")),
    ],
)
def test_a_damaged_file_costs_no_run(studies, file, how, state, tmp_path, monkeypatch):
    source, before = studies[state]
    folder = tmp_path / "study"
    shutil.copytree(source, folder)
    path = folder / file
    if not path.is_file():
        if file == "checkpoints":
            path.rmdir()
        path.write_bytes(b"something that is longer than sixty bytes, so that one of them can be put out of order")
    DAMAGES[how](path)
    if file == "spec.json":
        with pytest.raises(
            InputError, match=r"spec\.json' is .*; the command that ran the study rebuilds it: steepest"
        ):
            finished_records(folder)
    else:
        assert {record.key for record in finished_records(folder)[1]} == set(before)
    jobs, now, listener = run(monkeypatch, SPEC, folder)
    assert {key: now[key] for key in before} == before
    assert now == {**studies["finished"][1], **before}
    assert set(jobs) == set(now) - set(before)  # nothing again
    assert {record.key for record in listener.begun} == set(before)
    assert study_folder.load_spec(folder) == SPEC
    assert finished_records(folder)[1] == list(now.values())
    again, _, _ = run(monkeypatch, SPEC, folder)
    assert again == []


def test_junk_is_kept_and_told_of_once(studies, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "study"
    shutil.copytree(studies["finished"][0], folder)
    for name in ("study.db", "spec.json", "trials.jsonl", "invocations.jsonl"):
        (folder / name).write_text("junk\n")
        run(monkeypatch, SPEC, folder)
        assert (folder / f"{name}.damaged-1").read_text() == "junk\n"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 4
    for name, sentence in zip(("study.db", "spec.json", "trials.jsonl", "invocations.jsonl"), told, strict=True):
        assert f"{folder / name}" in sentence
        assert f"{name}.damaged-1" in sentence


def test_junk_among_the_records_is_told_and_the_others_count(studies, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "study"
    shutil.copytree(studies["finished"][0], folder)
    (folder / "study.db").unlink()
    lines = (folder / "trials.jsonl").read_text().splitlines(keepends=True)
    (folder / "trials.jsonl").write_text("".join([*lines[:3], "junk\n", *lines[4:]]) + lines[5][:40])
    assert len(finished_records(folder)[1]) == RUNS - 1
    assert "trials.jsonl has lines that are no runs (line 4)" in caplog.text
    jobs, now, _ = run(monkeypatch, SPEC, folder)
    assert len(jobs) == 1
    assert now == studies["finished"][1]
    assert "junk" in (folder / "trials.jsonl.damaged-1").read_text()


def test_a_line_cut_short_is_dropped_without_a_word(studies, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "study"
    shutil.copytree(studies["half"][0], folder)
    with open(folder / "trials.jsonl", "a") as file:
        file.write('{"workload": "digits-mlp", "meth')
    run(monkeypatch, SPEC, folder)
    assert caplog.text == ""


def test_records_of_a_newer_version_are_kept_and_written_again(studies, tmp_path, monkeypatch):
    folder = tmp_path / "study"
    shutil.copytree(studies["finished"][0], folder)
    (folder / "study.db").unlink()
    raw = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    (folder / "trials.jsonl").write_text("".join(json.dumps({**each, "energy": {"joule": 3}}) + "\n" for each in raw))
    jobs, now, _ = run(monkeypatch, SPEC, folder)
    assert jobs == []
    assert [r.to_dict()["energy"] for r in now.values()] == [{"joule": 3}] * RUNS
    assert all('"energy": {"joule": 3}' in line for line in (folder / "trials.jsonl").read_text().splitlines())


def test_records_of_an_older_version_and_numbers_that_json_does_not_know(studies, tmp_path, monkeypatch):
    folder = tmp_path / "study"
    shutil.copytree(studies["finished"][0], folder)
    (folder / "study.db").unlink()
    raw = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    for each in raw:
        del each["curve"]
        each |= {"sharpness": 2.0, "sharpness_note": None} if each["phase"] == "final" else {}
        each["seconds"] = float("inf")
        each["validation_loss"] = float("nan") if each["phase"] == "final" else each["validation_loss"]
    (folder / "trials.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [raw[0], *raw]))
    jobs, now, _ = run(monkeypatch, SPEC, folder)
    assert jobs == []
    assert len(now) == RUNS
    assert {r.seconds for r in now.values()} == {None}


def test_a_newer_versions_spec_is_refused_and_left_alone(studies, tmp_path, monkeypatch):
    folder = tmp_path / "study"
    shutil.copytree(studies["finished"][0], folder)
    text = json.dumps({**json.loads((folder / "spec.json").read_text()), "format": 99})
    (folder / "spec.json").write_text(text)
    for call in (lambda: run(monkeypatch, SPEC, folder), lambda: finished_records(folder)):
        with pytest.raises(InputError, match=r"spec.json' .*\(its format is 99, not \d+: a newer version wrote it"):
            call()
    assert (folder / "spec.json").read_text() == text


def test_a_storage_of_another_optuna_is_put_aside(studies, tmp_path, monkeypatch):
    folder = tmp_path / "study"
    shutil.copytree(studies["half"][0], folder)
    with sqlite3.connect(folder / "study.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")
    connection.close()
    _, now, _ = run(monkeypatch, SPEC, folder)
    assert now == studies["finished"][1]
    assert (folder / "study.db.damaged-1").exists()


def test_a_lost_spec_is_made_anew_only_for_the_study_that_the_runs_are_of(studies, tmp_path, monkeypatch):
    other = [
        StudySpec((freeze("digits-mlp", ["sgd", "sngm"], trials=4, seeds=3),)),
        StudySpec((freeze("digits-mlp", ["sgd", "adamw"], trials=4, seeds=2),)),
        StudySpec((freeze("digits-mlp", ["sgd", "sngm"], trials=4, seeds=2, epochs=1),)),
    ]
    for i, spec in enumerate(other):
        folder = tmp_path / f"study-{i}"
        shutil.copytree(studies["finished"][0], folder)
        (folder / "spec.json").write_text("")
        with pytest.raises(InputError, match=r"spec\.json' is damaged .* of another study than this one"):
            run(monkeypatch, spec, folder)
        assert (folder / "spec.json").read_text() == ""
    (folder / "invocations.jsonl").unlink()  # then the runs themselves have to tell
    with pytest.raises(InputError, match=r"spec\.json' is damaged"):
        run(monkeypatch, other[1], folder)
    with pytest.raises(InputError, match=r"the command that ran the study rebuilds it: steepest compare"):
        finished_records(tmp_path / "study-0")


def forbid(monkeypatch, path):
    """As a file without permission is for all but root, who runs these tests in CI."""
    for name in ("read_text", "read_bytes"):
        allowed = getattr(Path, name)

        def read(self, *args, allowed=allowed, **options):
            if self == path:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return allowed(self, *args, **options)

        monkeypatch.setattr(Path, name, read)


@pytest.mark.parametrize("file", ["spec.json", "trials.jsonl", "invocations.jsonl"])
def test_a_file_that_may_not_be_read_is_named(studies, file, tmp_path, monkeypatch):
    folder = tmp_path / "study"
    shutil.copytree(studies["half"][0], folder)
    forbid(monkeypatch, folder / file)
    with pytest.raises((InputError, StudyError), match=rf"{file}' cannot be read \(Permission denied\)"):
        run(monkeypatch, SPEC, folder)


def test_a_foreign_folder_is_refused_before_anything_is_made_in_it(tmp_path, monkeypatch):
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(InputError, match=r"out must be a new folder .* holds 'thesis.tex'"):
        run(monkeypatch, SPEC, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match=r"out must be a folder"):
        run(monkeypatch, SPEC, tmp_path / "thesis.tex")


def link_to_nothing(path):
    path.symlink_to("nowhere/at/all")


def link_to_itself(path):
    path.symlink_to(path.name)


def link_to_a_file(path):
    path.with_name("other").touch()
    path.symlink_to("other")


@pytest.mark.parametrize("how", [as_folder, link_to_nothing, link_to_itself, link_to_a_file])
@pytest.mark.parametrize("file", ["attempts.jsonl", ".lock"])
@pytest.mark.slow
def test_what_lies_in_the_place_of_a_file_that_is_only_written_stops_nothing(file, how, tmp_path, monkeypatch):
    def failed(job):
        return {"status": "failed", "error": "ValueError: planted"}

    folder = tmp_path / "study"
    run(monkeypatch, SPEC, folder, outcome=failed)
    (folder / file).unlink(missing_ok=True)
    how(folder / file)
    _, found, _ = run(monkeypatch, SPEC, folder)
    assert len(found) == RUNS
    assert "ValueError: planted" in (folder / "attempts.jsonl").read_text()
