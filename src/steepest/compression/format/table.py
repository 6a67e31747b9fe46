"""The table of a compressed file: a row for each tensor, and in which order their planes follow."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

MOST = 2**22  # bytes of a table
# In this order in the file, so that like stands by like; what is dense follows as one safetensors blob.
SECTIONS = ("gaps", "bits", "signs", "values")
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
    "C64": torch.complex64, "C128": torch.complex128,
}  # fmt: skip
CODES = {dtype: code for code, dtype in DTYPES.items()}
# Complex numbers that safetensors does not know: real ones, with a last dimension of 2.
REAL = {"C128": "F64"}
_KEYS = {
    "ternary": ({"nonzeros", "sigma"}, {"gaps"}),
    "sparse": ({"nonzeros"}, {"gaps"}),
    "dense": (set(), set()),
    "copy": ({"of"}, set()),
}  # fmt: skip


class DamageError(ValueError):
    """What is wrong with a file, to stand after its path."""


@dataclass(frozen=True, slots=True)
class Row:
    """A tensor in the table.

    ``kind``: ``ternary``, ``sparse``, ``dense`` or ``copy``; ``sigma``: the bits of its magnitude; ``gaps``: bytes of
    its mask where that is coded as gaps; ``of``: the row whose tensor a copy has.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    kind: str
    nonzeros: int = 0
    sigma: int = 0
    gaps: int | None = None
    of: int = 0

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize

    def planes(self) -> dict[str, int]:
        """The bytes that it has in each section."""
        if self.kind not in ("ternary", "sparse"):
            return {}
        mask = {"bits": _eighth(self.numel)} if self.gaps is None else {"gaps": self.gaps}
        if self.kind == "ternary":
            return mask | {"signs": _eighth(self.nonzeros)}
        return mask | {"values": self.nonzeros * self.dtype.itemsize}

    def in_blob(self) -> dict[str, Any]:
        """What safetensors says of it, but for where it is."""
        code = CODES[self.dtype]
        return {"dtype": REAL.get(code, code), "shape": [*self.shape, 2] if code in REAL else [*self.shape]}


def planes_in_order(rows: list[Row]) -> Iterator[tuple[str, int, int]]:
    """Section, index of the row and bytes of every plane, as they follow each other."""
    for section in SECTIONS:
        for index, row in enumerate(rows):
            planes = row.planes()
            if section in planes:
                yield section, index, planes[section]


def format_table(rows: list[Row]) -> bytes:
    """The table as JSON in ASCII.

    Example:
        >>> format_table([Row("a", torch.float32, (2, 40), "ternary", 3, 0x3F800000)])
        b'{"tensors":[{"name":"a","dtype":"F32","shape":[2,40],"kind":"ternary","nonzeros":3,"sigma":"3f800000"}]}'
    """
    return json.dumps({"tensors": [_plain(row) for row in rows]}, separators=(",", ":")).encode("ascii")


def parse_table(text: bytes, limit: int) -> list[Row]:
    """The rows of a table, each possible by itself, and together at most ``limit`` bytes of tensors.

    Raises:
        DamageError: they are not.
    """
    table = parse_json(text, "the table")
    if not isinstance(table, dict) or set(table) != {"tensors"} or not isinstance(table["tensors"], list):
        raise DamageError("its table must hold a list 'tensors' and nothing else")
    rows: list[Row] = []
    names: set[str] = set()
    total = 0
    for index, item in enumerate(table["tensors"]):
        row = _parse_row(item, index)
        if row.name in names:
            raise DamageError(f"its table has two tensors {row.name!r}")
        if row.kind == "copy" and not _can_copy(row, rows):
            raise DamageError(f"row {index} of its table is no copy of row {row.of}")
        names.add(row.name)
        rows.append(row)
        total += row.nbytes
        if total > limit:
            raise DamageError(f"its tensors take more than limit={limit} bytes")
    return rows


def parse_json(text: bytes, what: str) -> Any:
    """JSON, or a DamageError."""
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{what} is no JSON") from error


def is_count(value: object, most: int) -> bool:
    """Whether a value out of JSON is an integer from 0 to ``most``."""
    return type(value) is int and 0 <= value <= most


def _parse_row(item: object, index: int) -> Row:
    def demand(holds: bool, what: str) -> None:
        if not holds:
            raise DamageError(f"row {index} of its table has no {what}")

    if not isinstance(item, dict):
        raise DamageError(f"row {index} of its table is no object")
    name, code, kind = (item.get(key) for key in ("name", "dtype", "kind"))
    shape: Any = item.get("shape")
    demand(isinstance(kind, str) and kind in _KEYS, "kind that is known")
    always, perhaps = _KEYS[str(kind)]
    rest = set(item) - {"name", "dtype", "shape", "kind"}
    demand(isinstance(name, str), "name")
    demand(isinstance(code, str) and code in DTYPES, "dtype that is known")
    demand(always <= rest <= always | perhaps, f"keys of kind {kind}")
    demand(isinstance(shape, list) and len(shape) <= 64, "shape")
    demand(all(is_count(n, 2**63 - 1) for n in shape), "shape of sizes")
    dtype = DTYPES[str(code)]
    demand(math.prod(n or 1 for n in shape) * dtype.itemsize < 2**63, "shape of a possible size")
    demand("nonzeros" not in always or dtype in FLOATS, f"dtype of kind {kind}")
    numel = math.prod(shape)
    nonzeros, gaps, sigma, of = item.get("nonzeros", 0), item.get("gaps"), item.get("sigma", "0"), item.get("of", 0)
    demand(is_count(nonzeros, numel), "possible nonzeros")
    demand("gaps" not in item or (is_count(gaps, nonzeros + numel // 255) and gaps >= nonzeros), "possible gaps")
    digits = 2 * dtype.itemsize if kind == "ternary" else 1
    demand(isinstance(sigma, str) and bool(re.fullmatch(f"[0-9a-f]{{{digits}}}", sigma)), "possible sigma")
    demand(int(sigma, 16) < 2 ** (4 * digits - 1), "sigma that is positive")
    demand(is_count(of, 2**63 - 1), "row that it copies")
    return Row(str(name), dtype, tuple(shape), str(kind), nonzeros, int(sigma, 16), gaps, of)


def _can_copy(row: Row, rows: list[Row]) -> bool:
    if row.of >= len(rows):
        return False
    source = rows[row.of]
    return source.kind != "copy" and (source.dtype, source.shape) == (row.dtype, row.shape)


def _plain(row: Row) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": row.name, "dtype": CODES[row.dtype], "shape": row.shape, "kind": row.kind}
    if row.kind in ("ternary", "sparse"):
        plain["nonzeros"] = row.nonzeros
    if row.kind == "ternary":
        plain["sigma"] = f"{row.sigma:0{2 * row.dtype.itemsize}x}"
    if row.gaps is not None:
        plain["gaps"] = row.gaps
    if row.kind == "copy":
        plain["of"] = row.of
    return plain


def _eighth(bits: int) -> int:
    return -(-bits // 8)
