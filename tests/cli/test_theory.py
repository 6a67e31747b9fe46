"""The command theory: what it prints and writes, that it resumes, and what it refuses."""

import json
import subprocess
import sys

import pytest

from steepest.cli import run
from tests.cli.killed import killed_and_whole

TINY = ["--lr", "2e-3", "--replicas", "10", "--steps", "50", "--start", "optimum"]


@pytest.mark.parametrize(
    ("command", "presets"),
    [
        ("momentum", ["escape", "optimum", "annealing", "equal-step"]),
        ("committee", ["plateau", "overparametrised", "learning-rate"]),
    ],
)
def test_presets_are_listed(command, presets, capsys):
    assert run(["theory", command, "--preset", "list"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == presets


def test_it_prints_what_it_found_and_where_the_page_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["theory", "momentum", "--preset", "optimum", *TINY]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Variance of v_2 at the end: ")
    assert "The claim: at equal lr, momentum stays further from the optimum." in said
    assert "Page: theory/momentum-optimum/report.html" in said
    told = json.loads((tmp_path / "theory/momentum-optimum/theory.json").read_text())
    asked = {"lr": 2e-3, "replicas": 10, "steps": 50, "start": "optimum", "momentum": 0.9}
    assert {name: told["settings"][name] for name in asked} == asked
    assert run(["theory", "momentum", "--preset", "optimum", *TINY]) == 0
    assert run(["theory", "momentum", "--preset", "optimum", *TINY, "--seed", "1"]) == 2
    assert "--out theory/momentum-optimum holds another experiment: its seed is 0" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--preset nothing", "--preset must be list or one of escape, optimum, annealing, equal-step, got 'nothing'"),
        ("--momentum 1", "--momentum must be a number in (0, 1), got 1.0"),
        ("--momentum 0", "--momentum must be a number in (0, 1), got 0.0"),
        ("--lr 0", "--lr must be a finite number above 0, got 0.0"),
        ("--lr 0.1", "--lr must be below 2 (1 + momentum) / curvature = 0.25"),
        ("--eigenvalues 4,x", "--eigenvalues must be numbers with commas between them, got '4,x'"),
        ("--eigenvalues 3,4", "--eigenvalues must be two or more of at least 0, in descending order"),
        ("--eigenvalues 4,0", "--eigenvalues must have a second above 0, got [4.0, 0.0]"),
        ("--start middle", "--start must be one of 'saddle', 'optimum', 'equal', got 'middle'"),
        ("--delta 2", "--delta must be a number in (0, 1), got 2.0"),
        ("--replicas 9", "--replicas must be at least 10, got 9"),
        ("--steps 1", "--steps must be at least 2, got 1"),
        ("--anneal-at 5", "--anneal-at must be left out unless start is 'optimum', got 5"),
        ("--start optimum --steps 9 --anneal-at 9", "--anneal-at must be below the 9 steps of the run, got 9"),
        ("--seed -1", "--seed must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["theory", "momentum", *arguments.split()]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "theory").exists()


COMMITTEE = ["theory", "committee", "--dimension", "16", "--time", "4", "--seeds", "2"]


def test_a_committee_prints_what_it_found_and_where_the_page_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = ["--preset", "overparametrised", "--student", "2,3", "--lr", "0.1", "--noise", "0.2"]
    assert run([*COMMITTEE, *own]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Error at the end, first layer trained: ")
    assert "Both layers trained: the error at the end " in said
    assert "Page: theory/committee-overparametrised/report.html" in said
    told = json.loads((tmp_path / "theory/committee-overparametrised/theory.json").read_text())
    asked = {"student": [2, 3], "lr": [0.1], "noise": 0.2, "dimension": 16, "time": 4.0, "seeds": 2}
    asked |= {"train": ["first", "both"], "start": ["informed", "denoiser"]}
    assert {name: told["settings"][name] for name in asked} == asked
    assert [row["K"] for row in told["numbers"]] == [2, 3, 2, 3]


def test_every_option_of_a_committee_reaches_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "--teacher 3 --student 4 --activation linear --lr 0.1 --lr-output 0.2 --weight-decay 0.1 --train both"
    assert run([*COMMITTEE, *words.split(), "--start", "small", "--out", "here"]) == 0
    asked = {"teacher": 3, "student": [4], "activation": "linear", "lr": [0.1], "lr_output": 0.2, "weight_decay": 0.1}
    asked |= {"train": ["both"], "start": ["small"]}
    told = json.loads((tmp_path / "here/theory.json").read_text())
    assert {name: told["settings"][name] for name in asked} == asked


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--preset nothing", "--preset must be list or one of plateau, overparametrised, learning-rate, got 'nothing'"),
        ("--teacher 0", "--teacher must be at least 1, got 0"),
        ("--student 0", "--student must be at least 1, got 0"),
        ("--student 2,x", "--student must be whole numbers with commas between them, got '2,x'"),
        ("--student 2,2", "--student must name nothing twice, got 2,2"),
        ("--lr 0", "--lr must be a finite number above 0, got 0.0"),
        ("--lr 1,nan", "--lr must be a finite number above 0, got nan"),
        ("--lr one", "--lr must be numbers with commas between them, got 'one'"),
        ("--lr-output 1", "--lr-output must be left out unless both layers are trained, got 1.0"),
        ("--lr-output 0 --train both", "--lr-output must be a finite number above 0, got 0.0"),
        ("--activation tanh", "--activation must be one of 'erf', 'relu', 'linear', got 'tanh'"),
        ("--noise -1", "--noise must be a finite number of at least 0, got -1.0"),
        ("--weight-decay -1", "--weight-decay must be a finite number of at least 0, got -1.0"),
        ("--train second", "--train must be one of 'first', 'both', got 'second'"),
        ("--start informed --student 1", "takes at least as many units as the teacher's 2, got 1"),
        ("--start near", "--start must be one of 'random', 'small', 'informed', 'denoiser', got 'near'"),
        ("--start random,small", "--start must be one, or one for each of train, got random,small"),
        ("--dimension 7", "--dimension must be at least 8, got 7"),
        ("--seeds 1", "--seeds must be at least 2, got 1"),
        ("--time 0", "--time must be a finite number above 0, got 0.0"),
        ("--time 0.001", "--time must be at least 10 steps, 0.025 with a dimension of 400, got 0.001"),
        (
            f"--student {','.join(map(str, range(1, 26)))}",
            "--student, --lr and --train must make at most 24 curves, got 25",
        ),
    ],
)
def test_what_cannot_be_of_a_committee_is_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["theory", "committee", *arguments.split()]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "theory").exists()


@pytest.mark.slow
def test_it_resumes_after_kill(tmp_path):
    command = ["theory", "momentum", "--lr", "2e-3", "--replicas", "20", "--start", "optimum", "--steps", "4000"]
    killed, whole = killed_and_whole(command, tmp_path, "simulated/momentum.json")
    for name in ("curves.csv", "numbers.csv", "ends.csv"):
        assert (killed / name).read_text() == (whole / name).read_text()


def test_help_loads_no_torch():
    code = "import sys; from steepest.cli import run; run(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    for words in (["--help"], ["theory", "momentum", "--help"]):
        subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
