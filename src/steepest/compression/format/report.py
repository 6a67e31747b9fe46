"""What a compressed file holds, tensor by tensor, beside the bound of a ternary layer."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from steepest.compression.format.planes import INTEGERS, bytes_of, tensor_of
from steepest.compression.format.reading import Contents
from steepest.compression.format.table import Row, planes_in_order


def bound_bits(sparsity: float) -> float:
    """Bits a weight that a layer of values -sigma, 0 and sigma carries whose zeros and signs have no structure.

    H2(s) + (1 - s): the entropy of the mask, and a sign for what is not zero. A layer whose rows or columns emptied
    can take less.

    Raises:
        ValueError: sparsity is not in [0, 1].

    Example:
        >>> [round(32 / bound_bits(sparsity), 1) for sparsity in (0.90, 0.935, 0.95)]
        [56.2, 77.7, 95.1]
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity must be in [0, 1], got {sparsity}")
    shares = [share for share in (sparsity, 1 - sparsity) if share]
    return 1 - sparsity - sum(share * math.log2(share) for share in shares)


@dataclass(frozen=True, slots=True)
class Plane:
    """A piece of the payload, which is what the stream holds: what it is, where it begins, and its bytes."""

    section: str
    offset: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TensorReport:
    """A tensor of a compressed file.

    ``kind``: ``ternary``, ``sparse``, ``dense`` or ``copy``; ``copy_of``: the name of the tensor that a copy is equal
    to; ``sparsity``: the share of entries that are +0 by their bits; ``sigma``: of a ternary tensor, 0.0 where it has
    only zeros; ``bound_bits``: of a ternary tensor, of all its entries together.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    kind: str
    nonzeros: int
    sparsity: float
    sigma: float | None
    planes: tuple[Plane, ...]
    bound_bits: float | None
    copy_of: str | None = None


@dataclass(frozen=True, slots=True)
class FileReport:
    """A compressed file, its checksum verified.

    ``file_bytes``: on disk; ``payload_bytes``: of the stream before compression, ``table_bytes`` of them the table;
    ``dense_bytes``: of the tensors in their own dtypes, copies counted once; ``ratio``: dense over file bytes.
    ``str()`` is a table.
    """

    tensors: tuple[TensorReport, ...]
    file_bytes: int
    payload_bytes: int
    table_bytes: int
    dense_bytes: int
    sha256: str

    @property
    def ratio(self) -> float:
        return self.dense_bytes / self.file_bytes

    def __str__(self) -> str:
        lines = [_HEADINGS, *(_cells(tensor) for tensor in self.tensors)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
        table = [
            "  ".join(
                cell.rjust(width) if column in _RIGHT else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        bound = sum(tensor.bound_bits for tensor in self.tensors if tensor.bound_bits is not None) / 8
        return "\n".join(
            [
                *table,
                f"file {self.file_bytes:,} bytes, dense {self.dense_bytes:,}: {self.ratio:.2f} times smaller; "
                f"bound of what is ternary {bound:,.0f}",
                f"sha256 {self.sha256}, verified",
            ]
        )


_HEADINGS = ("tensor", "dtype", "shape", "kind", "nonzeros", "sparsity", "sigma", "planes", "bound")
_RIGHT = (4, 5, 6, 7, 8)


def make_report(contents: Contents) -> FileReport:
    """Report on a file that was read."""
    planes = _find_planes(contents)
    tensors = tuple(
        _describe(row, contents.rows[row.of].name, contents.tensors[index], planes[index])
        for index, row in enumerate(contents.rows)
    )
    return FileReport(
        tensors,
        contents.file_bytes,
        contents.payload_bytes,
        contents.table_bytes,
        sum(row.nbytes for row in contents.rows if row.kind != "copy"),
        contents.sha256,
    )


def _find_planes(contents: Contents) -> list[tuple[Plane, ...]]:
    planes: list[list[Plane]] = [[] for _ in contents.rows]
    offset = contents.table_bytes
    for section, index, count in planes_in_order(contents.rows):
        planes[index].append(Plane(section, offset, count))
        offset += count
    for index, (begin, count) in contents.blob.items():
        planes[index].append(Plane("safetensors", begin, count))
    return [tuple(own) for own in planes]


def _describe(row: Row, source: str, tensor: Tensor, planes: tuple[Plane, ...]) -> TensorReport:
    nonzeros = _count_nonzeros(tensor)
    sparsity = 1 - nonzeros / row.numel if row.numel else 0.0
    ternary = row.kind == "ternary"
    return TensorReport(
        row.name,
        row.dtype,
        row.shape,
        row.kind,
        nonzeros,
        sparsity,
        _as_float(row) if ternary else None,
        planes,
        row.numel * bound_bits(sparsity) if ternary else None,
        source if row.kind == "copy" else None,
    )


def _count_nonzeros(tensor: Tensor) -> int:
    """Count how many entries are not 0 by their bits."""
    raw = tensor_of(bytes_of(tensor))
    return int(raw.view(-1, tensor.itemsize).ne(0).any(dim=1).sum())


def _as_float(row: Row) -> float:
    bits = torch.tensor(row.sigma, dtype=INTEGERS[row.dtype.itemsize], device="cpu")
    return float(bits.view(row.dtype))


def _cells(tensor: TensorReport) -> tuple[str, ...]:
    return (
        tensor.name,
        str(tensor.dtype).removeprefix("torch."),
        "x".join(map(str, tensor.shape)) or "scalar",
        tensor.kind if tensor.copy_of is None else f"copy of {tensor.copy_of}",
        f"{tensor.nonzeros:,}",
        f"{tensor.sparsity:.4f}",
        "" if tensor.sigma is None else f"{tensor.sigma:.6g}",
        f"{sum(plane.bytes for plane in tensor.planes):,}",
        "" if tensor.bound_bits is None else f"{tensor.bound_bits / 8:,.0f}",
    )
