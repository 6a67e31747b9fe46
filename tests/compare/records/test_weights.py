"""Weights of final runs, kept as safetensors; and the user's code, kept beside the records."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from steepest.cli import run
from steepest.compare import Study
from steepest.compare.records import working_copy
from steepest.compare.records.lines import read_attempts
from steepest.compare.records.weights import weights_path
from steepest.compare.records.working_copy import commit_of, keep_sources, kept_sources
from steepest.training.builtin import WORKLOADS
from steepest.training.code.lookup import find_workload, load_data
from steepest.training.loop.evaluate import evaluate
from tests.compare import TINY_FILE

TINY = f"{TINY_FILE}:clouds"


def study(out, workload=TINY, **options):
    return Study(workload, methods=["sgd", "adamw"], **{"trials": 2, "seeds": 2, "jobs": 1, "out": out, **options})


def finals(found):
    return {(r.method, r.seed): r for r in found.records() if r.phase == "final"}


def metric_of(workload, path):
    """The test metric of the weights in a file."""
    from safetensors.torch import load_file

    model = workload.model()
    model.load_state_dict(load_file(path))
    return evaluate(workload, model.eval(), load_data(workload, None).test).metric


def test_every_final_run_has_a_file_and_its_weights_give_its_test_metric(tmp_path):
    pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'steepest[weights]'")
    from safetensors import safe_open

    found = study(tmp_path / "s", save_weights=True)
    found.run(progress=False)
    files = sorted(path for path in (tmp_path / "s" / "weights").rglob("*") if path.is_file())
    assert len(files) == len(finals(found)) == 4
    for (method, seed), record in finals(found).items():
        path = weights_path(tmp_path / "s", found.spec, "clouds", method, seed)
        assert path in files
        with safe_open(str(path), "pt") as file:
            said = file.metadata()
        assert (said["workload"], said["method"], said["seed"]) == (TINY, method, str(seed))
        assert json.loads(said["hyperparameters"]) == record.hyperparameters
        assert metric_of(find_workload(TINY), path) == record.test_metric
    assert "weights" not in (tmp_path / "s" / "spec.json").read_text().replace("weights_only", "")


@pytest.mark.slow
def test_final_runs_that_ended_without_are_run_again_to_the_same_numbers(tmp_path):
    before, after = study(tmp_path / "s"), study(tmp_path / "s", save_weights=True)
    before.run(progress=False)
    plain = {key: (r.test_metric, r.curve) for key, r in finals(before).items()}
    after.run(progress=False)
    assert {key: (r.test_metric, r.curve) for key, r in finals(after).items()} == plain
    assert [reason for reason, _ in read_attempts(tmp_path / "s")] == ["its weights were not kept"] * 4
    path = weights_path(tmp_path / "s", after.spec, "clouds", "sgd", 1)
    content = path.read_bytes()
    path.unlink()
    ended = []
    study(tmp_path / "s", save_weights=True).run(progress=False, on_run_end=lambda record, _: ended.append(record.key))
    assert ended == [("clouds", "sgd", "final", 0)]
    assert path.read_bytes() == content
    torch.manual_seed(0)
    study(tmp_path / "s", save_weights=True).run(progress=False, on_run_end=lambda record, _: ended.append(record.key))
    assert len(ended) == 1


@pytest.mark.slow
def test_a_study_that_is_interrupted_has_all_weights_in_the_end(tmp_path):
    ended = []

    def interrupt(record, _):
        ended.append(record.key)
        if record.phase == "final":
            signal.raise_signal(signal.SIGINT)

    while not study(tmp_path / "s", save_weights=True).run(progress=False, on_run_end=interrupt):
        assert len(ended) < 20
    whole = study(tmp_path / "whole", save_weights=True)
    whole.run(progress=False)
    for path in (tmp_path / "whole" / "weights").rglob("*.safetensors"):
        assert (tmp_path / "s" / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes()
    assert len(ended) == len(set(ended)) == 8


def test_names_that_are_no_names_of_files_meet_in_none(tmp_path):
    from tests.compare import tiny

    methods = [dataclasses.replace(tiny.good, name=name) for name in ("a/b", "a b", "..")]
    found = Study(TINY, methods=methods, trials=1, seeds=1, jobs=1, out=tmp_path / "s", save_weights=True)
    found.run(progress=False)
    paths = {weights_path(tmp_path / "s", found.spec, "clouds", method.name, 1) for method in methods}
    assert {path.parent.name for path in paths} == {"a-b-1", "a-b-2", "-"}
    assert all(path.is_file() for path in paths)


@pytest.mark.slow
def test_compress_takes_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--methods", "sgd", "--trials", "1", "--seeds", "1", "--epochs", "2", "--jobs", "1", "--out", "s"]
    assert run(["compare", "digits-mlp", *options, "--save-weights"]) == 0
    file = "s/weights/digits-mlp/sgd/seed-1.safetensors"
    assert f"{100 * metric_of(WORKLOADS['digits-mlp'], file):.2f}" in capsys.readouterr().out
    assert run(["compress", file, "--budget", "100", "--no-rivals", "--exempt", "last", "--out", "small"]) == 0
    assert Path("small").is_dir()


# The user's code


@pytest.mark.slow
def test_the_files_that_define_a_study_are_copied_and_a_changed_one_again(tmp_path):
    here = tmp_path / "mine" / "deep"
    here.mkdir(parents=True)
    shutil.copy(TINY_FILE, here / "own.py")
    (here / "own.py").write_text("import helper\n" + (here / "own.py").read_text())
    (here / "helper.py").write_text("ONE = 1\n")
    (here / "unrelated.py").write_text("TWO = 2\n")
    (tmp_path / "mine" / "methods.py").write_text(
        "import torch\nfrom steepest.compare import Method, Range\n"
        "m = Method('m', torch.optim.SGD, space={'lr': Range(1e-3, 1.0)})\n"
    )
    out = tmp_path / "s"
    command = [
        sys.executable, "-m", "steepest", "compare", f"{here}/own.py:clouds", "--methods",
        f"sgd,{tmp_path}/mine/methods.py:m", "--trials", "1", "--seeds", "2", "--jobs", "1", "--out", str(out),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert kept_sources(out) == ["deep/helper.py", "deep/own.py", "methods.py"]
    for name in kept_sources(out):
        assert (out / "sources" / name).read_bytes() == (tmp_path / "mine" / name).read_bytes()
    assert "copied into `sources/`: `deep/helper.py`, `deep/own.py`, `methods.py`" in (out / "report.md").read_text()
    with (tmp_path / "mine" / "methods.py").open("a") as file:
        file.write("# another thought\n")
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert (out / "sources" / "methods.py").read_text().endswith("# another thought\n")


def test_copies_of_files_that_are_gone_go_and_nothing_outside_is_touched(tmp_path):
    for name in ("a.py", "b/c.py"):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(name)
    folder = tmp_path / "s"
    folder.mkdir()
    keep_sources(folder, [tmp_path / "mine" / "a.py", tmp_path / "mine" / "b" / "c.py", tmp_path / "none.py"])
    assert kept_sources(folder) == ["a.py", "b/c.py"]
    manifest = folder / "sources" / "files.json"
    (folder / "keep.py").write_text("mine")
    manifest.write_text(json.dumps({"../keep.py": {"from": "x", "sha256": "y"}, "a.py": {"from": "x", "sha256": "y"}}))
    keep_sources(folder, [tmp_path / "mine" / "b" / "c.py"])
    assert kept_sources(folder) == ["c.py"]
    assert (folder / "keep.py").read_text() == "mine"
    assert not (folder / "sources" / "a.py").exists()


def test_a_study_of_what_is_built_in_keeps_no_sources(tmp_path):
    keep_sources(tmp_path, [])
    assert not list(tmp_path.iterdir())


@pytest.fixture
def repository(tmp_path, monkeypatch):
    if shutil.which("git") is None:
        pytest.skip("no git: apt-get install git")
    place = tmp_path / "repository"
    place.mkdir()
    for name, value in (
        ("AUTHOR_NAME", "a"),
        ("AUTHOR_EMAIL", "a@b"),
        ("COMMITTER_NAME", "a"),
        ("COMMITTER_EMAIL", "a@b"),
    ):
        monkeypatch.setenv(f"GIT_{name}", value)
    (place / "file.py").write_text("ONE = 1\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", *words], cwd=place, check=True, timeout=60)
    return place


@pytest.mark.slow
def test_the_commit_of_the_working_directory_is_in_the_report(repository, monkeypatch):
    monkeypatch.chdir(repository)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert commit_of(repository) == {"commit": head, "changed": False}
    found = study("s", trials=1, seeds=2)
    found.run(progress=False)
    assert f"; git commit {head[:12]}." in found.report().with_suffix(".md").read_text()
    (repository / "file.py").write_text("ONE = 2\n")
    assert commit_of(repository) == {"commit": head, "changed": True}
    study("s", trials=1, seeds=3).run(progress=False)
    page = found.report()
    told = f"; git commit {head[:12]} with changes that are not in it"
    assert told in page.read_text()
    assert told + "." in page.with_suffix(".md").read_text()


def test_without_git_or_a_repository_nothing_is_said(tmp_path, monkeypatch):
    assert commit_of(tmp_path) is None
    monkeypatch.setattr(
        working_copy.subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError("git"))
    )
    assert commit_of(tmp_path) is None
