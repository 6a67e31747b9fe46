"""A set, a training, a file, and what it says of symbols that it has not seen."""

import json

import numpy as np
import pytest

from steepest.formulas.recognition import Recognizer, Settings, test_recognizer, train_recognizer
from steepest.formulas.sets import read_set
from steepest.formulas.sets.npz import write_npz
from tests.formulas.sets.drawn import drawn_set

QUICK = {"dense": Settings(epochs=6, batch_size=10, hidden=50), "cnn": Settings(network="cnn", epochs=6, batch_size=10)}


@pytest.mark.parametrize("network", QUICK)
def test_from_a_file_of_symbols_to_a_model_that_knows_others(tmp_path, network):
    (tmp_path / "set.npz").write_bytes(write_npz(drawn_set(30)))
    epochs = []
    trained = train_recognizer(read_set(tmp_path / "set.npz"), tmp_path / "out", QUICK[network], epochs.append)
    unseen = drawn_set(10, seed=1)
    loaded = Recognizer.load(tmp_path / "out" / "model.safetensors")
    rows = loaded.probabilities(unseen.images)
    assert np.allclose(rows.sum(axis=1), 1, atol=1e-12)
    assert np.array_equal(rows, trained.recognizer.probabilities(unseen.images))
    assert test_recognizer(loaded, unseen).accuracy >= 0.9
    assert (
        loaded.accuracy
        == trained.tested.accuracy
        == json.loads((tmp_path / "out" / "result.json").read_text())["accuracy"]
    )
    assert [e.epoch for e in epochs] == [1, 2, 3, 4, 5, 6] == [e.epoch for e in trained.curve]
