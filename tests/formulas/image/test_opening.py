"""Files of strangers are opened or refused with one sentence."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from steepest._errors import InputError
from steepest.formulas.image import opening
from steepest.formulas.image.opening import open_image

PIXELS = np.arange(600, dtype=np.uint8).reshape(20, 30)


def encoded(kind, mode="L", **more):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, kind, **more)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height):
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width // 8 + 1) * 10))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_png_is_opened_whatever_it_is_called(tmp_path):
    file = tmp_path / "picture.txt"
    file.write_bytes(encoded("PNG"))
    np.testing.assert_array_equal(open_image(file), PIXELS)
    np.testing.assert_array_equal(open_image(str(file)), PIXELS)


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        (encoded("JPEG"), (20, 30)),
        (encoded("JPEG", "RGB"), (20, 30, 3)),
        (encoded("PNG", "1"), (20, 30)),
        (encoded("PNG", "P"), (20, 30, 3)),
        (encoded("PNG", "RGBA"), (20, 30, 4)),
        (encoded("PNG", "LA"), (20, 30, 4)),
        (encoded("JPEG", "CMYK"), (20, 30, 3)),
    ],
)
def test_pictures_of_all_modes_are_bytes(content, shape):
    image = open_image(content)
    assert (image.dtype, image.shape) == (np.uint8, shape)


def test_sixteen_bits_of_grey_become_eight():
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 65535]], dtype=np.uint16)).save(buffer, "PNG")
    assert open_image(buffer.getvalue()).tolist() == [[0, 255]]


def test_a_picture_is_turned_as_the_camera_was_held():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_image(encoded("JPEG", exif=exif)).shape == (30, 20)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "must be a PNG or a JPEG, and begins like neither"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "must be a PNG or a JPEG"),
        (encoded("GIF"), "must be a PNG or a JPEG"),
        (encoded("TIFF"), "must be a PNG or a JPEG"),
        (encoded("PNG")[:60], "is a damaged PNG"),
        (encoded("PNG")[:-20], "is a damaged PNG"),
        (encoded("JPEG")[:300], "is a damaged JPEG"),
        (encoded("PNG")[:8] + bytes(40), "is a damaged PNG"),
        (b"\xff\xd8\xff" + bytes(50), "is a damaged JPEG"),
        (png_of(5100, 5000), "must have at most 25000000 pixels"),
        (png_of(60000, 60000), "must have at most 25000000 pixels"),
    ],
)
def test_what_is_no_whole_picture_is_one_sentence(content, sentence):
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(InputError, match=f"^the image {sentence}"):
        open_image(content)
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_changed_byte_is_damage():
    content = bytearray(encoded("PNG"))
    content[60] ^= 255
    with pytest.raises(InputError, match="damaged PNG"):
        open_image(bytes(content))


def test_a_file_that_is_missing_or_too_large_is_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"none\.png cannot be read: No such file"):
        open_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        open_image(tmp_path)
    monkeypatch.setattr(opening, "LARGEST_FILE", 50)
    (tmp_path / "large.png").write_bytes(encoded("PNG"))
    with pytest.raises(InputError, match=r"large.png must have at most 50 bytes, got 51"):
        open_image(tmp_path / "large.png")


def test_opencv_changes_nothing_for_the_programs_that_are_started():
    code = "import os; before = dict(os.environ); import steepest.formulas.image; print(before == dict(os.environ))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
