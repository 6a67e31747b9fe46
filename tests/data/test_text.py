"""A text as sequences: cut by position, nothing leaks, characters that training never saw."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest._errors import InputError
from steepest.data import cifar10, image_folder, shakespeare, text
from steepest.data.text import parts_of_text, vocabulary


def written(path, content):
    path.write_text(content, encoding="utf-8", newline="\n")
    return path


def spelled(split, known):
    """The text that a split covers: its inputs in a row, and the last target."""
    symbols = "?" + known
    return "".join(symbols[i] for i in [*split.inputs.flatten().tolist(), split.targets[-1, -1].item()])


@settings(max_examples=30, deadline=None)
@given(content=st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=200, max_size=600))
def test_sequences_spell_the_text_in_order_and_no_part_sees_another(tmp_path_factory, content):
    path = written(tmp_path_factory.mktemp("text") / "t.txt", content)
    parts, known = parts_of_text(path), vocabulary(content[: len(content) * 90 // 100])
    assert "".join(parts) == content
    assert [len(parts[0]), len(parts[0] + parts[1])] == [len(content) * 90 // 100, len(content) * 95 // 100]
    for split, part in zip(text(path, length=7), parts, strict=True):
        assert torch.equal(split.inputs.flatten()[1:], split.targets.flatten()[:-1])  # the next character, of this part
        covered = spelled(split, known)
        assert len(part) - len(covered) < 7
        assert covered == "".join(c if c in known else "?" for c in part)[: len(covered)]


def test_a_character_that_training_lacks_is_zero(tmp_path):
    splits = text(written(tmp_path / "t.txt", "ab" * 90 + "aé" * 5 + "😀b" * 5), length=3)
    assert splits.train.inputs.unique().tolist() == [1, 2]
    assert splits.validation.inputs[0].tolist() == [1, 0, 1]
    assert splits.test.inputs[0].tolist() == [0, 2, 0]
    assert splits.test.targets[0].tolist() == [2, 0, 2]


def test_the_same_whatever_the_random_state(tmp_path):
    path = written(tmp_path / "t.txt", "to be or not to be. " * 100)
    torch.manual_seed(1)
    first = text(path)
    torch.manual_seed(2)
    for a, b in zip(first, text(path), strict=True):
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.targets, b.targets)
    assert first.train.inputs.dtype == first.train.targets.dtype == torch.int64
    assert first.train.inputs.shape == (28, 64)


def test_texts_that_cannot_be_used(tmp_path):
    with pytest.raises(InputError, match=r"must have at least 65 characters in its last twentieth, got 64$"):
        text(written(tmp_path / "short.txt", "x" * 1280))
    assert len(text(written(tmp_path / "enough.txt", "x" * 1300)).test) == 1
    with pytest.raises(InputError, match="got 0"):
        text(written(tmp_path / "empty.txt", ""))
    with pytest.raises(InputError, match=r"the text '.*none.txt' cannot be read: No such file"):
        text(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1") * 9)
    with pytest.raises(InputError, match=r"must be a text in UTF-8"):
        text(tmp_path / "latin.txt")


def test_tiny_shakespeare(real_data):
    splits = shakespeare(real_data)
    assert [tuple(split.inputs.shape) for split in splits] == [(15_685, 64), (871, 64), (871, 64)]
    assert splits.train.inputs.unique().tolist() == list(range(1, 66))
    known = vocabulary(parts_of_text(real_data / "tinyshakespeare" / "input.txt")[0])
    assert spelled(splits.train, known).startswith("First Citizen:\nBefore we proceed any further, hear me speak.")


def test_where_shakespeare_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("STEEPEST_DATA", raising=False)
    with pytest.raises(InputError, match=r"needs the file tinyshakespeare/input.txt .*: no data folder was given"):
        shakespeare()
    with pytest.raises(InputError, match=r"it is not in '.*'; get it from https://"):
        shakespeare(tmp_path)
    (tmp_path / "tinyshakespeare").mkdir()
    written(tmp_path / "tinyshakespeare" / "input.txt", "abc" * 2000)
    with pytest.raises(InputError, match=r"must hold the 65 characters of tiny Shakespeare, got 3; .* char-gpt:PATH"):
        shakespeare(tmp_path)


@pytest.mark.parametrize("length", [0, -1, "64", 1.5, True, None], ids=repr)
def test_a_length_that_is_none_is_refused(tmp_path, length):
    path = written(tmp_path / "t.txt", "abcdef " * 200)
    with pytest.raises(InputError, match="length must be a whole number of at least 1, got "):
        text(path, length)


def test_paths_may_be_strings(tmp_path):
    path = written(tmp_path / "t.txt", "abcdef " * 200)
    assert torch.equal(text(str(path), 8).train.inputs, text(path, 8).train.inputs)
    with pytest.raises(InputError, match=r"it is not in"):
        shakespeare(str(tmp_path))
    with pytest.raises(InputError, match="cifar10 needs"):
        cifar10(str(tmp_path))
    with pytest.raises(InputError, match="must have a subfolder"):
        image_folder(str(tmp_path))
