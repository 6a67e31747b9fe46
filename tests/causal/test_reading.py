"""Tables from files: separators, compression, Parquet, and what is no table."""

import gzip

import pandas as pd
import pytest

from steepest._errors import InputError
from steepest.causal.reading import read_table

TABLE = pd.DataFrame({"a b": [1.5, 2.0], "kind": ["x", "y"], "3": [1, 2]})


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_text_is_read_by_the_separator_of_its_first_line(separator, tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", sep=separator, index=False)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv"), TABLE)


def test_one_column_commas_in_quotes_and_spaces_after_commas(tmp_path):
    (tmp_path / "t.csv").write_text("only\n1\n2\n")
    assert list(read_table(tmp_path / "t.csv").columns) == ["only"]
    (tmp_path / "u.csv").write_text('"a, b";c\n1;2\n3;4\n')
    assert read_table(tmp_path / "u.csv")["c"].tolist() == [2, 4]
    (tmp_path / "v.csv").write_text("a, b\n1, x\n2, y\n")
    assert read_table(tmp_path / "v.csv")["b"].tolist() == ["x", "y"]


def test_parquet_and_compressed_text(tmp_path):
    TABLE.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), TABLE)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TABLE.to_csv(index=False).encode()))
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv.gz"), TABLE)


def test_names_are_texts(tmp_path):
    pd.DataFrame({1: [1.0], 2: [2.0]}).rename(columns=str).to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet").columns) == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.csv", None, "must be a file, and there is none at"),
        ("t.xlsx", b"x", "must end in one of .csv, .tsv, .txt, .parquet, got t.xlsx"),
        ("t.csv", b"", "cannot be read"),
        ("t.csv", b"a,b\n", "must hold rows and columns, got 0 of 2"),
        ("t.csv", b"a,b\n1,2,3\n1,2,3,4,5\n", "cannot be read"),
        ("t.csv", b"\xff\xfe\x00", "cannot be read"),
        ("t.parquet", b"PAR1 it is not", "cannot be read"),
        ("t.csv.gz", b"not gzip", "cannot be read"),
    ],
)
def test_what_is_no_table_is_one_sentence(name, content, sentence, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence) as refused:
        read_table(tmp_path / name)
    assert "\n" not in str(refused.value)
