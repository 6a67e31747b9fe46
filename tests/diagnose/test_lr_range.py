"""The command lr-range: what it prints and writes, that it is a run's own sweep, and what it refuses."""

import csv
import json
import re

import pytest
import torch

from steepest.cli import run
from steepest.diagnose.lr_range import sweep
from steepest.schedules import lr_range_test
from steepest.training.builtin import METHODS, WORKLOADS
from steepest.training.code.lookup import load_data
from steepest.training.loop.batches import Batches
from tests.compare import tiny

TINY = tiny.__file__


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("range") / "page"
    assert run(["lr-range", "digits-mlp", "--method", "sngm", "--seed", "3", "--out", str(out)]) == 0
    return out


def test_it_prints_bounds_and_suggestion_and_where_the_page_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["lr-range", "digits-mlp"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"sgd on digits-mlp: something is learnt from lr [\d.]+ to [\d.]+\.\n", said)
    assert re.search(r"A start for a rate that falls to 0: [\d.]+\.\n", said)
    assert "Page: studies/lr-range-digits-mlp-sgd/lr-range.html" in said
    assert (tmp_path / "studies/lr-range-digits-mlp-sgd/lr-range.html").is_file()


def test_the_sweep_is_that_of_a_run_by_hand(done):
    workload = WORKLOADS["digits-mlp"]
    torch.manual_seed(3)
    model = workload.model()
    optimizer = METHODS["sngm"].build(model, {"lr": 0.3})
    batches = Batches(load_data(workload, None).train, workload.batch_size, 3)
    found = lr_range_test(model, optimizer, workload.loss, batches)
    told = json.loads((done / "lr-range.json").read_text())
    assert told["loss"] == list(found.loss)
    assert told["bounds"] == list(found.bounds)
    assert told["suggestion"] == found.suggestion
    assert told["settings"]["seed"] == 3
    assert told["gradient_evaluations"] == found.gradient_evaluations == 100
    with open(done / "lr-range.csv", newline="") as file:
        assert [float(row["lr"]) for row in csv.DictReader(file)] == list(found.lr)


@pytest.mark.slow
def test_the_page_asks_the_network_for_nothing_and_has_its_figures(done, browser):
    page = browser.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("file:") else None)
    page.goto((done / "lr-range.html").as_uri())
    for key in ("loss", "information"):
        page.locator(f"#plot-{key}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#plot-{key} .main-svg")
    assert page.title() == "Learning rates of sngm on digits-mlp"
    assert wrong == []
    page.close()


def test_what_comes_from_a_user_is_escaped(tmp_path):
    out = tmp_path / "page"
    arguments = ["--num-iter", "30", "--end-lr", "1", "--out", str(out), "--mode", "linear"]
    assert run(["lr-range", f"{TINY}:marked", *arguments]) == 0
    page = (out / "lr-range.html").read_text()
    assert "<img src=x onerror" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_restarts_and_a_calibration(tmp_path, capsys):
    arguments = ["--method", "csgd", "--restart", "--num-iter", "60", "--out", str(tmp_path)]
    assert run(["lr-range", f"{TINY}:clouds", *arguments]) == 0
    told = json.loads((tmp_path / "lr-range.json").read_text())
    assert len(told["lr"]) == 6
    assert told["gradient_evaluations"] == 60
    assert "from the same weights at every rate" in (tmp_path / "lr-range.html").read_text()


@pytest.mark.parametrize(
    ("method", "optimizer", "cost"),
    [("ssgd", "sgd", 1), ("csgd+ssgd", "sgd", 1), ("sam", "sgd", 2), ("sam+sngm", "sngm", 2)],
)
def test_methods_that_take_their_gradient_at_points_of_their_own(method, optimizer, cost):
    found, plain = (sweep("digits-mlp", name).found for name in (method, optimizer))
    assert found.gradient_evaluations == cost * len(found.lr) <= 100
    assert len(found.lr) > 80 // cost
    assert found.loss != plain.loss
    assert plain.suggestion / 2.5 < found.suggestion < 2.5 * plain.suggestion


def test_every_loss_is_told():
    told = []
    asked = {"num_iter": 20, "end_lr": 0.1, "progress": told.append}
    found = sweep(f"{TINY}:clouds", "sgd", **asked).found
    assert len(told) == 2 * len(found.lr)
    told.clear()
    found = sweep(f"{TINY}:clouds", "sgd", refine_iter=70, **(asked | {"num_iter": 60, "end_lr": 1.0})).found
    assert found.gradient_evaluations == 130
    assert told == [2 * 60 + 7 * 11] * (2 * 60 + 7 * 11)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("digits-mpl", "unknown workload 'digits-mpl'; did you mean 'digits-mlp'"),
        ("digits-mlp --method sgnm", "unknown method 'sgnm'; did you mean 'sngm'"),
        ("digits-mlp --start-lr 3 --end-lr 2", "--start-lr must be below --end-lr, got 3.0 and 2.0"),
        ("digits-mlp --start-lr 0", "--start-lr must be a finite number above 0, got 0.0"),
        ("digits-mlp --num-iter 20 --restart", "--num-iter must pay for 3 rates of steps_per_lr steps, got 20 and 10"),
        ("digits-mlp --mode cosine", "--mode must be one of exp, linear, got 'cosine'"),
        ("digits-mlp --device gpu", "--device must be auto, cpu, cuda"),
        (f"digits-mlp --out {TINY}", "--out must be a folder"),
        ("digits-mlp --out ", "--out"),
        ("mnist-mlp --data-dir /nowhere", "/nowhere"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["lr-range", *arguments.split(" ")]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "studies").exists()


def test_a_curve_without_a_finding_is_a_page_too(tmp_path, capsys):
    assert run(["lr-range", f"{TINY}:clouds", "--end-lr", "1e-5", "--out", str(tmp_path)]) == 0
    assert "Nothing seen: from lr 1e-06 to 1e-05" in capsys.readouterr().out
    assert json.loads((tmp_path / "lr-range.json").read_text())["bounds"] is None
