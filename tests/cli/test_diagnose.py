"""``steepest diagnose``: a run that is looked at ends as it would alone, resumes, and tells what cannot be had."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from steepest._errors import InputError
from steepest.cli import run
from steepest.diagnose.assignment import assignment_of
from steepest.diagnose.diagnosis import diagnose
from steepest.diagnose.result import read_diagnosis
from steepest.training.train import train
from tests.compare import tiny

LONG = """
import time
from tests.compare import tiny
import dataclasses

def slow(inputs, generator):
    time.sleep(0.02)
    return inputs

slow_clouds = dataclasses.replace(tiny.clouds, name="slow", augment=slow, epochs=8)
"""


def alone(method="sgd", **changed):
    options = {"hyperparameters": {"lr": 0.1}, "seed": 1, "epochs": None, "batch_size": None}
    options |= {"schedule": "linear", "device": "cpu", "data_dir": None}
    return assignment_of(tiny.clouds, method, **options | changed)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnosis") / "here"
    return diagnose(tiny.clouds, "sgd", hyperparameters={"lr": 0.1}, device="cpu", out=folder)


def test_the_run_is_what_it_is_without_instruments(found):
    plain = train(alone(), with_test=True)
    assert found.run["test_metric"] == plain.test_metric
    assert found.run["curve"]["validation_loss"] == plain.curve["validation_loss"]
    assert [row["gradient_evaluations"] for row in found.seen] == [0, 6, 12, 18]


@pytest.mark.parametrize("method", ["adamw", "sngm", "insgd", "adam-ng", "ssgd", "sam", "csgd-learned", "sgd-mi-layer"])
@pytest.mark.slow
def test_no_method_notices_that_it_is_looked_at(method, tmp_path):
    lr = {"lr": 0.01}
    found = diagnose(tiny.clouds, method, hyperparameters=lr, device="cpu", out=tmp_path / "d")
    plain = train(alone(method, hyperparameters=lr), with_test=True)
    assert found.run["curve"]["validation_loss"] == plain.curve["validation_loss"]
    assert found.run["test_loss"] == plain.test_loss
    assert not [name for row in found.seen for name, seen in row.items() if isinstance(seen, dict) and "error" in seen]


def test_all_is_seen_and_the_page_shows_it(found):
    for row in found.seen:
        assert {"noise_scale", "inner_product_test", "hessian_eigenvalues"} <= set(row)
        assert ("update_ratio" in row) == (row["step"] > 0)
        assert len(row["hessian_eigenvalues"]["eigenvalues"]) == 3
    assert found.end["gradient_covariance"]["trace"] > 0
    assert len(found.surface["path"]) == len(found.seen)
    page = found.page.read_text()
    for title in ("Gradient noise scale", "Largest Hessian eigenvalues", "The loss in the plane of the path"):
        assert title in page
    assert "What could not be seen" not in page
    header, *rows = (found.folder / "seen.csv").read_text().splitlines()
    assert len(rows) == len(found.seen)
    assert "noise_scale.low" in header.split(",")


def test_a_finished_diagnosis_is_read_and_another_is_refused(found):
    before = (found.folder / "result.json").read_bytes()
    again = diagnose(tiny.clouds, "sgd", hyperparameters={"lr": 0.1}, device="cpu", out=found.folder)
    assert again == found == read_diagnosis(found.folder)
    assert (found.folder / "result.json").read_bytes() == before
    with pytest.raises(InputError, match="holds another diagnosis: its seed is 1, and 2 is asked for"):
        diagnose(tiny.clouds, "sgd", hyperparameters={"lr": 0.1}, seed=2, device="cpu", out=found.folder)


@pytest.mark.slow
def test_it_resumes_after_kill(tmp_path):
    (tmp_path / "slow.py").write_text(LONG)
    command = [sys.executable, "-m", "steepest", "diagnose", f"{tmp_path}/slow.py:slow_clouds", "--lr", "0.1"]
    command += ["--checkpoint-seconds", "0", "--device", "cpu"]
    folders = [tmp_path / name for name in ("killed", "whole")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "--out", folders[0]], env=environment)
    deadline = time.monotonic() + 120
    while not (folders[0] / "observations" / "00000024.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folders[0] / "result.json").exists()
    assert (folders[0] / "checkpoint.pt").exists()
    for folder in folders:
        subprocess.run([*command, "--out", folder], env=environment, check=True, capture_output=True)
    killed, whole = (json.loads((folder / "result.json").read_text()) for folder in folders)
    assert killed["run"]["curve"] == whole["run"]["curve"]
    for one, other in zip(killed["seen"], whole["seen"], strict=True):
        assert one["noise_scale"]["trace"] == other["noise_scale"]["trace"]
        assert one["hessian_eigenvalues"]["eigenvalues"] == other["hessian_eigenvalues"]["eigenvalues"]
    assert not (folders[0] / "checkpoint.pt").exists()


def test_a_run_that_diverges_ends_in_a_page_too(tmp_path):
    found = diagnose(tiny.clouds, tiny.exploding, device="cpu", out=tmp_path / "d")
    assert found.run["diverged"]
    assert "diverged" in found.page.read_text()


def test_a_model_that_cannot_be_looked_at_says_so_on_the_page(tmp_path):
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            return g

    import dataclasses

    def loss(outputs, targets):
        return tiny.clouds.loss(Once.apply(outputs), targets)

    workload = dataclasses.replace(tiny.clouds, name="once", loss=loss, epochs=1)
    found = diagnose(workload, "sgd", device="cpu", out=tmp_path / "d")
    assert "second derivative" in found.seen[0]["hessian_eigenvalues"]["error"]
    assert "hessian eigenvalues: RuntimeError: the second derivative is not there" in found.page.read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "unknown workload 'nothing'"),
        (["digits-mlp", "--method", "sgdd"], "unknown method 'sgdd'; did you mean 'sgd'"),
        (["digits-mlp", "--lr", "-1"], "lr must be a finite number above 0, got -1.0"),
        (["digits-mlp", "--set", "momentum"], "--set must be NAME=VALUE, such as momentum=0.9, got"),
        (["digits-mlp", "--set", "beta=1"], "sgd has no hyperparameter 'beta' to set; it has lr"),
        (["digits-mlp", "--epochs", "0"], "--epochs must be at least 1, got 0"),
        (
            ["digits-mlp", "--schedule", "up"],
            "--schedule must be one of linear, constant, cosine, polynomial, step, got",
        ),
        (["digits-mlp", "--batch-size", "5000"], "batch size must be at most the 1078 training samples, got 5000"),
        (["digits-mlp", "--out", "full"], "--out must be a new or empty folder, or one of this diagnosis, got full"),
        (["digits-mlp", "--device", "abacus"], "--device must be auto, cpu, cuda"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    assert run(["diagnose", *arguments]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
