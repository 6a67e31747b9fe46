"""The command causal: what it prints and writes, that it resumes, and what it refuses."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from steepest.causal import CausalOrder
from steepest.causal.simulation import linear_gaussian
from steepest.cli import run
from tests.cli.killed import killed_and_whole

FAST = ["--steps", "30", "--samples", "4", "--bootstrap", "3"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    linear_gaussian(5, 200, seed=1).data.to_csv("five.csv", index=False)
    return tmp_path


def test_it_prints_what_it_found_and_writes_what_the_library_finds(here, capsys):
    assert run(["causal", "five.csv", *FAST]) == 0
    said = capsys.readouterr().out
    assert "in every graph that fits as well" in " ".join(said.split())
    assert "Page: causal/five/report.html" in said
    told = json.loads((here / "causal/five/causal.json").read_text())
    model = CausalOrder(steps=30, samples=4).fit(pd.read_csv("five.csv"))
    assert told["adjacency"] == model.adjacency_matrix_.to_numpy().tolist()
    assert told["score"] == model.score_
    shares = model.bootstrap(pd.read_csv("five.csv"), 3)
    for row in told["confidence"]:
        assert row["share"] == shares.loc[row["cause"], row["effect"]]
    for name in ("graph.svg", "graph.dot", "graph.graphml", "edges.csv", "order.csv", "history.csv"):
        assert (here / "causal/five" / name).stat().st_size > 0
    assert {row["cause"] for row in told["edges"]} <= set(model.names_)


def test_every_option_reaches_it(here):
    words = (
        "--columns x0,x1,x2,x3 --tiers x0,x1/x2 --forbidden x0->x3 --required x1->x2 --max-parents 2 --missing drop "
        "--penalty 2 --estimator relax --no-polish --seed 4 --out there"
    )
    assert run(["causal", "five.csv", *FAST, *words.split()]) == 0
    asked = {
        "file": "five.csv", "columns": ["x0", "x1", "x2", "x3"], "tiers": [["x0", "x1"], ["x2"]],
        "forbidden": [["x0", "x3"]], "required": [["x1", "x2"]], "max_parents": 2, "missing": "drop", "penalty": 2.0,
        "sample_size": None,
        "estimator": "relax", "polish": False, "seed": 4, "steps": 30, "samples": 4, "bootstrap": 3,
        "score": "gaussian-bic",
    }  # fmt: skip
    told = json.loads((here / "there/causal.json").read_text())
    assert told["settings"] == asked
    assert told["adjacency"][1][2] == 1
    assert told["adjacency"][0][3] == 0
    assert "Known beforehand: tiers {x0, x1} before {x2}; forbidden x0 → x3; required x1 → x2." in told["notes"]


def test_categories_and_parquet(here):
    frame = pd.DataFrame({"a": ["u", "v"] * 50, "b": ["u", "v"] * 40 + ["u"] * 20, "c": ["p", "q", "r", "p"] * 25})
    frame.to_parquet("t.parquet")
    assert run(["causal", "t.parquet", "--score", "bdeu", "--sample-size", "5", *FAST]) == 0
    assert json.loads((here / "causal/t/causal.json").read_text())["edges"]


def test_a_folder_of_another_file_is_refused(here, capsys):
    assert run(["causal", "five.csv", *FAST]) == 0
    linear_gaussian(5, 200, seed=2).data.to_csv("five.csv", index=False)
    assert run(["causal", "five.csv", *FAST]) == 2
    assert "holds another experiment: its sha256 is" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("none.csv", "data must be a file, and there is none at none.csv"),
        ("five.csv --score bic", "--score must be 'gaussian-bic', 'lasso', 'discrete-bic' or 'bdeu', got 'bic'"),
        ("five.csv --score bdeu", "column 'x0' must have at most 100 different values to be categorical, got 200"),
        ("five.csv --columns x0,y", "--columns must be of the data, got 'y'; it has x0, x1, x2, x3, x4"),
        ("five.csv --columns x0", "data must have at least 2 columns that vary, got 1"),
        ("five.csv --required x0->x1 --required x1->x0", "--required must not go in a circle, got x0 -> x1 -> x0"),
        ("five.csv --required x0-x1", "--required must be an edge such as 'a->b', got 'x0-x1'"),
        ("five.csv --forbidden x0->y", "--forbidden must name columns of the data that vary, got 'y'"),
        ("five.csv --tiers x0/x0", "--tiers must name a variable once, got 'x0' twice"),
        ("five.csv --bootstrap -1", "--bootstrap must be at least 0, got -1"),
        ("five.csv --steps 0", "--steps must be an integer of at least 1, got 0"),
        ("five.csv --samples 1", "--samples must be at least 2 for the leave-one-out estimator, got 1"),
        ("five.csv --estimator arm", "--estimator must be 'leave-one-out', 'reinforce', 'relax', 'rebar', "),
        ("five.csv --score bdeu --estimator rebar", "--estimator 'rebar' needs a score that can be relaxed"),
        ("five.csv --max-parents 0", "--max-parents must be an integer of at least 1, got 0"),
        ("five.csv --missing mean", "--missing must be 'refuse' or 'drop', got 'mean'"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence, here, capsys):
    assert run(["causal", *arguments.split()]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (here / "causal").exists()


@pytest.mark.slow
def test_it_resumes_after_kill(here):
    command = ["causal", "five.csv", "--steps", "100", "--bootstrap", "40"]
    killed, whole = killed_and_whole(command, here, "computed-2/resample-1.json")
    for name in ("edges.csv", "order.csv", "confidence.csv", "graph.svg"):
        assert (killed / name).read_text() == (whole / name).read_text()


def test_help_loads_no_torch():
    code = "import sys; from steepest.cli import run; run(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, "causal", "--help"], check=True, capture_output=True)
