import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from steepest._errors import InputError
from steepest.data import Split, Splits, as_split, digits, hold_out, standardize


def numbered(count):
    return Split(torch.arange(count), torch.arange(count) * 10)


@given(count=st.integers(2, 200), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_hold_out_partitions_and_keeps_pairs(count, fraction, seed):
    if not 0 < round(fraction * count) < count:
        with pytest.raises(InputError, match="fraction must leave both parts non-empty"):
            hold_out(numbered(count), fraction, seed)
        return
    rest, part = hold_out(numbered(count), fraction, seed)
    assert sorted([*rest.inputs.tolist(), *part.inputs.tolist()]) == list(range(count))
    assert torch.equal(part.targets, part.inputs * 10)
    assert torch.equal(part.inputs, hold_out(numbered(count), fraction, seed)[1].inputs)


def test_hold_out_depends_on_the_seed():
    assert not torch.equal(hold_out(numbered(50), 0.5, 0)[1].inputs, hold_out(numbered(50), 0.5, 1)[1].inputs)


def test_lengths_must_agree():
    with pytest.raises(InputError, match="got 3 inputs and 2 targets"):
        Split(torch.zeros(3), torch.zeros(2))
    with pytest.raises(InputError, match="at least one"):
        Split(torch.zeros(0), torch.zeros(0))


@pytest.mark.parametrize("form", [Split, TensorDataset, lambda x, y: (x, y)])
def test_what_a_users_data_may_be(form):
    x, y = torch.randn(5, 2), torch.arange(5)
    split = as_split(form(x, y))
    assert torch.equal(split.inputs, x)
    assert torch.equal(split.targets, y)


@pytest.mark.parametrize("bad", [None, 3, (torch.zeros(2),), [torch.zeros(2), torch.zeros(2)]])
def test_what_it_may_not_be(bad):
    with pytest.raises(InputError, match=f"a map-style dataset, got {type(bad).__name__}"):
        as_split(bad)


def test_standardize_uses_training_statistics_only():
    train, other = Split(torch.tensor([0.0, 4.0]), torch.zeros(2)), Split(torch.tensor([100.0]), torch.zeros(1))
    result = standardize(Splits(train, other, other))
    assert result.train.inputs.tolist() == [-1.0, 1.0]
    assert result.test.inputs.tolist() == [49.0]


def test_digits_are_the_same_every_time_and_do_not_overlap():
    first, second = digits(), digits()
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.inputs, b.inputs)
    rows = [{tuple(row) for row in split.inputs.tolist()} for split in first]
    assert not rows[0] & rows[2]
    assert not rows[0] & rows[1]
