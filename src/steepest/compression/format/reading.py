"""A compressed file, read back: nothing in it is believed before it has been checked."""

import hashlib
import lzma
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from steepest._errors import InputError, one_line
from steepest._files import reason_of
from steepest.compression.format.planes import INTEGERS, join_bytes, tensor_of, unpack_bits, unpack_gaps
from steepest.compression.format.table import MOST, DamageError, Row, is_count, parse_json, parse_table, planes_in_order

MAGIC = b"\x89STCN\r\n\x1a"
VERSION = 1
# Magic, version, bytes of the table, and the SHA-256 of all else.
HEAD = struct.Struct("<8sII32s")
_MEMORY = 2**25  # that a decoder of the stream may take
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds; ``tensors`` and ``blob`` by row, ``blob`` as offset and bytes in the payload."""

    rows: list[Row]
    tensors: dict[int, Tensor]
    blob: dict[int, tuple[int, int]]
    table_bytes: int
    file_bytes: int
    payload_bytes: int
    sha256: str


def read_contents(path: Path, limit: int) -> Contents:
    """Read a file whose tensors take at most ``limit`` bytes together.

    Raises:
        InputError: it is not there, no such file, damaged, of another version, or larger than that.
    """
    if limit < 0:
        raise ValueError(f"limit must be at least 0, got {limit}")
    try:
        if not path.is_file():
            raise DamageError("there is no such file" if not path.exists() else "it is no file")
        with open(path, "rb") as file:
            return _read(file, path.stat().st_size, limit)
    except (DamageError, OSError, MemoryError, lzma.LZMAError) as error:
        reason = "its stream is damaged" if isinstance(error, lzma.LZMAError) else one_line(reason_of(error))
        raise InputError(f"{one_line(str(path))} cannot be read as a compressed network: {reason}") from error


class _Stream:
    """Give the payload, as far as it is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        self.offset = 0

    def read(self, count: int) -> bytearray:
        data = bytearray()
        while len(data) < count:
            more = self._decode(min(count - len(data), _CHUNK))
            if more is None:
                raise DamageError("its stream ends too early")
            data += more
        self.offset += count
        return data

    def finish(self) -> None:
        while (more := self._decode(1)) is not None:
            if more:
                raise DamageError("its stream holds more than its table says")
        if self._decoder.unused_data or self._file.read(1):
            raise DamageError("something follows its stream")

    def _decode(self, most: int) -> bytes | None:
        """Decode at most so many bytes, ``None`` at the end."""
        if self._decoder.eof:
            return None
        fed = self._file.read(_CHUNK) if self._decoder.needs_input else b""
        if self._decoder.needs_input and not fed:
            raise DamageError("its stream ends too early")
        return self._decoder.decompress(fed, max_length=most)


def _read(file: BinaryIO, size: int, limit: int) -> Contents:
    head = file.read(HEAD.size)
    if not head:
        raise DamageError("it is empty")
    if head[:8] != MAGIC[: len(head)]:
        raise DamageError("it does not begin as one")
    if len(head) < HEAD.size:
        raise DamageError("it ends too early")
    _, version, table_bytes, digest = HEAD.unpack(head)
    if version != VERSION:
        raise DamageError(f"it is of version {version}, and this steepest reads {VERSION}")
    hashed = hashlib.sha256(head[:16])
    while chunk := file.read(_CHUNK):
        hashed.update(chunk)
    if hashed.digest() != digest:
        raise DamageError("its checksum does not agree: it was damaged or cut off")
    if table_bytes > MOST:
        raise DamageError(f"its table takes {table_bytes} bytes, and {MOST} are the most")
    file.seek(HEAD.size)
    stream = _Stream(file)
    rows = parse_table(bytes(stream.read(table_bytes)), limit)
    tensors = _read_planes(stream, rows)
    blob = _read_blob(stream, rows, tensors)
    stream.finish()
    for index, row in enumerate(rows):
        if row.kind == "copy":
            tensors[index] = tensors[row.of].clone()
    return Contents(rows, tensors, blob, table_bytes, size, stream.offset, digest.hex())


def _read_planes(stream: _Stream, rows: list[Row]) -> dict[int, Tensor]:
    tensors: dict[int, Tensor] = {}
    masks: dict[int, tuple[str, bytearray]] = {}
    for section, index, count in planes_in_order(rows):
        data = stream.read(count)
        if section in ("gaps", "bits"):
            masks[index] = section, data
            continue
        row = rows[index]
        if section == "signs":
            signs = unpack_bits(data, row.nonzeros).to(INTEGERS[row.dtype.itemsize])
            values = signs.mul_(torch.iinfo(signs.dtype).min).bitwise_or_(row.sigma)
        else:
            values = join_bytes(data, row.dtype.itemsize)
        tensors[index] = _place(row, _find_positions(row, *masks.pop(index)), values)
    return tensors


def _find_positions(row: Row, section: str, data: bytearray) -> Tensor:
    positions = unpack_gaps(data) if section == "gaps" else unpack_bits(data, row.numel).nonzero().view(-1)
    if len(positions) != row.nonzeros or (len(positions) and int(positions[-1]) >= row.numel):
        raise DamageError(f"the mask of {row.name!r} does not fit the table")
    return positions


def _place(row: Row, positions: Tensor, values: Tensor) -> Tensor:
    flat = torch.zeros(row.numel, dtype=values.dtype, device="cpu")
    flat[positions] = values
    return flat.view(row.dtype).view(row.shape)


def _read_blob(stream: _Stream, rows: list[Row], tensors: dict[int, Tensor]) -> dict[int, tuple[int, int]]:
    """Read what is dense into ``tensors``; tells where each stands."""
    dense = {str(index): row for index, row in enumerate(rows) if row.kind == "dense"}
    if not dense:
        return {}
    length = int.from_bytes(stream.read(8), "little")
    if length > MOST:
        raise DamageError(f"the header of its dense part takes {length} bytes, and {MOST} are the most")
    header = parse_json(bytes(stream.read(length)), "the header of its dense part")
    if not isinstance(header, dict) or set(header) != set(dense):
        raise DamageError("its dense part holds other tensors than its table")
    blob: dict[int, tuple[int, int]] = {}
    start = stream.offset
    for key in sorted(header, key=lambda key: _find_begin(header[key])):
        row = dense[key]
        begin = stream.offset - start
        if header[key] != row.in_blob() | {"data_offsets": [begin, begin + row.nbytes]}:
            raise DamageError(f"its dense part says something else of {row.name!r} than its table")
        blob[int(key)] = stream.offset, row.nbytes
        raw = tensor_of(stream.read(row.nbytes))
        if row.dtype == torch.bool and bool((raw > 1).any()):
            raise DamageError(f"{row.name!r} holds something else than 0 and 1")
        tensors[int(key)] = raw.view(row.dtype).view(row.shape)
    return blob


def _find_begin(entry: Any) -> tuple[int, int]:
    """Find where a tensor of a safetensors header begins, and ends."""
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(is_count(offset, 2**63 - 1) for offset in offsets):
        raise DamageError("its dense part has an entry without data_offsets")
    return offsets[0], offsets[1]
