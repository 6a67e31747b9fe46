"""The command compress: what it prints and writes, that it resumes after kill -9, and what it refuses."""

import json
import subprocess
import sys

import pytest
import torch

from steepest.cli import run
from steepest.compression import inspect, load_compressed
from steepest.compression.experiments.base import save_weights
from steepest.training.builtin import WORKLOADS
from tests.cli.killed import killed_and_whole

FAST = ["--base-epochs", "3", "--epochs-per-layer", "2", "--sparsity", "0.5,0.8", "--budget", "6"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_workload_is_trained_and_made_small(here, capsys):
    assert run(["compress", "digits-mlp", *FAST]) == 0
    said = capsys.readouterr().out
    assert "times smaller" in said
    assert "Page: compress/digits-mlp/report.html" in said
    told = json.loads((here / "compress/digits-mlp/compress.json").read_text())
    names = [one["name"] for one in told["networks"]]
    assert names == ["base", "compressed", "compressed", "magnitude pruning", "8-bit weights"]
    base, *ours, pruned, eight = told["networks"]
    for one in ours:
        assert base["validation"] - one["validation"] <= 6.0
    smallest = min(one["bytes"] for one in ours)
    file = here / "compress/digits-mlp/compressed.steepest"
    assert file.stat().st_size == smallest
    assert pruned["epochs"] == next(one["epochs"] for one in ours if one["bytes"] == smallest)
    assert pruned["bytes"] <= 1.05 * smallest
    assert smallest < eight["bytes"] < base["bytes"]
    model = WORKLOADS["digits-mlp"].model()
    model.load_state_dict(load_compressed(file), strict=True)
    for key in told["constrained"]:
        assert len(model.state_dict()[key].unique()) <= 3
    assert inspect(file).file_bytes == smallest
    for name in ("networks.csv", "steps.csv", "base.safetensors"):
        assert (here / "compress/digits-mlp" / name).stat().st_size > 0
    before = file.read_bytes()
    assert run(["compress", "digits-mlp", *FAST]) == 0
    assert file.read_bytes() == before
    assert run(["compress", "digits-mlp", "--budget", "7"]) == 2
    assert "holds another experiment" in capsys.readouterr().err


@pytest.mark.slow
def test_a_checkpoint_says_of_which_workload_it_is(here, capsys):
    torch.manual_seed(0)
    state = WORKLOADS["digits-mlp"].model().state_dict()
    save_weights(state, here / "mine.safetensors", {"workload": "digits-mlp"})
    asked = ["compress", "mine.safetensors", "--budget", "100", "--no-rivals", "--exempt", "last"]
    assert run(asked) == 0
    told = json.loads((here / "compress/mine/compress.json").read_text())
    assert told["constrained"] == ["1.weight"]
    assert [one["name"] for one in told["networks"]] == ["base", "compressed"]
    assert run([*asked, "--base-lr", "0.1"]) == 2
    assert "--base-lr must be left out where the subject is a trained network, got 0.1" in capsys.readouterr().err
    save_weights(state, here / "plain.safetensors", {})
    assert run(["compress", "plain.safetensors"]) == 2
    assert "plain.safetensors does not say of which workload it is: give --workload" in capsys.readouterr().err
    assert run(["compress", "plain.safetensors", "--workload", "mnist-mlp", "--data-dir", str(here)]) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("digits-mlp --budget -1", "--budget must be a finite number of points of at least 0, got -1.0"),
        ("digits-mlp --sparsity 1", "--sparsity must be a share of at least 0 and below 1, got 1.0"),
        ("digits-mlp --sparsity most", "--sparsity must be shares such as 0.8,0.9, got 'most'"),
        ("digits-mlp --mode hard", "--mode must be 'straight-through' or 'project', got 'hard'"),
        ("digits-mlp --exempt first,last", "must have a convolution or linear layer"),
        ("digits-mlp --method ssgd", "--method must be a plain optimizer, such as 'sgd' or 'adamw', got 'ssgd'"),
        ("digits-mlp --lr 0", "--lr must be a finite number above 0, got 0.0"),
        ("digits-mlp --base-epochs 0", "--base-epochs must be an integer of at least 1, got 0"),
        ("digits-mlp --workload digits-mlp", "--workload must be left out where the subject is one, got 'digits-mlp'"),
        ("digits-mlp --mode project --clip 2", "--clip must be None in mode 'project'"),
        ("digits", "digits"),
        ("none.safetensors", "none.safetensors cannot be read as safetensors"),
    ],
)
def test_bad_input_is_one_sentence(here, capsys, arguments, sentence):
    assert run(["compress", *arguments.split()]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) <= 3


@pytest.mark.slow
def test_a_workload_whose_file_changed_has_another_folder(here, capsys):
    text = "from steepest.training.builtin import WORKLOADS\nmine = WORKLOADS['digits-mlp']\n"
    (here / "work.py").write_text(text)
    asked = ["compress", "work.py:mine", "--base-epochs", "1", "--budget", "100", "--no-rivals"]
    assert run(asked) == 0
    assert (here / "compress/work.py-mine/report.html").exists()
    (here / "work.py").write_text(text + "# another\n")
    assert run(asked) == 2
    assert "holds another experiment: its source is" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_compression_goes_on_to_the_same_file(here):
    command = ["compress", "digits-mlp", "--base-epochs", "20", "--epochs-per-layer", "20", "--budget", "6"]
    killed, whole = killed_and_whole(command, here, "base.safetensors")
    assert (killed / "compressed.steepest").read_bytes() == (whole / "compressed.steepest").read_bytes()


def test_help_needs_no_torch():
    code = "import sys; from steepest.cli import run; run(sys.argv[1:]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, "compress", "--help"], check=True, capture_output=True)
