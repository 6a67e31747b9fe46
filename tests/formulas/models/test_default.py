"""The model that comes with the package."""

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from steepest.formulas.logic import LABELS
from steepest.formulas.models import DEFAULT, load_default
from steepest.formulas.models.make import LARGEST, main, make_set
from steepest.formulas.reading import make_fragments
from steepest.formulas.recognition import Recognizer, test_recognizer
from steepest.formulas.sets import stroke_bitmap
from steepest.formulas.sets.made import make_symbols, read_designs
from steepest.formulas.sets.made.curves import draw_curve

FOLDER = files("steepest.formulas.models")
# Which of these a picture of one symbol is, nobody can tell.
ALIKE = {label: group for group in ("l1I(),", "o0", "q9g", "8B", "s5", "uU", "yYv", "tf+") for label in group}


def stated() -> list[str]:
    """The checksums of the model and of the nets on seams, as they stand beside them."""
    return re.findall(r"\b[0-9a-f]{64}\b", FOLDER.joinpath("README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", name="model")
def default_model() -> Recognizer:
    return load_default()


def test_the_file_is_the_one_whose_checksum_stands_beside_it_and_is_small() -> None:
    content = FOLDER.joinpath(DEFAULT).read_bytes()
    assert hashlib.sha256(content).hexdigest() == stated()[0]
    assert len(content) <= LARGEST


def test_the_nets_on_seams_are_those_whose_checksum_stands_there() -> None:
    content = files("steepest.formulas.reading").joinpath("seams.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == stated()[1]


def test_the_model_knows_all_classes_and_what_is_none_and_how_sure_it_may_be(model: Recognizer) -> None:
    assert set(model.labels) == {*LABELS, ""}
    assert model.accuracy is not None
    assert 0.8 < model.accuracy < 1


def test_the_model_written_again_is_the_same_bytes(model: Recognizer) -> None:
    assert model.content(half=True) == FOLDER.joinpath(DEFAULT).read_bytes()


def test_the_model_reads_symbols_of_hands_that_it_has_not_seen(model: Recognizer) -> None:
    tested = test_recognizer(model, make_symbols(15, seed=987654))
    assert tested.accuracy > 0.88


def test_the_model_reads_every_design_as_the_servers_pen_draws_it(model: Recognizer) -> None:
    wrong = []
    designs = [design for of_label in read_designs().values() for design in of_label if design.weight >= 1]
    for design in designs:
        strokes = [draw_curve(stroke.points, stroke.corners).tolist() for stroke in design.strokes]
        ((said, _),) = model.top(stroke_bitmap(strokes)[None], 1)[0]
        if said != design.label and said not in ALIKE.get(design.label, ""):
            wrong.append((design.label, said))
    assert len(wrong) <= 0.03 * len(designs), wrong


def test_the_model_tells_fragments_from_symbols(model: Recognizer) -> None:
    made = make_symbols(4, seed=987654)
    fragments = make_fragments(made.images, made.labels, 200, 5)
    none = model.labels.index("")
    assert (model.probabilities(fragments).argmax(axis=1) == none).mean() > 0.7
    assert (model.probabilities(made.images).argmax(axis=1) == none).mean() < 0.1


def test_what_is_held_out_shares_no_symbol_with_what_is_learnt() -> None:
    symbols, held_out = make_set(10, 40, seed=2)
    counts = symbols.some(held_out).counts()
    assert counts == {**dict.fromkeys(LABELS, 2), "": 4}
    assert symbols.counts() == {**dict.fromkeys(LABELS, 20), "": 40}
    learnt = {symbols.images[k].tobytes() for k in np.setdiff1d(np.arange(len(symbols)), held_out)}
    plain = [k for k in held_out if k < 10 * len(LABELS)]
    assert sum(symbols.images[k].tobytes() in learnt for k in plain) <= 3  # strokes as simple as -


@pytest.mark.parametrize("few", ["count", "fragments"])
def test_too_few_to_learn_from_are_refused(few: str) -> None:
    with pytest.raises(ValueError, match=f"{few} must be at least 2, got 1"):
        make_set(**{"count": 2, "fragments": 2, few: 1}, seed=0)


def test_a_model_is_made_by_the_command_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steepest.formulas.sets.made.fonts.NAMES", ())
    for name in "ab":
        main(["--out", str(tmp_path / name), "--count", "4", "--fragments", "30", "--epochs", "1", "--seed", "3"])
    first, second = ((tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    assert capsys.readouterr().out.count(hashlib.sha256(first).hexdigest()) == 2
    assert Recognizer.load(tmp_path / "a").probabilities(np.ones((1, 28, 28), dtype=np.uint8)).shape == (1, 68)
