"""A set, a training, a file, and what it says of symbols that it has not seen."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from steepest._errors import InputError
from steepest.formulas.reading import make_fragments
from steepest.formulas.recognition import (
    Recognizer,
    Settings,
    StoppedError,
    cross_validate,
    test_recognizer,
    train_recognizer,
)
from steepest.formulas.recognition.distortion import distort
from steepest.formulas.recognition.networks import DenseNet, as_inputs
from steepest.formulas.recognition.page import story_of
from steepest.formulas.recognition.widening import widened
from steepest.formulas.sets import SymbolSet, no_symbols, read_set
from steepest.formulas.sets.npz import write_npz
from tests.formulas.sets.drawn import drawn_set

ROOT = Path(__file__).parents[3]
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


def lines(folder):
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_training_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    script = f"""
import os, signal
from pathlib import Path
from steepest.formulas.recognition import Settings, train_recognizer, training
from tests.formulas.sets.drawn import drawn_set
training._SECONDS = 0.0
training.Checkpoint.due = lambda self: True
train_recognizer(drawn_set(30), Path({str(tmp_path / "killed")!r}), Settings(epochs=6, batch_size=10, hidden=50),
                 lambda e: os.kill(os.getpid(), signal.SIGKILL) if e.epoch == 4 else None)
"""
    killed = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    )
    assert killed.returncode == -signal.SIGKILL
    assert [line["epoch"] for line in lines(tmp_path / "killed")] == [1, 2, 3, 4]
    assert not (tmp_path / "killed" / "result.json").exists()
    seen = []
    again = train_recognizer(drawn_set(30), tmp_path / "killed", QUICK["dense"], seen.append)
    assert [e.epoch for e in seen] == [4, 5, 6]
    whole = train_recognizer(drawn_set(30), tmp_path / "whole", QUICK["dense"])
    images = drawn_set(5, seed=2).images
    assert np.array_equal(again.recognizer.probabilities(images), whole.recognizer.probabilities(images))
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == [
        "model.safetensors", "progress.jsonl", "result.json", "training.json"
    ]  # fmt: skip


def test_what_is_done_is_read_and_not_done_again(tmp_path):
    first = train_recognizer(drawn_set(10), tmp_path / "out", QUICK["dense"])
    seen = []
    again = train_recognizer(drawn_set(10), tmp_path / "out", QUICK["dense"], seen.append)
    assert seen == []
    assert (again.tested, again.curve, again.seconds, again.counts) == (
        first.tested, first.curve, first.seconds, first.counts
    )  # fmt: skip
    (tmp_path / "out" / "result.json").write_text("{")
    assert train_recognizer(drawn_set(10), tmp_path / "out", QUICK["dense"], seen.append).tested == first.tested
    assert len(seen) == 6


def test_another_set_or_another_setting_needs_another_folder(tmp_path):
    train_recognizer(drawn_set(10), tmp_path / "out", Settings(epochs=1, hidden=5))
    for symbols, settings in (
        (drawn_set(11), Settings(epochs=1, hidden=5)),
        (drawn_set(10), Settings(epochs=2, hidden=5)),
    ):
        with pytest.raises(InputError, match="holds another training"):
            train_recognizer(symbols, tmp_path / "out", settings)


def test_who_watches_can_stop_it_and_go_on_later(tmp_path):
    with pytest.raises(StoppedError, match="after epoch 2 of 6"):
        train_recognizer(drawn_set(10), tmp_path / "out", QUICK["dense"], lambda e: e.epoch == 2)
    assert not (tmp_path / "out" / "model.safetensors").exists()
    trained = train_recognizer(drawn_set(10), tmp_path / "out", QUICK["dense"])
    assert [e.epoch for e in trained.curve] == [1, 2, 3, 4, 5, 6]


def test_examples_of_confusions_are_symbols_of_the_whole_set(tmp_path):
    symbols = drawn_set(20)
    wrong = SymbolSet(symbols.images, tuple("∃" if k % 20 < 5 else label for k, label in enumerate(symbols.labels)))
    trained = train_recognizer(wrong, tmp_path / "out", replace(QUICK["dense"], held_out=0.3))
    assert trained.tested.confusions
    for confusion in trained.tested.confusions:
        assert {wrong.labels[k] for k in confusion.examples} == {confusion.was}
    found = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [c["count"] for c in found["confusions"]] == [c.count for c in trained.tested.confusions]


def test_symbols_to_hold_out_can_be_given(tmp_path):
    symbols = drawn_set(10)
    chosen = [k for k in range(len(symbols)) if k % 10 == 0]
    trained = train_recognizer(symbols, tmp_path / "out", Settings(epochs=1, hidden=5), held_out=chosen)
    assert trained.tested.counts == symbols.some(chosen).counts()
    with pytest.raises(InputError, match="holds another training"):
        train_recognizer(symbols, tmp_path / "out", Settings(epochs=1, hidden=5), held_out=chosen[1:])
    with pytest.raises(InputError, match="holds another training"):
        train_recognizer(symbols, tmp_path / "out", Settings(epochs=1, hidden=5))
    for wrong in ([], range(len(symbols)), [-1], [len(symbols)]):
        with pytest.raises(ValueError, match="held_out must be indices of some of the"):
            train_recognizer(symbols, tmp_path / "new", Settings(epochs=1, hidden=5), held_out=wrong)


def test_a_symbol_is_taken_for_none_only_where_some_are_none():
    network = DenseNet(3, 4)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([0.0, 1.0, 9.0]))
    recognizer = Recognizer(network, ("∀", "∃", ""))
    images = np.ones((2, 28, 28), dtype=np.uint8)
    assert test_recognizer(recognizer, SymbolSet(images, ("∃", "∀"))).accuracy == 0.5
    tested = test_recognizer(recognizer, SymbolSet(images, ("∃", "")))
    assert [(c.was, c.said) for c in tested.confusions] == [("∃", "")]


@pytest.mark.slow
def test_what_is_no_symbol_is_learnt_if_asked_for_and_the_accuracy_is_that_of_symbols(tmp_path):
    symbols = drawn_set(20)
    settings = replace(QUICK["dense"], fragments=0.5, epochs=12)
    trained = train_recognizer(symbols, tmp_path / "out", settings)
    assert trained.recognizer.labels == (*symbols.counts(), "")
    assert trained.counts == symbols.counts()
    assert sum(trained.tested.counts.values()) == len(symbols) // 10
    images = drawn_set(20, seed=1).images
    fragments = make_fragments(images, drawn_set(20, seed=1).labels, 200, 3)
    none = [trained.recognizer.probabilities(some)[:, -1].mean() for some in (images, fragments)]
    assert none[0] < 0.3 < none[1]
    found = cross_validate(symbols, replace(settings, epochs=4), 2)
    assert found.tested.counts == symbols.counts()


def test_symbols_that_come_more_often_weigh_more(tmp_path):
    """Two sets that say the opposite of each other: the one that comes ten times is believed."""
    some = drawn_set(10)
    one, other = list(some.counts())[:2]
    swapped = {one: other, other: one}
    kept = [k for k, label in enumerate(some.labels) if label in swapped]
    some = some.some(kept)
    both = some + SymbolSet(drawn_set(10, seed=1).some(kept).images, tuple(swapped[x] for x in some.labels))
    for times, sure in (([1] * 20 + [10] * 20, False), ([10] * 20 + [1] * 20, True)):
        folder = tmp_path / str(sure)
        trained = train_recognizer(both, folder, replace(QUICK["dense"], epochs=10), held_out=[0, 20], times=times)
        known = test_recognizer(trained.recognizer, some).accuracy
        assert known > 0.9 if sure else known < 0.1
    with pytest.raises(InputError, match="holds another training"):
        train_recognizer(both, folder, replace(QUICK["dense"], epochs=10), held_out=[0, 20])
    for wrong in ([1] * 39, [1.0] * 40, [0] * 40):
        with pytest.raises(ValueError, match="times must be 40 integers above 0, one for each symbol, got"):
            train_recognizer(both, tmp_path / "new", QUICK["dense"], times=wrong)


def test_what_is_made_of_a_symbol_is_learnt_or_held_out_as_it_is():
    symbols = drawn_set(4) + SymbolSet(np.ones((1, 28, 28), dtype=np.uint8), ("",))
    rest, held_out = np.arange(0, len(symbols), 2), np.arange(1, len(symbols), 2)
    whole, learnt, tested = widened(symbols, rest, held_out, 1.5, 7)
    assert whole.labels[: len(symbols)] == symbols.labels
    assert sorted([*learnt.tolist(), *tested.tolist()]) == list(range(len(whole)))
    for part, own in ((learnt, rest), (tested, held_out)):
        named = [label for label in symbols.some(own).labels if label]
        added = list(whole.some(part).labels[len(own) :])
        assert added == [*named, *[""] * round(1.5 * len(named))]
    blank = SymbolSet(np.zeros((2, 28, 28), dtype=np.uint8), symbols.labels[:2])
    assert len(widened(blank, np.array([0]), np.array([1]), 1.5, 7)[0]) == 2  # of no ink nothing is made, either
    alone = widened(symbols.some(rest), np.arange(len(rest) - 1), np.array([len(rest) - 1]), 1.5, 7)[0]
    assert len(alone) == len(rest) + len(rest) - 1 + round(1.5 * (len(rest) - 1))  # of "" nothing is made


@examples(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 783), max_size=40), min_size=2, max_size=6), st.integers(0, 5))
def test_of_any_pictures_fragments_are_made(pictures, seed):
    images = np.zeros((len(pictures), 784), dtype=np.uint8)
    for image, places in zip(images, pictures, strict=True):
        image[places] = 1
    symbols = SymbolSet(images.reshape(-1, 28, 28), tuple("a-=(1i"[: len(images)]))
    whole, learnt, tested = widened(symbols, np.arange(1, len(symbols)), np.array([0]), 2.0, seed)
    assert len(whole) == len(learnt) + len(tested) == len(symbols) + 3 * int(symbols.images.any(axis=(1, 2)).sum())


def test_the_page_says_what_else_was_learnt(tmp_path):
    asked = replace(QUICK["dense"], epochs=1, fragments=0.5)
    for settings, is_there in ((asked, True), (replace(asked, fragments=0.0), False)):
        trained = train_recognizer(drawn_set(4), tmp_path / str(is_there), settings)
        story = story_of(trained, settings, "mine")
        assert ("0.5 fragments for each" in story.facts) is is_there
        assert ("fragments" in story.figures[0].caption) is is_there
        assert ("made of them" in story.conventions) is is_there


def test_a_folder_from_before_there_were_fragments_goes_on(tmp_path):
    trained = train_recognizer(drawn_set(10), tmp_path / "out", Settings(epochs=1, hidden=5))
    settings = json.loads((tmp_path / "out" / "training.json").read_text())
    assert settings.pop("fragments") == 0
    assert settings.pop("times", 0) is None
    (tmp_path / "out" / "training.json").write_text(json.dumps(settings))
    again = train_recognizer(drawn_set(10), tmp_path / "out", Settings(epochs=1, hidden=5), pytest.fail)
    assert again.tested == trained.tested
    with pytest.raises(InputError, match="fragments"):
        train_recognizer(drawn_set(10), tmp_path / "out", Settings(epochs=1, hidden=5, fragments=1.0))


def test_a_training_that_diverges_says_so(tmp_path):
    with pytest.raises(InputError, match="lr 1e\\+30 is too high for sgd"):
        train_recognizer(drawn_set(10), tmp_path / "out", replace(QUICK["dense"], method="sgd", lr=1e30))
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_set_of_few_symbols_is_trained_on_and_one_of_copies_is_refused(tmp_path):
    trained = train_recognizer(drawn_set(2), tmp_path / "few", Settings(epochs=1, hidden=5))
    assert trained.recognizer.labels == tuple(trained.counts)
    with pytest.raises(InputError, match="no copies of each other"):
        train_recognizer(drawn_set(1), tmp_path / "one", Settings(epochs=1, hidden=5))
    with pytest.raises(InputError, match="no copies of each other"):
        train_recognizer(no_symbols(), tmp_path / "none", Settings(epochs=1, hidden=5))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("network", "resnet"), ("epochs", 0), ("epochs", 1.5), ("batch_size", 0), ("hidden", 0), ("hidden", 10**6),
        ("lr", 0.0), ("lr", float("inf")), ("seed", -1), ("held_out", 0.0), ("held_out", 0.6), ("activation", "tanh"),
        ("schedule", "never"), ("threads", 0), ("fragments", -0.5), ("fragments", 11), ("fragments", float("nan")),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"{setting} must be"):
        Settings(**{setting: value})


def test_distorted_images_differ_fill_the_square_and_come_from_the_generator_alone():
    images = as_inputs(drawn_set(4).images)
    one, other = (distort(images, torch.Generator().manual_seed(5), shift=0.0) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, images)
    ink = one > 0.3
    sides = torch.maximum(ink.any(dim=1).sum(dim=1), ink.any(dim=2).sum(dim=1))
    assert (sides >= 27).all()
    still = distort(images, torch.Generator().manual_seed(5), turn=0, slant=0, stretch=0, shift=0)
    assert (still - images).abs().mean() < 0.05
    assert torch.equal(distort(torch.zeros(2, 28, 28), torch.Generator()), torch.zeros(2, 28, 28))


@pytest.mark.slow
def test_every_symbol_is_tested_once_by_a_network_that_has_not_seen_it(tmp_path):
    symbols = drawn_set(12)
    seen = []
    found = cross_validate(symbols, QUICK["dense"], 3, lambda fold, tested, seconds: seen.append(fold))
    assert seen == [0, 1, 2]
    assert sum(sum(fold.counts.values()) for fold in found.folds) == len(symbols) == sum(found.tested.counts.values())
    assert found.accuracy[0] == pytest.approx(np.mean([fold.accuracy for fold in found.folds]))
    assert found.tested.accuracy >= 0.8
    random = SymbolSet(symbols.images, tuple(np.random.default_rng(0).permutation(symbols.labels).tolist()))
    by_heart = Settings(epochs=60, batch_size=10, distort=False)
    assert train_recognizer(random, tmp_path / "all", by_heart).curve[-1].train_loss <= 0.4
    assert cross_validate(random, by_heart, 3).tested.accuracy <= 0.5
