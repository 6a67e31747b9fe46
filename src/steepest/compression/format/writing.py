"""Tensors, by their values alone, as what a compressed file holds of them."""

import hashlib
import lzma
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from steepest._errors import require
from steepest.compression.format.planes import INTEGERS, bytes_of, pack_bits, pack_gaps, split_bytes
from steepest.compression.format.reading import HEAD, MAGIC, VERSION
from steepest.compression.format.table import CODES, FLOATS, MOST, REAL, Row, format_table, planes_in_order

# Measured on random masks by `python benchmarks/compressed_file.py filters`; told of in docs/compression-format.md.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 0, "pb": 0, "dict_size": 2**20}]
# What a row of the table costs, roughly: planes must save as many bytes to be worth it.
_ROW = 32


def format_file(tensors: Mapping[str, Tensor]) -> bytes:
    """A whole file.

    Raises:
        TypeError: a name is no string, or a tensor is of a dtype or a layout that the format does not have.
        ValueError: a tensor has no values, or there are too many tensors.
        MissingExtraError: safetensors is not installed.
    """
    payload, table_bytes = format_payload(tensors)
    head = HEAD.pack(MAGIC, VERSION, table_bytes, b"")[:16]
    stream = lzma.compress(payload, lzma.FORMAT_XZ, lzma.CHECK_NONE, filters=FILTERS)
    return head + hashlib.sha256(head + stream).digest() + stream


def format_payload(tensors: Mapping[str, Tensor]) -> tuple[bytes, int]:
    """What the stream holds, and how many bytes of it are the table."""
    rows: list[Row] = []
    planes: dict[tuple[str, int], bytes] = {}
    dense: dict[str, Tensor] = {}
    seen: dict[tuple[torch.dtype, torch.Size, bytes], int] = {}
    for index, (name, given) in enumerate(tensors.items()):
        tensor = _check(name, given)
        first = seen.setdefault((tensor.dtype, tensor.shape, hashlib.sha256(bytes_of(tensor)).digest()), index)
        if first != index:
            rows.append(Row(name, tensor.dtype, tuple(tensor.shape), "copy", of=first))
            continue
        row, own = _take_apart(name, tensor)
        rows.append(row)
        planes |= {(section, index): data for section, data in own}
        if row.kind == "dense":
            dense[str(index)] = torch.view_as_real(tensor) if CODES[tensor.dtype] in REAL else tensor
    table = format_table(rows)
    blob = _format_blob(dense) if dense else b""
    if max(len(table), int.from_bytes(blob[:8], "little")) > MOST:
        raise ValueError(f"tensors must be fewer, or have shorter names: their table takes more than {MOST} bytes")
    return b"".join([table, *(planes[section, index] for section, index, _ in planes_in_order(rows)), blob]), len(table)


def _format_blob(dense: dict[str, Tensor]) -> bytes:
    """Write the tensors as a safetensors file; each in memory of its own, since that refuses what is shared."""
    blob = require("safetensors.torch", "compression").save({key: tensor.clone() for key, tensor in dense.items()})
    return bytes(blob)


def _check(name: object, tensor: Tensor) -> Tensor:
    """Return the tensor on the CPU and contiguous."""
    if not isinstance(name, str):
        raise TypeError(f"tensors must have strings for names, got {name!r}")
    if tensor.layout != torch.strided or tensor.dtype not in CODES:
        raise TypeError(f"{name!r} must be a dense tensor of a known dtype, got {tensor.dtype} in {tensor.layout}")
    if tensor.is_meta:
        raise ValueError(f"{name!r} must have values, got a tensor on the device meta")
    return tensor.detach().to("cpu").resolve_conj().resolve_neg().contiguous()


def _take_apart(name: str, tensor: Tensor) -> tuple[Row, Iterator[tuple[str, bytes]]]:
    """Return the row of a tensor, and its planes by section."""
    size, shape = tensor.itemsize, tuple(tensor.shape)
    plain = Row(name, tensor.dtype, shape, "dense"), iter(())
    if tensor.dtype not in FLOATS:
        return plain
    bits = tensor.reshape(-1).view(INTEGERS[size])
    mask = bits != 0
    nonzeros = int(mask.sum())
    values = bits[mask]
    magnitudes = values & torch.iinfo(bits.dtype).max
    ternary = not nonzeros or bool((magnitudes == magnitudes[0]).all())
    coded = pack_gaps(mask.nonzero().view(-1)) if 10 * nonzeros <= bits.numel() else None
    row = Row(
        name,
        tensor.dtype,
        shape,
        "ternary" if ternary else "sparse",
        nonzeros,
        int(magnitudes[0]) if ternary and nonzeros else 0,
        None if coded is None else len(coded),
    )
    if sum(row.planes().values()) + _ROW >= tensor.nbytes:
        return plain
    first = ("bits", pack_bits(mask)) if coded is None else ("gaps", coded)
    second = ("signs", pack_bits(values < 0)) if ternary else ("values", split_bytes(values))
    return row, iter((first, second))
