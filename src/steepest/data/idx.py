"""The IDX format of MNIST and its kin, plain or gzipped."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from steepest._errors import InputError


def read_idx(path: Path) -> Tensor:
    """Read an IDX file of unsigned bytes, gzipped if its name ends in ``.gz``.

    Format: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a big-endian
    32-bit integer, then the data in C order (Y. LeCun, C. Cortes, C. Burges, the MNIST database, 1998).

    Returns:
        A ``uint8`` tensor of the file's shape.

    Raises:
        InputError: the file is no such IDX file, is damaged, or is shorter than its header says.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is not a readable gzip file ({error}); get it again") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or len(raw) < 4 + 4 * raw[3]:
        raise InputError(f"{path} is not an IDX file of unsigned bytes: it must begin with 00 00 08")
    shape = struct.unpack_from(f">{raw[3]}I", raw, 4)
    offset, count = 4 + 4 * raw[3], math.prod(shape)
    if len(raw) - offset != count:
        raise InputError(f"{path} must hold {count} bytes of data for its shape {shape}, got {len(raw) - offset}")
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=offset, count=count).reshape(shape)
