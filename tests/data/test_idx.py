import gzip
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest._errors import InputError
from steepest.data.idx import read_idx


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), zipped=st.booleans())
def test_round_trip(tmp_path_factory, shape, zipped):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path_factory.mktemp("idx") / ("file.gz" if zipped else "file")
    path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    assert torch.equal(read_idx(path), torch.from_numpy(array))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a", b"", "is not an IDX file"),
        ("a", b"\x00\x00\x0d\x01" + bytes(8), "is not an IDX file of unsigned bytes"),
        ("a", b"\x00\x00\x08\x03\x00", "is not an IDX file"),
        ("a", idx_bytes(np.zeros(9, np.uint8))[:-1], r"must hold 9 bytes of data for its shape \(9,\), got 8"),
        ("a", idx_bytes(np.zeros(9, np.uint8)) + b"x", "got 10"),
        ("a.gz", b"plain text", "is not a readable gzip file"),
        ("a.gz", gzip.compress(idx_bytes(np.zeros(999, np.uint8)))[:-9], "is not a readable gzip file"),
    ],
    ids=["empty", "floats", "short-header", "short-data", "long-data", "no-gzip", "short-gzip"],
)
def test_damage_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_idx(tmp_path / name)
