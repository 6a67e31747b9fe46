"""Files that were damaged, or made to do harm: one sentence that names the path, and no memory taken."""

import hashlib
import json
import lzma
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest._errors import InputError
from steepest.compression.format import writing
from steepest.compression.format.file import inspect, load_compressed, save_compressed
from steepest.compression.format.reading import HEAD, MAGIC
from steepest.compression.format.table import MOST
from tests.compression.states import SMALL, assert_same, loaded


def signed(payload, table_bytes, filters=writing.FILTERS):
    """A file of any payload whose checksum agrees."""
    head = HEAD.pack(MAGIC, 1, table_bytes, b"")[:16]
    stream = lzma.compress(bytes(payload), lzma.FORMAT_XZ, lzma.CHECK_NONE, filters=filters)
    return head + hashlib.sha256(head + stream).digest() + stream


def forged(rows, rest=b""):
    """A file with this table, and this after it."""
    table = json.dumps({"tensors": rows}).encode()
    return signed(table + rest, len(table))


def refused(content, words="", **options):
    """The sentence that loading a file of this content ends in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.stcn"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_compressed(path, **options)
        with pytest.raises(InputError):
            inspect(path, **options)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert words in sentence
    return sentence


def read_or_refused(content):
    try:
        loaded(content)
    except InputError as error:
        sentence = str(error)
    else:
        return
    assert "cannot be read as a compressed network" in sentence


CONTENT = writing.format_file(SMALL)
PAYLOAD, TABLE = writing.format_payload(SMALL)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_a_changed_byte_is_found(at, change):
    content = bytearray(CONTENT)
    content[at] ^= change
    refused(content)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, len(CONTENT) - 1))
def test_a_file_that_was_cut_off_is_found(length):
    refused(CONTENT[:length])


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(PAYLOAD) - 1), st.integers(1, 255), st.integers(0, 2**32 - 1) | st.just(TABLE))
def test_a_payload_changed_by_someone_who_mends_the_checksum_is_read_or_refused(at, change, table_bytes):
    payload = bytearray(PAYLOAD)
    payload[at] ^= change
    content = signed(payload, table_bytes)
    read_or_refused(content)


@settings(deadline=None, max_examples=200)
@given(st.integers(HEAD.size, len(CONTENT) - 1), st.integers(1, 255))
def test_a_stream_changed_by_someone_who_mends_the_checksum_is_read_or_refused(at, change):
    content = bytearray(CONTENT)
    content[at] ^= change
    content[16:48] = hashlib.sha256(content[:16] + content[48:]).digest()
    read_or_refused(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
TERNARY = {"name": "a", "dtype": "F32", "shape": [9], "kind": "ternary", "nonzeros": 2, "sigma": "3f800000"}


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(TERNARY)) | st.sampled_from(("gaps", "of", "more")), JSON)
def test_any_value_in_a_table_is_read_or_refused(key, value):
    content = forged([TERNARY | {key: value}], b"\x81\x00\x80")
    read_or_refused(content)


def dense(**changes):
    return {"name": "a", "dtype": "I64", "shape": [2], "kind": "dense"} | changes


def blob(header, data=bytes(16)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


GOOD = {"0": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}}
BOOL = {"0": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}
OVERLAPPING = GOOD | {"1": {**GOOD["0"], "data_offsets": [8, 24]}}
HOSTILE = {
    "no table": (signed(b"", 0), "no JSON"),
    "no JSON": (signed(b"{]", 2), "no JSON"),
    "no UTF-8": (signed(b'"\xff"', 3), "no JSON"),
    "deep": (signed(b"[" * 100_000, 100_000), "no JSON"),
    "many digits": (signed(b"1" * 10_000, 10_000), "no JSON"),
    "no object": (signed(b"[]", 2), "must hold a list"),
    "more than tensors": (signed(b'{"tensors":[],"a":1}', 20), "must hold a list"),
    "too long a table": (signed(bytes(MOST + 1), MOST + 1), "are the most"),
    "a table beyond the end": (signed(b"{}", 1000), "ends too early"),
    "no row": (forged([1]), "is no object"),
    "negative shape": (forged([TERNARY | {"shape": [-1]}]), "shape of sizes"),
    "shape of floats": (forged([TERNARY | {"shape": [9.0]}]), "shape of sizes"),
    "shape of booleans": (forged([TERNARY | {"shape": [True]}]), "shape of sizes"),
    "huge size": (forged([TERNARY | {"shape": [10**30]}]), "shape of sizes"),
    "huge shape": (forged([TERNARY | {"shape": [2**40, 2**40]}]), "possible size"),
    "huge empty shape": (forged([TERNARY | {"shape": [0, 2**40, 2**40]}]), "possible size"),
    "many dimensions": (forged([TERNARY | {"shape": [1] * 65}]), "no shape"),
    "twice the name": (forged([TERNARY, TERNARY]), "two tensors 'a'"),
    "dtype": (forged([TERNARY | {"dtype": "F31"}]), "dtype that is known"),
    "dtype of the kind": (forged([TERNARY | {"dtype": "I32"}]), "dtype of kind ternary"),
    "kind": (forged([TERNARY | {"kind": "more"}]), "kind that is known"),
    "kind that is no text": (forged([TERNARY | {"kind": []}]), "kind that is known"),
    "no sigma": (forged([{key: TERNARY[key] for key in TERNARY if key != "sigma"}]), "keys of kind"),
    "negative sigma": (forged([TERNARY | {"sigma": "bf800000"}]), "sigma that is positive"),
    "short sigma": (forged([TERNARY | {"sigma": "3f80"}]), "possible sigma"),
    "nonzeros": (forged([TERNARY | {"nonzeros": 10}]), "possible nonzeros"),
    "gaps": (forged([TERNARY | {"gaps": 1}]), "possible gaps"),
    "copy of what follows": (forged([dense(kind="copy", of=0)]), "no copy"),
    "copy of another shape": (forged([TERNARY, dense(name="b", kind="copy", of=0)], b"\x81\x00\x80"), "no copy"),
    "more ones than nonzeros": (forged([TERNARY], b"\xff\x00\x80"), "does not fit"),
    "ones beyond the end": (forged([TERNARY | {"gaps": 2}], b"\x08\x08\x80"), "does not fit"),
    "too short": (forged([TERNARY], b"\x81\x00"), "ends too early"),
    "too long": (forged([TERNARY], b"\x81\x00\x80\x00"), "holds more"),
    "dense too short": (forged([dense()], blob(GOOD, bytes(15))), "ends too early"),
    "dense too long": (forged([dense()], blob(GOOD, bytes(17))), "holds more"),
    "long dense header": (forged([dense()], (2**63).to_bytes(8, "little")), "are the most"),
    "dense header": (forged([dense()], blob(b"{")), "no JSON"),
    "dense header of another type": (forged([dense()], blob(b"[]")), "other tensors"),
    "other dense tensors": (forged([dense()], blob({"1": GOOD["0"]})), "other tensors"),
    "dense dtype": (forged([dense(dtype="U64")], blob(GOOD)), "something else"),
    "dense shape": (forged([dense(shape=[1, 2])], blob(GOOD)), "something else"),
    "dense entry": (forged([dense()], blob({"0": 1})), "data_offsets"),
    "dense offsets": (forged([dense()], blob({"0": {**GOOD["0"], "data_offsets": [0]}})), "data_offsets"),
    "negative offsets": (forged([dense()], blob({"0": {**GOOD["0"], "data_offsets": [-16, 0]}})), "data_offsets"),
    "shifted": (forged([dense()], blob({"0": {**GOOD["0"], "data_offsets": [1, 17]}}, bytes(17))), "something else"),
    "overlapping": (
        forged([dense(), dense(name="b")], blob(OVERLAPPING, bytes(24))),
        "something else",
    ),
    "bool of 2": (
        forged([dense(dtype="BOOL")], blob(BOOL, b"\x01\x02")),
        "0 and 1",
    ),
    "large dictionary": (signed(b"{}", 2, [{"id": lzma.FILTER_LZMA2, "dict_size": 2**26}]), "stream is damaged"),
    "magic": (b"\x89PNG\r\n\x1a\n" + CONTENT[8:], "does not begin"),
    "newer": (CONTENT[:8] + (2).to_bytes(4, "little") + CONTENT[12:], "of version 2, and this steepest reads 1"),
    "empty": (b"", "it is empty"),
    "something after it": (CONTENT + b"\x00", "checksum"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_end_in_one_sentence(case):
    refused(*HOSTILE[case])


def test_something_after_the_stream_is_refused_though_the_checksum_agrees():
    for more in (b"\x00", CONTENT[HEAD.size :], bytes(2**21)):
        content = bytearray(CONTENT + more)
        content[16:48] = hashlib.sha256(content[:16] + content[48:]).digest()
        refused(content, "follows its stream")


def test_a_folder_and_a_missing_file_are_told(tmp_path):
    for path, words in ((tmp_path, "is no file"), (tmp_path / "none", "no such file"), (tmp_path / "a\nb", "a b")):
        for call in (load_compressed, inspect):
            with pytest.raises(InputError, match=words):
                call(path)


def test_more_tensors_than_the_limit_are_refused_before_they_take_memory(tmp_path):
    save_compressed(SMALL, tmp_path / "a.stcn")
    total = sum(tensor.nbytes for tensor in SMALL.values())
    assert_same(load_compressed(tmp_path / "a.stcn", limit=total), SMALL)
    with pytest.raises(InputError, match=f"more than limit={total - 1} bytes"):
        load_compressed(tmp_path / "a.stcn", limit=total - 1)
    with pytest.raises(ValueError, match="limit must be at least 0, got -1"):
        load_compressed(tmp_path / "a.stcn", limit=-1)
    zeros = TERNARY | {"shape": [2**40], "nonzeros": 0, "sigma": "00000000", "gaps": 0}
    refused(forged([zeros]), "more than limit=4294967296")
    copies = [{**dense(name=str(n), shape=[2**26]), "kind": "copy", "of": 0} for n in range(1, 20)]
    refused(forged([dense(shape=[2**26]), *copies]), "more than limit")


def test_a_stream_that_expands_beyond_its_table_takes_no_memory(tmp_path):
    path = tmp_path / "a.stcn"
    path.write_bytes(forged([TERNARY], bytes(2**25)))
    assert path.stat().st_size < 2**15
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="does not fit"):
            load_compressed(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**23
