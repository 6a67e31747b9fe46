"""The command continual: a comparison of what stands against forgetting, with the matrix of each method."""

import csv

import pytest

from steepest.cli import continual as command
from steepest.cli import run
from steepest.spiking.continual.methods import METHODS

FAST = ["--trials", "1", "--seeds", "2", "--epochs", "1", "--jobs", "1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_methods_are_compared_and_their_matrices_shown(here, capsys):
    asked = ["continual", "digits", "--methods", "naive,cost-per-synapse,adamw", *FAST]
    assert run(asked) == 0
    said = capsys.readouterr().out
    assert "where naive reaches" in said
    table = said[said.index("after task") :].splitlines()
    rows = {line.split()[0]: line.split() for line in table if line.split()[:1] and line.split()[0] in METHODS}
    assert set(rows) == {"naive", "cost-per-synapse"}
    folder = here / "studies" / "split-digits"
    assert run(["report", str(folder), "--csv", "rows"]) == 0
    with open(here / "rows" / "tasks.csv") as file:
        found = [r for r in csv.DictReader(file) if r["method"] == "naive" and r["phase"] == "final"]
    first = [float(r["validation_metric"]) for r in found if r["after_task"] == "1" and r["task"] == "1"]
    assert len(first) == 2
    assert rows["naive"][2] == f"{100 * sum(first) / 2:.2f}"
    page = (folder / "report.html").read_text()
    assert "What was known after each task" in page
    assert "after task %{y}, on task %{x}" in page
    assert run(asked) == 0
    assert "nothing was run" in capsys.readouterr().out


def test_the_command_offers_all_methods():
    assert set(command.METHODS) == set(METHODS)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["cifar"], "DATASET must be one of digits, mnist, emnist, got 'cifar'"),
        (["digits", "--trials", "0"], "--trials must be at least 1, got 0"),
        (["digits", "--methods", "ewd"], "'ewd'"),
        (["digits", "--epochs", "0"], "--epochs must be at least 1, got 0"),
    ],
)
def test_bad_input_is_one_sentence(here, capsys, options, sentence):
    assert run(["continual", *options]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert sentence in said
    assert "Traceback" not in said


def test_its_methods_refuse_other_workloads(here, capsys):
    assert run(["compare", "digits-mlp", "--methods", "sgd,blocks", *FAST]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "methods of continual learning need a workload whose model is a ContinualNet, such as 'split-digits'" in said
