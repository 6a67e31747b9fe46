"""Mutual information: closed forms, scikit-learn as the oracle, what is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from steepest.schedules import OneClassError, mutual_information, normalized_information


def tables(rows, columns, most=1000):
    row = st.lists(st.integers(0, most), min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows).map(torch.tensor).filter(lambda table: table.sum() > 0)


any_table = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(lambda size: tables(*size))


@given(any_table)
def test_it_is_scikit_learns(table):
    assert mutual_information(table) == pytest.approx(
        mutual_info_score(None, None, contingency=table.numpy()), abs=1e-12
    )


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("wrong", [0, 1, 5, 9])
def test_the_symmetric_channel(classes, wrong):
    p = wrong / 20
    each = 1000 * (classes - 1)  # so that the errors can be shared out evenly
    table = torch.full((classes, classes), int(each * wrong / 20 / (classes - 1)))
    table.fill_diagonal_(int(each * (20 - wrong) / 20))
    entropy = 0 if p == 0 else -p * math.log(p) - (1 - p) * math.log(1 - p)
    expected = math.log(classes) - entropy - p * math.log(classes - 1)
    assert mutual_information(table) == pytest.approx(expected, abs=1e-9)
    assert normalized_information(table) == pytest.approx(expected / math.log(classes), abs=1e-9)


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=8), st.randoms())
def test_perfect_predictions_tell_all_exactly_whatever_they_are_called(counts, random):
    order = list(range(len(counts)))
    random.shuffle(order)
    table = torch.diag(torch.tensor(counts))[:, order]
    n = sum(counts)
    assert mutual_information(table) == pytest.approx(-sum(c / n * math.log(c / n) for c in counts), rel=1e-12)
    assert normalized_information(table) == normalized_information(table, "miller-madow") == 1.0


@given(tables(4, 4), st.permutations(range(4)))
def test_relabelled_predictions_tell_as_much(table, order):
    assert mutual_information(table[:, order]) == pytest.approx(mutual_information(table), abs=1e-12)


@given(any_table, st.sampled_from([None, "miller-madow"]))
def test_it_is_never_negative_and_its_share_at_most_1(table, correction):
    assert mutual_information(table, correction) >= 0
    if (table.sum(1) > 0).sum() > 1:
        assert 0 <= normalized_information(table, correction) <= 1


def test_a_transposed_table_gives_another_share():
    table = torch.tensor([[40, 40], [0, 20]])
    assert mutual_information(table) == pytest.approx(mutual_information(table.T))
    assert abs(normalized_information(table) - normalized_information(table.T)) > 0.05
    assert normalized_information(table) == pytest.approx(
        mutual_information(table) / -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    )


def test_independent_predictions_are_biased_as_said_and_corrected():
    generator = torch.Generator().manual_seed(0)
    classes, n = 5, 2000
    plain, corrected = [], []
    for _ in range(200):
        cells = torch.randint(classes**2, (n,), generator=generator)
        table = torch.bincount(cells, minlength=classes**2).view(classes, classes)
        plain.append(mutual_information(table))
        corrected.append(mutual_information(table, "miller-madow"))
    bias = (classes - 1) ** 2 / (2 * n)
    assert sum(plain) / 200 == pytest.approx(bias, rel=0.1)
    # What falls below 0 is 0: half of the deviation that is left, (C - 1) / sqrt(2) / n, remains.
    assert sum(corrected) / 200 < bias / 3


def test_the_correction_is_that_of_miller_and_madow():
    table = torch.tensor([[30, 10, 0], [5, 25, 10]])
    assert mutual_information(table, "miller-madow") == pytest.approx(mutual_information(table) + (2 + 3 - 5 - 1) / 160)


@pytest.mark.parametrize(
    ("table", "error", "sentence"),
    [
        (torch.tensor([[3, 2], [0, 0]]), OneClassError, "all 5 samples are of class 0"),
        (torch.tensor([[0, 0], [0, 0]]), ValueError, r"must hold a sample, got none in shape \(2, 2\)"),
        (torch.zeros(0, 0, dtype=torch.int64), ValueError, "must hold a sample"),
        (torch.tensor([[3, -2], [0, 0]]), ValueError, "must hold no negative number, got -2"),
        (torch.eye(2), TypeError, "must hold integers, got torch.float32"),
        (torch.tensor([3, 2]), ValueError, r"must have two dimensions, got shape \(2,\)"),
        ([[3, 2]], TypeError, "must be a tensor of integers, got list"),
    ],
)
def test_what_cannot_be_measured_is_refused(table, error, sentence):
    with pytest.raises(error, match=sentence):
        normalized_information(table)


def test_an_unknown_correction_is_refused():
    with pytest.raises(ValueError, match="correction must be 'miller-madow' or None, got 'jackknife'"):
        mutual_information(torch.eye(2, dtype=torch.int64), "jackknife")
