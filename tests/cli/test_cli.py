"""The command as a newcomer types it: lists, bad input, a terminal."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from steepest import __version__
from steepest.cli import run
from steepest.training.builtin import WORKLOADS
from steepest.training.code.lookup import find_method, find_workload
from tests import warm

ROOT = Path(__file__).parent.parent.parent
TINY = str(ROOT / "tests" / "compare" / "tiny.py")
STEEPEST = [sys.executable, "-m", "steepest"]


def test_lists_and_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"steepest {__version__}\n"
    assert run(["methods"]) == 0
    out = capsys.readouterr().out
    assert all(
        re.search(rf"^{name} ", out, re.M) for name in ["sgd", "nesterov", "adamw", "lars", "sngm", "bng", "bng-ratio"]
    )
    for words in (
        r"^ssgd +1 +alpha=0\.05",
        r"^sam +2 +rho=0\.05",
        "^csgd-learned +1 ",
        "ssgd\\+sngm",
        "Estimator in front",
    ):
        assert re.search(words, out, re.M), words
    assert run(["workloads"]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^{name} ", out, re.MULTILINE) for name in WORKLOADS)
    assert run([]) == 0
    assert "compare" in capsys.readouterr().out


BAD = [
    ("compare digit-mlp", "unknown workload 'digit-mlp'; did you mean 'digits-mlp'"),
    ("compare digits-mlp --methods sgd,sgnm", "unknown method 'sgnm'; did you mean 'sngm'"),
    ("compare digits-mlp --trails 3", "No such option"),
    ("compare digits-mlp --trails 3", "--trials"),
    ("cmpare digits-mlp", "No such command 'cmpare'. Did you mean 'compare'"),
    ("compare", "Missing argument"),
    ("compare digits-mlp --trials many", "Invalid value for '--trials': "),
    ("compare digits-mlp --trials many", "'many'"),
    ("compare digits-mlp --trials 0", "--trials must be at least 1, got 0"),
    ("compare digits-mlp --seeds -1", "--seeds must be at least 1, got -1"),
    ("compare digits-mlp --jobs 0", "--jobs must be at least 1, got 0"),
    ("compare digits-mlp --methods ,", "--methods must name at least one method, got none"),
    (
        "compare digits-mlp --lr-range sgd=1:0.1",
        "--lr-range must be METHOD=LOW:HIGH with 0 < LOW < HIGH, got 'sgd=1:0.1'",
    ),
    ("compare digits-mlp --lr-range sgd=0:1", "got 'sgd=0:1'"),
    ("compare digits-mlp --lr-range sgd=0.1:1 --lr-range sgd=0.2:1", "must name each method once, got sgd more than"),
    ("compare digits-mlp --lr-range sgd", "got 'sgd' (it is not of that form)"),
    ("compare digits-mlp --lr-range sgd=a:b", "got 'sgd=a:b'"),
    ("compare digits-mlp --lr-range none=0.1:1", "--lr-range names 'none', which is not compared here"),
    ("compare digits-mlp --device gpu", "--device must be auto, cpu, cuda, cuda:1, mps or the like, got 'gpu'"),
    ("compare digits-mlp --data-dir /no/such/place", "--data-dir must be an existing folder, got '/no/such/place'"),
    ("compare digits-mlp --out /proc/study", "--out must be a folder that can be written, got '/proc/study'"),
    ("compare digits-mlp --out README.md", "--out must be a folder that can be written, got 'README.md'"),
    ("compare digits-mlp --out tests", "--out must be a new folder or that of a study; 'tests' holds"),
    ("compare tests/none.py:w", "there is no file 'tests/none.py'"),
    ("compare digits-mlp --methods ssgd+sgnm", "unknown method 'sgnm' in 'ssgd+sgnm'; did you mean 'sngm'"),
    ("compare digits-mlp --methods sgsd+sngm", "unknown estimator 'sgsd' in 'sgsd+sngm'; did you mean 'ssgd'"),
    ("compare digits-mlp --methods ssgd+sam+sgd", "ssgd and sam both choose the points of evaluation; method"),
    ("compare digits-mlp --methods ssgd --batch-size 1", "needs at least 2 samples in it, got batch size 1"),
    ("report tests", "'tests' holds no study: there is no spec.json in it"),
    ("report /no/such/place", "'/no/such/place' holds no study"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(ROOT)
    assert run(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_by_default_the_update_rules_are_compared(capsys):
    """And not the estimators, which would double the number of comparisons."""
    assert run(["compare", "--help"]) == 0
    words = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert "Default: sgd, nesterov, adamw, lars, sngm, bng, bng-ratio." in words
    assert "--sharpness" in words


def test_missing_data_says_which_files_and_how_to_get_them(tmp_path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    environment.pop("STEEPEST_DATA", None)
    done = warm.run([*STEEPEST, "compare", "fashion-mlp"], capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: fashion-mnist needs the files train-images-idx3-ubyte.gz, ")
    assert "--data-dir" in done.stderr
    assert "get them from https://" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["optuna", "typer", "plotly", "sklearn"])
def test_an_absent_extra_is_named(module):
    code = f"import sys; sys.modules[{module!r}] = None; from steepest.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "methods"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"error: {module} is not installed; it comes with: pip install 'steepest[compare]'\n"


@pytest.mark.slow
def test_the_optimizers_need_torch_alone():
    absent = ["numpy", "optuna", "typer", "plotly", "sklearn", "scipy", "rich"]
    code = f"import torch, sys; sys.modules.update(dict.fromkeys({absent})); from steepest import SNGM; print('here')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "here\n", done.stderr


@pytest.mark.slow
def test_progress_in_a_terminal(tmp_path):
    """What runs, how many are left, the time left and the best so far; then the table."""
    parent, child = pty.openpty()
    arguments = ["compare", f"{TINY}:clouds", "--methods", f"{TINY}:slow", "--out", str(tmp_path / "s"), "--jobs", "1"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "30"}
    process = warm.Popen([*STEEPEST, *arguments], stdout=child, stderr=child, env=environment)
    os.close(child)
    screen = b""
    while True:
        try:
            chunk = os.read(parent, 65536)
        except OSError:
            break
        if not chunk:
            break
        screen += chunk
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode())
    for pattern in (
        r"slow search \d/8, lr 0\.",
        r"slow final \d/5",
        r"search \d/8, final \d/5",
        r"about \d+ s left",
        "best so far: slow",
    ):
        assert re.search(pattern, text), pattern
    assert "Report: " in text


@pytest.mark.slow
def test_report_again(tmp_path, capsys):
    out = tmp_path / "study"
    arguments = ["--methods", f"{TINY}:good", "--trials", "1", "--seeds", "2", "--out", str(out)]
    warm.run([*STEEPEST, "compare", f"{TINY}:clouds", *arguments], check=True, capture_output=True)
    before = (out / "report.md").read_text()
    (out / "report.html").unlink()
    (out / "report.md").unlink()
    assert run(["report", str(out)]) == 0
    assert "On clouds, good reaches" in capsys.readouterr().out
    assert (out / "report.html").exists()
    written = re.compile(r"Written .* from")
    assert written.sub("", (out / "report.md").read_text()) == written.sub("", before)


def test_the_deep_example_shows_a_vanishing_gradient_and_a_step_that_does_not_care():
    example = ROOT / "examples" / "deep_sigmoid.py"
    moved = {}
    for method in ("adam", "adam_tiny_eps", "adam_ng"):
        torch.manual_seed(0)
        model = find_workload(f"{example}:mnist_18").model()
        assert sum(isinstance(module, torch.nn.Sigmoid) for module in model) == 18
        assert all((module.bias == 0).all() for module in model if isinstance(module, torch.nn.Linear))
        optimizer = find_method(f"{example}:{method}").build(model, {"lr": 1e-3})
        torch.nn.functional.cross_entropy(model(torch.randn(20, 1, 28, 28)), torch.arange(20) % 10).backward()
        first = model[1].weight
        assert 0 < first.grad.norm() < 1e-8
        before = first.detach().clone()
        optimizer.step()
        moved[method] = (first.detach() - before).abs().max().item()
    assert moved["adam"] < 1e-5
    assert moved["adam_tiny_eps"] == pytest.approx(1e-3, rel=1e-3)
    assert moved["adam_ng"] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.slow
def test_the_example_is_short_and_runs(tmp_path):
    example = ROOT / "examples" / "wine.py"
    assert len(example.read_text().splitlines()) <= 40
    methods = f"sgd,sngm,{example}:rmsprop"
    arguments = ["--methods", methods, "--trials", "2", "--seeds", "2", "--out", str(tmp_path / "s")]
    done = warm.run([*STEEPEST, "compare", f"{example}:wine", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "rmsprop" in done.stdout


def test_the_same_command_again_says_that_nothing_was_run(tmp_path, capsys):
    command = ["compare", f"{TINY}:clouds", "--methods", f"{TINY}:good", "--trials", "1", "--seeds", "1", "--jobs", "1"]
    assert run([*command, "--out", str(tmp_path / "study")]) == 0
    assert "before" not in capsys.readouterr().out
    assert run([*command, "--out", str(tmp_path / "study")]) == 0
    assert capsys.readouterr().out.endswith("2 of 2 runs had ended before; nothing was run.\n")
