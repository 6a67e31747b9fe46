"""The commands of formulas: what they print and write, that a training resumes after kill -9, what they refuse."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from steepest.cli import run
from steepest.formulas.image import make_page
from steepest.formulas.recognition import Recognizer
from steepest.formulas.sets import write_set
from steepest.formulas.sets.made import make_symbols

FAST = ["--network", "dense", "--hidden", "40", "--epochs", "6"]


@pytest.fixture(scope="module")
def symbols():
    return make_symbols(12, seed=3)


@pytest.fixture
def here(tmp_path, monkeypatch, symbols):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEEPEST_FORMULAS", str(tmp_path / "own"))
    write_set(symbols, tmp_path / "set.npz")
    return tmp_path


@pytest.mark.slow
def test_a_set_becomes_a_model_that_is_tested_and_reads_pages(here, symbols, capsys):
    assert run(["formulas", "train", "set.npz", *FAST]) == 0
    said = capsys.readouterr().out
    assert "Model: formulas/set-dense.safetensors" in said
    assert "% of 67 symbols that were held out are known." in said
    assert "Page: formulas/set-dense/report.html" in said
    page = (here / "formulas" / "set-dense" / "report.html").read_text()
    assert page.count("data:image/png;base64,") > 5
    before = (here / "formulas" / "set-dense" / "model.safetensors").stat().st_mtime_ns
    assert run(["formulas", "train", "set.npz", *FAST]) == 0  # trains nothing again
    assert (here / "formulas" / "set-dense" / "model.safetensors").stat().st_mtime_ns == before
    capsys.readouterr()

    model = "formulas/set-dense.safetensors"
    assert run(["formulas", "test", model, "set.npz"]) == 0
    first, second, *pairs = capsys.readouterr().out.splitlines()
    recognizer = Recognizer.load(here / model)
    right = np.array(recognizer.labels)[recognizer.probabilities(symbols.images).argmax(axis=1)] == symbols.labels
    assert first == f"accuracy {100 * right.mean():.2f} %"
    assert re.fullmatch(r"class-balanced accuracy \d+\.\d\d %", second)
    assert all(re.fullmatch(r". taken for .: \d+ of 12", pair) for pair in pairs)

    pages = here / "pages"
    pages.mkdir()
    for name, text in (("a", "∀x(p(x)→q(x))"), ("b", "¬p(a)")):
        made = make_page(symbols.images, symbols.labels, seed=1, texts=[text], broken=0, touching=0)
        (pages / f"{name}.png").write_bytes(cv2.imencode(".png", made.image)[1].tobytes())
    assert run(["formulas", "read", "pages", "--model", model, "--json", "boxes"]) == 0
    assert capsys.readouterr().out.count("# pages/") == 2
    boxes = json.loads((here / "boxes" / "a.json").read_text())
    assert len(boxes["lines"][0]["symbols"]) == 13
    for to in ("unicode", "latex", "tptp", "prover9", "ascii"):
        assert run(["formulas", "read", "pages/b.png", "--to", to, "--model", model]) == 0
        assert capsys.readouterr().out.strip()
    assert not (here / "own").exists()  # who reads with a file makes no folder of the application


def test_models_are_listed_used_and_exported(here, capsys):
    assert run(["formulas", "models"]) == 0
    assert re.search(r"\* +0 +shipped with steepest +cnn +6[78]", capsys.readouterr().out)
    assert run(["formulas", "models", "--use", "7"]) == 2
    assert "there is no model of number 7" in capsys.readouterr().err
    assert run(["formulas", "export", "0", "--out", "mine.safetensors"]) == 0
    assert len(Recognizer.load(here / "mine.safetensors").labels) >= 67


def test_pages_are_made_the_same_for_the_same_seed(here):
    for out in ("one", "two"):
        assert run(["formulas", "make-pages", "set.npz", "--pages", "2", "--seed", "5", "--out", out]) == 0
    for name in ("page-5.png", "page-6.json"):
        assert (here / "one" / name).read_bytes() == (here / "two" / name).read_bytes()
    told = json.loads((here / "one" / "page-5.json").read_text())
    assert all({"label", "box"} == set(symbol) for line in told["lines"] for symbol in line)


@pytest.mark.slow
def test_a_training_that_was_killed_ends_in_the_same_file(here):
    command = [sys.executable, "-m", "steepest", "formulas", "train", "set.npz", "--network", "cnn", "--epochs", "8"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "--out", "killed.safetensors"], env=environment)
    progress, deadline = here / "killed" / "progress.jsonl", time.monotonic() + 120
    while not progress.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (here / "killed.safetensors").exists()
    for name in ("killed", "whole"):
        subprocess.run([*command, "--out", f"{name}.safetensors"], env=environment, check=True, capture_output=True)
    assert (here / "killed.safetensors").read_bytes() == (here / "whole.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["read", "nope.png"], "nope.png cannot be read: No such file or directory"),
        (["read", "set.npz"], "set.npz must be a PNG or a JPEG, and begins like neither"),
        (["read", "."], "must hold pictures, .png, .jpg, .jpeg, and holds none"),
        (["read", "x.png", "--to", "html"], "--to must be one of unicode, latex, tptp, prover9, ascii, got 'html'"),
        (["train", "nope.npz"], "nope.npz"),
        (["train", "set.npz", "--network", "rnn"], "--network must be one of dense, cnn, got 'rnn'"),
        (["train", "set.npz", "--out", "model.pt"], "--out must end in .safetensors, got 'model.pt'"),
        (["train", "set.npz", "--method", "sgdd"], "unknown method 'sgdd'"),
        (["test", "set.npz", "set.npz"], "set.npz"),
        (["make-pages", "set.npz", "--pages", "0"], "--pages must be at least 1, got 0"),
        (["train", "set.npz", "--fragments", "-1"], "--fragments must be from 0 to 10, got -1"),
        (["make-pages", "set.npz", "--broken", "2"], "--broken must be from 0 to 1, got 2"),
        (["export", "9", "--out", "x.safetensors"], "there is no model of number 9"),
        (["serve", "--port", "70000"], "--port must be from 0 to 65535, got 70000"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(here, command, sentence, capsys):
    assert run(["formulas", *command]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert sentence in said
    assert "Traceback" not in said
