"""Sets come back from every kind of file as they were, and what is no set is refused in one sentence."""

import io
import json
import os
import stat
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steepest._errors import InputError
from steepest.formulas.logic import LABELS
from steepest.formulas.sets import SymbolSet, limits, no_symbols, read_set, stroke_bitmap, write_set
from steepest.formulas.sets.names import folder_name, label_of
from steepest.formulas.sets.pictures import read_picture, write_picture
from steepest.formulas.sets.symbol_set import CLASSES
from tests.formulas.sets.drawn import drawn_set


def by_class(symbols: SymbolSet) -> list[tuple[str, bytes]]:
    return sorted((label, image.tobytes()) for label, image in zip(symbols.labels, symbols.images, strict=True))


@pytest.mark.parametrize("name", ["set.npz", "set.csv", "set.zip", "set"])
def test_a_set_comes_back_as_it_was(tmp_path, name):
    drawn = drawn_set(4)
    images = drawn.images.copy()
    images[0] = 0
    images[0, 10:14, 10:14] = 1  # smaller than the square, as some of the real ones are
    symbols = SymbolSet(images, (*drawn.labels[:-1], ""))
    write_set(symbols, tmp_path / name)
    found = read_set(tmp_path / name)
    assert by_class(found) == by_class(symbols)
    assert found.counts() == symbols.counts()
    if name in ("set.npz", "set.csv"):
        assert found.labels == symbols.labels
        assert np.array_equal(found.images, symbols.images)


@given(arrays(np.uint8, (28, 28), elements=st.integers(0, 1)).filter(np.any))
@settings(max_examples=50)
def test_any_bitmap_comes_back_from_its_picture(bitmap):
    assert np.array_equal(read_picture(write_picture(bitmap), "it"), bitmap)


def test_folders_of_classes_differ_also_where_case_does_not_count():
    names = [folder_name(label) for label in CLASSES]
    assert len({name.lower() for name in names}) == len(CLASSES)
    assert all(set(name) <= set("U+0123456789ABCDEF") or name == "nothing" for name in names)
    assert [label_of(name) for name in names] == list(CLASSES)


@pytest.mark.parametrize("paper", [255, 0])
def test_a_picture_of_any_size_and_colour_gives_the_ink(paper):
    picture = np.full((90, 60), paper, dtype=np.uint8)
    cv2.line(picture, (30, 10), (30, 80), 255 - paper, 6)
    bitmap = read_picture(cv2.imencode(".png", picture)[1].tobytes(), "it")
    assert bitmap.any(axis=1).all()
    assert np.flatnonzero(bitmap.any(axis=0)).tolist() in ([13, 14], [12, 13, 14], [13, 14, 15])


def fopl_row(image: np.ndarray, label: str, one: str = "1", zero: str = "0") -> str:
    pixels = [one if value else zero for value in image.ravel()]
    return ",".join(pixels + ["1" if label == known else "0" for known in LABELS])


def test_rows_of_fopl_in_all_their_forms(tmp_path):
    drawn = drawn_set(1)
    plain = [fopl_row(image, label) for image, label in zip(drawn.images, drawn.labels, strict=True)]
    floats = [fopl_row(image, label, "1.0", "0.0") for image, label in zip(drawn.images, drawn.labels, strict=True)]
    named = [f'"{label}",' + ",".join(map(str, (255 * i.astype(int)).ravel())) for i, label in zip(drawn.images, drawn.labels, strict=True)]  # fmt: skip  # noqa: E501
    header = "label," + ",".join(f"pixel{k}" for k in range(784))
    for rows in (plain, floats, [header, *named], [*plain, ""]):
        (tmp_path / "set.csv").write_text("\n".join(rows), "utf-8")
        found = read_set(tmp_path / "set.csv")
        assert found.labels == drawn.labels
        assert np.array_equal(found.images, drawn.images)


def test_rows_of_35_by_35_pixels_are_cut_to_28(tmp_path):
    image = np.zeros((35, 35), dtype=np.uint8)
    image[:, 15:20] = 1
    (tmp_path / "set.csv").write_text(fopl_row(image, "l") + "\n")
    found = read_set(tmp_path / "set.csv")
    assert found.labels == ("l",)
    assert np.array_equal(np.flatnonzero(found.images[0].any(axis=0)), [12, 13, 14, 15])


def test_strokes_of_any_scale_give_the_same_symbol(tmp_path):
    cross = [[[0, 5], [10, 5]], [[5, 0], [5, 10]]]
    items = [
        {"label": "+", "strokes": (np.array(cross) * k + s).tolist()} for k, s in ((1, 0), (1000, -7e5), (1e-3, 4))
    ]
    (tmp_path / "set.json").write_text(json.dumps([*items, {"label": ",", "strokes": [[[3, 3]]]}]))
    found = read_set(tmp_path / "set.json")
    assert found.labels == ("+", "+", "+", ",")
    assert np.array_equal(found.images[0], found.images[1])
    assert np.array_equal(found.images[0], found.images[2])
    assert np.array_equal(found.images[0], stroke_bitmap(cross))
    assert found.images[0].any(axis=0).all()
    assert found.images[0].any(axis=1).all()
    assert 0.1 < found.images[0].mean() < 0.3


@pytest.mark.parametrize(
    "strokes",
    [[], [[]], [[[1, 2, 3]]], [[[1, float("nan")]]], [[[True, 1]]], "text", [["ab"]], None,
     [[[0, 1e308 * 10]]], [[[0, 10**400]]], [[[0, 0]] * 20_001]],
)  # fmt: skip
def test_what_are_no_strokes_are_refused(tmp_path, strokes):
    (tmp_path / "set.json").write_text(json.dumps([{"label": "+", "strokes": strokes}]))
    with pytest.raises(InputError, match=r"strokes must|of strokes must"):
        read_set(tmp_path / "set.json")


@given(st.lists(st.lists(st.tuples(st.floats(-1e99, 1e99), st.floats(-1e99, 1e99)), max_size=5), min_size=1, max_size=4).filter(any))  # fmt: skip  # noqa: E501
@settings(max_examples=100)
def test_all_strokes_of_finite_points_give_ink(strokes):
    assert stroke_bitmap(strokes).any()


def zipped(*entries: tuple[str, bytes], how: int = zipfile.ZIP_STORED, mode: int = 0o644) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", how) as file:
        for name, data in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = how, mode << 16
            file.writestr(info, data)
    return content.getvalue()


def npz(**members: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez(content, **members)
    return content.getvalue()


PNG = write_picture(np.eye(28, dtype=np.uint8))
PACKED = np.zeros((2, 98), dtype=np.uint8)
CLAIM = b"{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000, 98)}\n"
LIE = np.lib.format.MAGIC_PREFIX + b"\x01\x00" + len(CLAIM).to_bytes(2, "little") + CLAIM + b"ab"
AB = np.array(["a", "b"])
ROW = fopl_row(np.eye(28), "a")
BAD = {
    "a name that leads out": ("set.zip", zipped(("../U+2200/a.png", PNG)), "stay within it"),
    "a name from the root": ("set.zip", zipped(("/U+2200/a.png", PNG)), "stay within it"),
    "a backslash": ("set.zip", zipped(("U+2200\\..\\a.png", PNG)), "stay within it"),
    "a drive": ("set.zip", zipped(("C:/U+2200/a.png", PNG)), "stay within it"),
    "a link": ("set.zip", zipped(("U+2200/a.png", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), "no links"),
    "a bomb": ("set.zip", zipped(("U+2200/a.txt", bytes(10**7)), how=zipfile.ZIP_DEFLATED), "300 to 1"),
    "a picture that is none": ("set.zip", zipped(("U+2200/a.png", b"no")), "must be a PNG or a JPEG"),
    "an empty picture": ("set.zip", zipped(("U+2200/a.png", write_picture(np.zeros((28, 28), np.uint8)))), "no ink"),
    "a folder that is no class": ("set.zip", zipped(("cats/a.png", PNG)), "named after a class"),
    "a picture in no folder": ("set.zip", zipped(("a.png", PNG)), "named after a class"),
    "nothing": ("set.zip", zipped(), "has none"),
    "no zip": ("set.zip", b"no", "as a zip"),
    "half a zip": ("set.zip", zipped(("U+2200/a.png", PNG))[:-30], "as a zip"),
    "no npz": ("set.npz", b"no", "npz with images and labels"),
    "objects": ("set.npz", npz(images=PACKED, labels=np.array([{}, {}], dtype=object)), "plain numbers"),
    "no labels": ("set.npz", npz(images=PACKED), "it has no"),
    "a header that lies": ("set.npz", zipped(("images.npy", LIE), ("labels.npy", b"")), "as its header says"),
    "other images": ("set.npz", npz(images=PACKED[:, :9], labels=np.array([0, 0])), "shape"),
    "too many labels": ("set.npz", npz(images=PACKED, labels=np.array(["a"] * 3)), "a label for each"),
    "numbers without names": ("set.npz", npz(images=PACKED, labels=np.array([0, 0])), "names"),
    "a number too high": ("set.npz", npz(images=PACKED, labels=np.array([0, 2]), names=AB), "below the 2"),
    "a number too low": ("set.npz", npz(images=PACKED, labels=np.array([0, -1]), names=AB), "below the 2"),
    "no class": ("set.npz", npz(images=PACKED, labels=np.array(["a", "%"])), "'%'"),
    "grey": ("set.npz", npz(images=np.full((1, 28, 28), 9, np.uint8), labels=np.array(["a"])), "0 and 1"),
    "floats": ("set.npz", npz(images=np.ones((1, 28, 28)), labels=np.array(["a"])), "float64"),
    "a short row": ("set.csv", b"1,0,1\n", "line 1"),
    "text in a row": ("set.csv", f"{ROW}\n{fopl_row(np.eye(28), 'a', 'x')}".encode(), "line 2"),
    "two classes": ("set.csv", f"{ROW[:-1]}1\n".encode(), "got 2"),
    "not a number": ("set.csv", fopl_row(np.eye(28), "a", "nan").encode(), "finite"),
    "no text": ("set.csv", b"\xff\xfe\x00", "UTF-8"),
    "no JSON": ("set.json", b"[", "in JSON"),
    "deep JSON": ("set.json", b"[" * 10**5, "in JSON"),
    "another JSON": ("set.json", b'{"a": 1}', "list of tables"),
    "no label": ("set.json", b'[{"strokes": [[[0, 0]]]}]', "number 0 has none"),
    "a label that is no class": ("set.json", b'[{"label": "dog", "strokes": [[[0, 0]]]}]', "'dog'"),
    "another ending": ("set.txt", b"", "must be a folder"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_set_is_refused_in_one_sentence(tmp_path, what):
    name, content, said = BAD[what]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_set(tmp_path / name)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_a_missing_file_is_refused(tmp_path):
    for name in ("set.npz", "set.zip", "set.csv", "set.json"):
        with pytest.raises(InputError, match="No such file"):
            read_set(tmp_path / name)


def test_a_header_of_a_zip_that_says_less_than_there_is_does_no_harm(tmp_path, monkeypatch):
    content = bytearray(zipped(("U+2200/a.txt", os.urandom(2**20 + 10))))
    for at in (content.find(b"PK\x03\x04") + 22, content.find(b"PK\x01\x02") + 24):
        content[at : at + 4] = (10).to_bytes(4, "little")
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(InputError):
        read_set(tmp_path / "set.zip")


def test_sets_and_archives_have_a_largest_size(tmp_path, monkeypatch):
    for name in ("set.npz", "set.zip", "set.csv", "set"):
        write_set(drawn_set(2), tmp_path / name)
    from steepest.formulas.sets import pictures

    monkeypatch.setattr(limits, "MOST_SYMBOLS", 5)
    for name in ("set.npz", "set.zip", "set.csv", "set"):
        with pytest.raises(InputError, match="at most 5 symbols"):
            read_set(tmp_path / name)
    monkeypatch.setattr(pictures, "LARGEST", 500)
    with pytest.raises(InputError, match="at most 500 bytes when unpacked"):
        read_set(tmp_path / "set.zip")


def test_a_folder_with_a_link_is_refused(tmp_path):
    write_set(drawn_set(1), tmp_path / "set")
    (tmp_path / "set" / "U+2200" / "b.png").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="no link"):
        read_set(tmp_path / "set")


def test_a_set_in_a_folder_of_its_own_in_a_zip_and_what_systems_leave_there(tmp_path):
    entries = [
        ("mine/uniq/a.png", PNG),
        ("mine/∃/a.PNG", PNG),
        ("mine/README.txt", b"words"),
        ("__MACOSX/mine/uniq/._a.png", b"x"),
    ]
    (tmp_path / "set.zip").write_bytes(zipped(*entries, ("mine/uniq/.DS_Store", b"x"), ("mine/uniq/", b"")))
    assert read_set(tmp_path / "set.zip").counts() == {"∀": 1, "∃": 1}


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def fail(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(InputError, match="No space left"):
        write_set(drawn_set(1), tmp_path / "set")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "set").mkdir()
    with pytest.raises(InputError, match="there already"):
        write_set(drawn_set(1), tmp_path / "set")
    with pytest.raises(InputError, match="must be a new folder"):
        write_set(drawn_set(1), tmp_path / "set.pdf")


def test_an_empty_set_comes_back_from_numbers(tmp_path):
    for name in ("set.npz", "set.csv"):
        write_set(no_symbols(), tmp_path / name)
        assert len(read_set(tmp_path / name)) == 0


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (np.zeros((2, 28, 28), np.float32), ("a", "a"), "uint8"),
        (np.zeros((2, 784), np.uint8), ("a", "a"), "shape"),
        (np.full((2, 28, 28), 255, np.uint8), ("a", "a"), "0 and 1"),
        (np.zeros((2, 28, 28), np.uint8), ("a",), "as many as"),
        (np.zeros((1, 28, 28), np.uint8), ("C",), "'C'"),
    ],
)
def test_a_set_is_of_bitmaps_and_classes(images, labels, said):
    with pytest.raises(ValueError, match=said):
        SymbolSet(images, labels)
