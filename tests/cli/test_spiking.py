"""The command spiking: what it prints and writes, that it resumes after kill -9, and what it refuses."""

import json

import pytest
import torch

from steepest.cli import run
from steepest.spiking import BinaryClassifier, SpikingConv2d, encode, pool_spikes
from tests.cli.killed import killed_and_whole
from tests.spiking.files import bars, write_mnist

FAST = ["--maps", "6", "--images", "100", "--hidden", "50", "--epochs", "12", "--batch-size", "10", "--lr", "0.1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEEPEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STEEPEST_DATA", str(write_mnist(tmp_path / "data")))
    return tmp_path


def told_of(folder):
    return json.loads((folder / "spiking.json").read_text())


def test_images_are_recognised_by_spikes(here, capsys):
    assert run(["spiking", "mnist", *FAST]) == 0
    said = capsys.readouterr().out
    assert "% of 60 test images are recognised." in said
    assert "Page: spiking/mnist/report.html" in said
    folder = here / "spiking" / "mnist"
    told = told_of(folder)
    assert told["test"] > 0.8
    assert told["seen"][-1] == 100
    rows = [[int(n) for n in line.split(",")[1:]] for line in (folder / "confusion.csv").read_text().splitlines()[1:]]
    assert sum(map(sum, rows)) == 60
    assert sum(rows[i][i] for i in range(10)) == round(told["test"] * 60)
    saved = torch.load(folder / "model.pt", weights_only=True)
    layer, model = SpikingConv2d(2, 6, threshold=saved["threshold"]), BinaryClassifier(726, 50, 10)
    layer.load_state_dict(saved["filters"])
    model.load_state_dict(saved["classifier"])
    images, labels = bars(60, 1)
    features = pool_spikes(layer(encode(images))).any(dim=0)
    assert (model(features).argmax(dim=1) == labels).float().mean().item() == pytest.approx(told["test"])
    assert not list(folder.glob("checkpoints/*"))
    before = (folder / "computed" / "classifier.json").stat().st_mtime_ns
    assert run(["spiking", "mnist", *FAST]) == 0
    assert (folder / "computed" / "classifier.json").stat().st_mtime_ns == before
    assert run(["spiking", "mnist", "--maps", "7"]) == 2
    assert "holds another experiment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--filters", "initial"], "as they begin: nothing was learnt"),
        (["--filters", "random"], "drawn at random, with a threshold"),
        (["--pixels"], "Without spikes: the classifier sees the pixels alone."),
        (["--activation", "sigmoid"], "50 hidden units, sigmoid: a plain network"),
        (["--train-images", "50", "--method", "ssgd+adam", "--schedule", "constant"], "50 training images"),
        (["--history", "0", "--radius", "2", "--threshold", "12", "--surrogate", "two-sided"], "to be two-sided"),
    ],
)
@pytest.mark.slow
def test_what_is_compared(here, capsys, options, sentence):
    assert run(["spiking", "mnist", *FAST[:-4], "--batch-size", "10", *options, "--epochs", "1"]) == 0
    page = (here / "spiking" / "mnist" / "report.html").read_text()
    assert sentence in capsys.readouterr().out + page


@pytest.mark.slow
def test_a_killed_run_comes_to_the_same(here):
    killed, whole = killed_and_whole(["spiking", "mnist", *FAST, "--device", "cpu"], here, "settings.json")
    assert (killed / "model.pt").read_bytes() == (whole / "model.pt").read_bytes()
    for name in ("epochs.csv", "confusion.csv"):
        assert (killed / name).read_text() == (whole / name).read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["cifar"], "the data set must be one of mnist, fashion-mnist, emnist, got 'cifar'"),
        (["mnist", "--maps", "0"], "--maps must be an integer of at least 1, got 0"),
        (["mnist", "--images", "0"], "--images must be an integer of at least 1, got 0"),
        (["mnist", "--threshold", "nan"], "--threshold must be a finite number above 0, got nan"),
        (["mnist", "--filters", "gabor"], "--filters must be one of stdp, initial, random, got 'gabor'"),
        (["mnist", "--pixels", "--filters", "random"], "--filters must be left out on pixels, got 'random'"),
        (["mnist", "--hidden", "0"], "--hidden must be an integer of at least 1, got 0"),
        (["mnist", "--epochs", "0"], "--epochs must be an integer of at least 1, got 0"),
        (["mnist", "--surrogate", "x"], "--surrogate must be one of box, two-sided"),
        (["mnist", "--activation", "x"], "--activation must be one of binary, relu, sigmoid, got 'x'"),
        (["mnist", "--tau", "0"], "--tau must be a finite number above 0, got 0"),
        (["mnist", "--dropout", "1"], "--dropout must be a number of at least 0 and below 1, got 1"),
        (["mnist", "--method", "x"], "unknown method 'x'"),
        (["mnist", "--lr", "0"], "--lr must be a finite number above 0, got 0"),
        (["mnist", "--schedule", "x"], "--schedule must be one of"),
        (["mnist", "--train-images", "5"], "--train-images must be at least batch_size, 100, got 5"),
        (["mnist", "--train-images", "5000"], "--train-images must be at most the 270 there are, got 5000"),
        (["mnist", "--batch-size", "0"], "--batch-size must be an integer of at least 1, got 0"),
        (["fashion-mnist"], "fashion-mnist needs the files"),
        (["emnist"], "emnist needs the file"),
        (
            ["mnist", *FAST, "--activation", "relu", "--lr", "1e30"],
            "--lr 1e+30 is too high for sgd: the classifier diverged",
        ),
    ],
)
def test_bad_input_is_one_sentence(here, capsys, options, sentence):
    assert run(["spiking", *options]) == 2
    said = capsys.readouterr().err
    assert sentence in said.replace("\n", " ")
    assert "Traceback" not in said
