"""A model's file holds all that it needs, and another file is refused in one sentence."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from steepest._errors import InputError
from steepest.formulas.recognition import ConvNet, DenseNet, Recognizer, test_recognizer
from steepest.formulas.recognition.networks import max_pool
from steepest.formulas.recognition.recognizer import FORMAT
from steepest.formulas.recognition.temperature import fit_temperature
from steepest.formulas.sets import SymbolSet
from tests.formulas.sets.drawn import STROKES, drawn_set

LABELS = ("∀", "a", "")


def untrained(network="dense"):
    torch.manual_seed(0)
    net = DenseNet(classes=3, hidden=8) if network == "dense" else ConvNet(classes=3)
    return Recognizer(net, LABELS, temperature=1.5, accuracy=0.25)


def bitmaps(count):
    return (np.random.default_rng(0).random((count, 28, 28)) < 0.3).astype(np.uint8)


@pytest.mark.parametrize("network", ["dense", "cnn"])
def test_a_model_says_the_same_after_it_was_saved(tmp_path, network):
    before = untrained(network)
    before.save(tmp_path / "model.safetensors")
    after = Recognizer.load(tmp_path / "model.safetensors")
    assert np.array_equal(before.probabilities(bitmaps(7)), after.probabilities(bitmaps(7)))
    assert (after.labels, after.temperature, after.accuracy) == (LABELS, 1.5, 0.25)
    assert Recognizer.load(before.content()).labels == LABELS


def test_a_model_of_half_the_bits_says_nearly_the_same_in_half_the_bytes():
    before = untrained()
    after = Recognizer.load(before.content(half=True))
    assert np.allclose(before.probabilities(bitmaps(7)), after.probabilities(bitmaps(7)), atol=1e-3)
    assert len(before.content(half=True)) < 0.6 * len(before.content())


def test_probabilities_are_of_many_bitmaps_or_of_none():
    recognizer = untrained()
    rows = recognizer.probabilities(bitmaps(2500))
    assert rows.shape == (2500, 3)
    assert rows.dtype == np.float64
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-12
    assert np.allclose(rows[2400:], recognizer.probabilities(bitmaps(2500)[2400:]))
    assert recognizer.probabilities(bitmaps(0)).shape == (0, 3)
    with pytest.raises(ValueError, match="shape"):
        recognizer.probabilities(bitmaps(1)[0])


def test_the_top_is_in_order():
    recognizer = untrained()
    [row], [top] = recognizer.probabilities(bitmaps(1)), recognizer.top(bitmaps(1), 2)
    assert [p for _, p in top] == sorted(row.tolist(), reverse=True)[:2]
    assert [row[LABELS.index(label)] for label, _ in top] == [p for _, p in top]


def test_the_temperature_leaves_the_order_and_softens():
    torch.manual_seed(0)
    cold = Recognizer(DenseNet(classes=3, hidden=8), LABELS)
    hot = Recognizer(cold.network, LABELS, temperature=10.0)
    a, b = cold.probabilities(bitmaps(20)), hot.probabilities(bitmaps(20))
    assert np.array_equal(a.argsort(axis=1), b.argsort(axis=1))
    assert (b.max(axis=1) < a.max(axis=1)).all()


def test_the_temperature_is_where_the_cross_entropy_is_least():
    torch.manual_seed(0)
    logits, targets = 6 * torch.randn(400, 5), torch.randint(5, (400,))
    targets[:300] = logits[:300].argmax(dim=1)
    best = fit_temperature(logits, targets)

    def loss(t):
        return torch.nn.functional.cross_entropy(logits.double() / t, targets).item()

    assert 1.0 < best < 20
    assert loss(best) < min(loss(0.98 * best), loss(1.02 * best))


def saved(**changes):
    metadata = {
        "format": FORMAT, "labels": json.dumps(LABELS), "network": json.dumps(untrained().network.settings),
        "temperature": "1.0", **changes,
    }  # fmt: skip
    return safetensors.torch.save(
        untrained().network.state_dict(), {k: v for k, v in metadata.items() if v is not None}
    )


def poisoned():
    network = DenseNet(classes=3, hidden=8)
    network.head.bias.data[0] = float("nan")
    return Recognizer(network, LABELS).content()


BAD = {
    "nothing": b"",
    "text": b"no model at all, and some more words",
    "a pickle": b"\x80\x04\x95" + bytes(40),
    "half of it": saved()[:-100],
    "the header alone": saved()[:50],
    "no metadata": safetensors.torch.save(untrained().network.state_dict()),
    "another format": saved(format="steepest recognizer 99"),
    "no labels": saved(labels=None),
    "labels of another kind": saved(labels="5"),
    "too few labels": saved(labels='["a"]'),
    "labels twice": saved(labels='["a", "a", "b"]'),
    "labels that are no class": saved(labels='["a", "b", "<script>"]'),
    "another network": saved(network='{"network": "resnet"}'),
    "a network too wide": saved(network='{"network": "dense", "classes": 3, "hidden": 100000000}'),
    "a network of no settings": saved(network="[]"),
    "deep settings": saved(network="[" * 100000),
    "other weights": saved(network='{"network": "dense", "classes": 3, "hidden": 9}'),
    "a setting more": saved(network='{"network": "dense", "classes": 3, "eval": 1}'),
    "no temperature": saved(temperature="cold"),
    "a temperature of 0": saved(temperature="0.0"),
    "an infinite temperature": saved(temperature="inf"),
    "an accuracy of 9": saved(accuracy="9"),
    "not a number among weights": poisoned(),
    "a header that is too long": (2**62).to_bytes(8, "little") + bytes(20),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_model_is_refused_in_one_sentence(tmp_path, what):
    (tmp_path / "model.safetensors").write_bytes(BAD[what])
    with pytest.raises(InputError, match="cannot be used as a model of symbols: ") as refused:
        Recognizer.load(tmp_path / "model.safetensors")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_model_that_is_not_there_or_too_large_is_refused(tmp_path, monkeypatch):
    from steepest.formulas.recognition import recognizer

    with pytest.raises(InputError, match="No such file"):
        Recognizer.load(tmp_path / "model.safetensors")
    monkeypatch.setattr(recognizer, "LARGEST_FILE", 100)
    untrained().save(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="at most 100 bytes"):
        Recognizer.load(tmp_path / "model.safetensors")


class Fixed(DenseNet):
    """Always says the second class."""

    def forward(self, x):
        return torch.tensor([[0.0, 1.0, 0.0]]).expand(len(x), -1)


def test_a_test_counts_by_class_and_shows_what_was_taken_for_what():
    drawn = drawn_set(1, labels="+l")
    symbols = drawn.some([0, 0, 0, 1])
    tested = test_recognizer(Recognizer(Fixed(classes=3, hidden=1), ("+", "l", "∀")), symbols)
    assert tested.accuracy == 0.25
    assert tested.balanced_accuracy == 0.5
    assert [tuple(c) for c in tested.confusions] == [("l", "+", 3, (0, 1, 2))]
    assert tested.counts == {"l": 1, "+": 3}


def test_a_class_that_the_model_does_not_know_is_never_right():
    symbols = drawn_set(1, labels="".join(STROKES))
    tested = test_recognizer(Recognizer(Fixed(classes=3, hidden=1), ("a", "b", "c")), symbols)
    assert tested.accuracy == 0
    with pytest.raises(InputError, match="at least one symbol"):
        test_recognizer(untrained(), SymbolSet(np.zeros((0, 28, 28), np.uint8), ()))


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (1, 2, 7, 7), (1, 1, 5, 8)])
def test_pooling_is_torchs_with_gradients_and_without(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x[0, 0, 1, 1] = float("nan")
    expected = torch.nn.functional.max_pool2d(x, 2)
    torch.testing.assert_close(max_pool(x), expected, rtol=0, atol=0, equal_nan=True)
    with torch.no_grad():
        torch.testing.assert_close(max_pool(x), expected, rtol=0, atol=0, equal_nan=True)
