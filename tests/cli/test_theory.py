"""The command theory: what it prints and writes, that it resumes, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from steepest.cli import run

TINY = ["--lr", "2e-3", "--replicas", "10", "--steps", "50", "--start", "optimum"]


def test_presets_are_listed(capsys):
    assert run(["theory", "momentum", "--preset", "list"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == ["escape", "optimum", "annealing", "equal-step"]


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


def test_it_resumes_after_kill(tmp_path):
    command = [sys.executable, "-m", "steepest", "theory", "momentum", "--lr", "2e-3", "--replicas", "20"]
    command += ["--start", "optimum", "--steps", "4000"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([*command, "--out", killed], env=environment)
    first, deadline = killed / "simulated" / "momentum.json", time.monotonic() + 120
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "report.html").exists()
    written = first.stat().st_mtime_ns
    for folder in (killed, whole):
        subprocess.run([*command, "--out", folder], env=environment, check=True, capture_output=True)
    assert first.stat().st_mtime_ns == written
    for name in ("curves.csv", "numbers.csv", "ends.csv"):
        assert (killed / name).read_text() == (whole / name).read_text()


def test_help_loads_no_torch():
    code = "import sys; from steepest.cli import run; run(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    for words in (["--help"], ["theory", "momentum", "--help"]):
        subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
