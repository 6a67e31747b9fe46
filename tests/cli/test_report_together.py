"""`steepest report` of several studies: one page, as if their methods had been compared at once."""

import shutil

import pytest

from steepest.cli import run
from steepest.compare import Study
from tests.compare import TINY_FILE

TINY = str(TINY_FILE)
OWN = """
import torch
from steepest.compare import Method, Range
mine = Method("mine", torch.optim.SGD, space={{"lr": Range(1e-3, 1.0)}}, fixed={{"momentum": {momentum}}})
"""
SMALL = {"trials": 6, "seeds": 3, "jobs": 1}


def study(out, methods, **more):
    found = Study(f"{TINY}:clouds", methods=methods, out=out, **{**SMALL, **more})
    assert found.run(progress=False)
    return found


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Two studies of two versions of a method, with a baseline in common."""
    base = tmp_path_factory.mktemp("studies")
    file = base / "own.py"
    for name, momentum in (("first", 0.0), ("second", 0.9)):
        file.write_text(OWN.format(momentum=momentum))
        study(base / name, ["sgd", f"{file}:mine", *(["sngm"] if name == "second" else [])])
    return base


def page(arguments):
    return run(["report", *map(str, arguments)])


@pytest.mark.slow
def test_several_studies_are_one_table(studies, tmp_path, capsys):
    assert page([studies / "first", studies / "second", "--out", tmp_path / "page"]) == 0
    said = capsys.readouterr().out
    assert [line.split("  ")[0] for line in said.splitlines()[1:5]] != []
    assert {"sgd", "mine", "mine (second)", "sngm"} == {line.split("  ")[0] for line in said.splitlines()[1:5]}
    text = (tmp_path / "page" / "report.md").read_text()
    assert text.count("Command: ") == 1  # both were called alike
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["report.html", "report.md"]
    assert page([studies / "first", studies / "second", "--out", tmp_path / "page"]) == 0  # again, over the old page


@pytest.mark.slow
def test_the_numbers_are_those_of_one_study(studies, tmp_path, capsys):
    """Of which each part is a part: differences as they are, p-values corrected for all of the methods."""
    study(tmp_path / "a", ["sgd", "sngm"])
    study(tmp_path / "b", ["sgd", "nesterov"])
    whole = study(tmp_path / "whole", ["sgd", "sngm", "nesterov"])
    capsys.readouterr()
    assert page([tmp_path / "a", tmp_path / "b", "--out", tmp_path / "page"]) == 0
    apart = capsys.readouterr().out.replace(str(tmp_path / "page"), "")
    assert page([whole.folder]) == 0
    assert apart == capsys.readouterr().out.replace(str(whole.folder), "")


def test_another_baseline_and_the_winner(studies, tmp_path, capsys):
    assert (
        page(
            [studies / "first", studies / "second", "--out", tmp_path / "p", "--baseline", "mine (second)", "--winner"]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "minus mine (second)" in said
    assert "Winner: " in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["first", "second"], "--out must name a folder for the page of several studies"),
        (["first", "--out", "p"], "--out is for several studies"),
        (["first", "first", "--out", "p"], ""),
        (["first", "second", "--out", "first"], "--out must be a new folder"),
        (["first", "nothing", "--out", "p"], "holds no study"),
        (["first", "seeds", "--out", "p"], "cannot be put on one page: seeds differs: "),
        (["first", "epochs", "--out", "p"], "cannot be put on one page: epochs differs: 3 there, 2 here"),
        (["early", "first", "--out", "p"], "a study that stops early decides among its own methods"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_on_one_page(studies, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(studies)
    shutil.rmtree("p", ignore_errors=True)
    for name, more in (("seeds", {"seeds": 2}), ("epochs", {"epochs": 2}), ("early", {"stop_early": True})):
        if name in arguments:
            study(studies / name, ["sgd"], **more)
    code = run(["report", *arguments])
    assert code == (2 if sentence else 0)
    assert sentence in capsys.readouterr().err.replace("\n", " ")
    assert (studies / "p").exists() == (code == 0)
