"""What a table must be, and what is made of it."""

import numpy as np
import pandas as pd
import pytest

from steepest.causal.table import checked_table

RNG = np.random.default_rng(0)
GOOD = pd.DataFrame(RNG.normal(size=(30, 3)), columns=["a", "b", "c"])


def test_numbers_are_standardised_and_kept_as_they_were():
    table = checked_table(GOOD * 7 + 3, kind="numeric")
    np.testing.assert_allclose(table.values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(table.values.std(axis=0), 1)
    np.testing.assert_array_equal(table.raw, GOOD * 7 + 3)
    assert table.levels.tolist() == [0, 0, 0]


def test_values_are_numbered():
    frame = pd.DataFrame({"x": ["lo", "hi", "lo"], "y": [True, False, True], "z": [5, 7, 9]})
    table = checked_table(frame, kind="discrete")
    assert table.values.T.tolist() == [[1, 0, 1], [1, 0, 1], [0, 1, 2]]
    assert table.levels.tolist() == [2, 2, 3]


def test_constant_columns_and_dropped_rows_are_named():
    frame = GOOD.assign(flat=1.0, b=GOOD["b"].where(GOOD.index != 4))
    table = checked_table(frame, kind="numeric", missing="drop")
    assert (table.names, table.rows) == (["a", "b", "c"], 29)
    assert table.notes == [
        "1 of 30 rows were dropped for missing values.",
        "Column 'flat' was left out: it has one value.",
    ]


def test_a_resample_is_standardised_anew():
    table = checked_table(GOOD, kind="numeric")
    taken = table.taken(np.array([0, 0, 1, 2, 5]))
    np.testing.assert_allclose(taken.values.std(axis=0), 1)
    assert taken.taken(np.array([0, 0])).values.tolist() == [[0, 0, 0]] * 2


@pytest.mark.parametrize(
    ("frame", "kind", "sentence"),
    [
        (GOOD.assign(d=GOOD["a"] * -2 + 1), "numeric", "columns 'a' and 'd' must differ by more than scale"),
        (GOOD.assign(d=GOOD["a"] + GOOD["b"]), "numeric", "columns 'a', 'b', 'd' must be linearly independent"),
        (GOOD[:3], "numeric", "must have more rows than columns, got 3 rows and 3 columns"),
        (GOOD.assign(b=np.nan), "numeric", "must have no missing values unless missing='drop', got 30 rows .* 'b'"),
        (GOOD.assign(b=np.inf), "numeric", "must be finite, got inf in column 'b'"),
        (GOOD.assign(b="text"), "numeric", "column 'b' must hold numbers for this score, got values such as 'text'"),
        (GOOD.assign(b=[f"v{i}" for i in range(30)] * 1), "numeric", "column 'b' must hold numbers"),
        (pd.DataFrame({"a": range(200), "b": [0, 1] * 100}), "discrete", "column 'a' must have at most 100 .* got 200"),
        (GOOD.assign(b=1.0, c=2.0), "numeric", "must have at least 2 columns that vary, got 1"),
        (GOOD.set_axis(["a", "a", "b"], axis=1), "numeric", "must have different column names, got 'a' twice"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(frame, kind, sentence):
    with pytest.raises(ValueError, match=sentence):
        checked_table(frame, kind=kind)


def test_ten_thousand_values_are_no_categories():
    frame = pd.DataFrame({"a": [f"v{i}" for i in range(10_000)], "b": [0, 1] * 5000})
    with pytest.raises(ValueError, match="at most 100 different values to be categorical, got 10000"):
        checked_table(frame, kind="discrete")


def test_only_data_frames_and_known_words():
    with pytest.raises(TypeError, match="data must be a pandas DataFrame, got ndarray"):
        checked_table(GOOD.to_numpy(), kind="numeric")
    with pytest.raises(ValueError, match="missing must be 'refuse' or 'drop', got 'mean'"):
        checked_table(GOOD, kind="numeric", missing="mean")
