import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset, TensorDataset

from steepest._errors import InputError
from steepest.data import Split, Splits, as_split, digits, hold_out, standardize
from steepest.data.splits import as_splits


class Samples(Dataset):
    def __init__(self, items, sized=True):
        self.items, self.sized = items, sized

    def __len__(self):
        if not self.sized:
            raise TypeError("no length")
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


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


@pytest.mark.parametrize(
    ("inputs", "targets", "sentence"),
    [
        ([1.0, 2.0], torch.zeros(2), "the inputs of a split must be a torch.Tensor, got a list of 2 (float)"),
        (torch.zeros(2), np.zeros(2), "the targets of a split must be a torch.Tensor, got ndarray"),
        (pd.DataFrame({"a": [1.0]}), torch.zeros(1), "the inputs of a split must be a torch.Tensor, got DataFrame"),
        (torch.tensor(1.0), torch.zeros(1), "the inputs of a split must have a first dimension of samples"),
        (
            torch.zeros(2, 2).to_sparse(),
            torch.zeros(2),
            "must be a dense tensor of plain data in memory, got one of layout",
        ),
        (torch.zeros(2, device="meta"), torch.zeros(2), "must be a dense tensor of plain data in memory"),
        (torch.zeros(2, requires_grad=True), torch.zeros(2), "got one that needs a gradient"),
    ],
)
def test_a_split_says_what_it_must_be_made_of(inputs, targets, sentence):
    with pytest.raises(InputError) as raised:
        Split(inputs, targets)
    assert sentence in str(raised.value)


PART = (torch.zeros(3, 2), torch.zeros(3))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (None, "the data must be three parts, training, validation and test, got NoneType"),
        ((PART, PART), "the data must be three parts, training, validation and test, got 2"),
        ([PART] * 4, "got 4"),
        ("abc", "got str"),
        ([PART, PART, (np.zeros(3), np.zeros(3))], "the inputs of a split must be a torch.Tensor, got ndarray"),
        ([PART, PART, (torch.zeros(3), torch.zeros(2))], "got 3 inputs and 2 targets"),
        ([PART, PART, Samples([])], "got an empty dataset"),
        ([PART, PART, Samples([{"x": 1}])], "every item of a dataset must be a pair (input, target), got dict"),
        (
            [PART, PART, Samples([1], sized=False)],
            "a dataset of a workload must be map-style, with a length, got Samples",
        ),
    ],
)
def test_what_the_data_of_a_workload_must_be(parts, sentence):
    with pytest.raises(InputError) as raised:
        as_splits(parts)
    assert sentence in str(raised.value)


@given(
    scales=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4),
    shift=st.floats(-1e3, 1e3),
    seed=st.integers(0, 5),
)
def test_columns_are_standardized_one_by_one(scales, shift, seed):
    """Whatever the unit of a column, it is the same column."""
    x = torch.randn(50, len(scales), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    train, other = Split(x[:30], x[:30]), Split(x[30:], x[30:])
    units = torch.tensor(scales, dtype=torch.float64)
    scaled = [Split(part.inputs * units + shift, part.targets) for part in (train, other, other)]
    result = standardize(Splits(*scaled))
    torch.testing.assert_close(result.train.inputs.mean(0), torch.zeros_like(units), atol=1e-6, rtol=0)
    torch.testing.assert_close(result.train.inputs.std(0, correction=0), torch.ones_like(units))
    torch.testing.assert_close(
        result.test.inputs, standardize(Splits(train, other, other)).test.inputs, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e6 + 0.1, -3e-20])
def test_a_constant_column_is_only_shifted(value):
    x = torch.stack([torch.full((101,), value), torch.linspace(0, 1, 101)], dim=1)
    test = Split(torch.tensor([[value + 1, 0.5]]), torch.zeros(1))
    result = standardize(Splits(Split(x, x), test, test))
    assert result.train.inputs[:, 0].abs().max() <= 1e-6 * abs(value)
    torch.testing.assert_close(result.test.inputs, torch.tensor([[1.0, 0.0]]), atol=0.1, rtol=0)


def test_images_share_one_scale_and_a_table_can():
    x = torch.randn(20, 3, 2, 2) * torch.tensor([1.0, 10.0, 100.0])[:, None, None]
    images = Split(x, x)
    expected = (x - x.mean()) / x.std(correction=0)
    assert torch.equal(standardize(Splits(images, images, images)).test.inputs, expected)
    flat = Split(x.flatten(1), x)
    parts = Splits(flat, flat, flat)
    assert torch.equal(standardize(parts, per="everything").test.inputs, expected.flatten(1))
    assert not torch.equal(standardize(parts).test.inputs, expected.flatten(1))


@pytest.mark.parametrize(
    ("inputs", "per", "sentence"),
    [
        (
            torch.arange(4).reshape(2, 2),
            None,
            "inputs must be floating-point numbers to be standardized, got torch.int64",
        ),
        (torch.zeros(2, 2), "feature", "per must be 'column' or 'everything', got 'feature'"),
        (torch.zeros(2, 2, 2), "column", "per='column' needs inputs of shape (N, columns), got (2, 2, 2)"),
    ],
)
def test_what_cannot_be_standardized(inputs, per, sentence):
    part = Split(inputs, torch.zeros(2))
    with pytest.raises(InputError) as raised:
        standardize(Splits(part, part, part), per=per)
    assert sentence in str(raised.value)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 2, float("nan"), "0.2", None, True])
def test_a_fraction_lies_between_0_and_1(fraction):
    with pytest.raises(InputError, match="fraction must leave both parts non-empty"):
        hold_out(numbered(10), fraction)
