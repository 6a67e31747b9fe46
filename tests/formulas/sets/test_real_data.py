"""The authors' symbols, where they are: 250 of each class."""

import pytest

from steepest.formulas.logic import LABELS
from steepest.formulas.recognition import Settings, train_recognizer
from steepest.formulas.sets import group_copies, read_set


@pytest.fixture(scope="module")
def symbols(real_data):
    path = real_data / "logic-symbols" / "train.npz"
    if not path.is_file():
        pytest.skip("no real symbols: logic-symbols/train.npz is not in the data folder")
    return read_set(path)


def test_the_real_set_has_250_of_each_class_and_a_third_of_f_are_originals(symbols):
    assert symbols.counts() == dict.fromkeys(LABELS, 250)
    f = symbols.some([k for k, label in enumerate(symbols.labels) if label == "f"])
    assert 70 <= group_copies(f.images).max() + 1 <= 120


@pytest.mark.slow
@pytest.mark.parametrize(("network", "least"), [("dense", 0.86), ("cnn", 0.88)])
def test_a_short_training_on_the_real_set_tells_most_symbols_apart(symbols, tmp_path, network, least):
    trained = train_recognizer(symbols, tmp_path / "out", Settings(network=network, epochs=5))
    assert trained.tested.balanced_accuracy >= least
