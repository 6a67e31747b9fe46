"""A compressed network read with NumPy and the standard library alone: python examples/read_compressed.py FILE

Written by `steepest.compression.save_compressed`; docs/compression-format.md has the format. bfloat16 and 8-bit floats,
which NumPy lacks, come back as uint16 and uint8 with their bits. The checksum is verified, else the file is trusted.
"""

import hashlib
import json
import lzma
import sys
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {"BF16": "<u2", "BOOL": "?", "C64": "<c8", "C128": "<c16"}  # the others: F32 is <f4, U8 is <u1


def dtype_of(code: str) -> np.dtype[Any]:
    return np.dtype("u1" if code[:3] == "F8_" else TYPES.get(code) or f"<{code[0].lower()}{int(code[1:]) // 8}")


def read(path: str | Path) -> dict[str, np.ndarray]:
    file = Path(path).read_bytes()
    if file[:12] != b"\x89STCN\r\n\x1a\1\0\0\0" or file[16:48] != hashlib.sha256(file[:16] + file[48:]).digest():
        raise ValueError(f"{path} is damaged, or no compressed network of version 1")
    payload, at = np.frombuffer(lzma.decompress(file[48:]), np.uint8), int.from_bytes(file[12:16], "little")
    rows, found = json.loads(payload[:at].tobytes())["tensors"], {}
    for section in ("gaps", "bits", "signs", "values"):
        for i, row in enumerate(rows):
            mask, rest = "gaps" if "gaps" in row else "bits", "signs" if "sigma" in row else "values"
            if row["kind"] not in ("ternary", "sparse") or section not in (mask, rest):
                continue
            dtype, count, nonzeros = dtype_of(row["dtype"]), prod(row["shape"]), row["nonzeros"]
            bits, size = 8 * dtype.itemsize, dtype.itemsize
            lengths = {"bits": -(-count // 8), "signs": -(-nonzeros // 8), "values": nonzeros * size, **row}
            data, at = payload[at : at + lengths[section]], at + lengths[section]
            if section == mask:  # the positions of what is not zero
                gaps = np.cumsum(data + (data < 255).astype(int))[data < 255] - 1
                found[i] = gaps if mask == "gaps" else np.flatnonzero(np.unpackbits(data, count=count))
                continue
            flat = np.zeros(count, f"<u{size}")
            if section == "signs":
                signs = np.unpackbits(data, count=nonzeros).astype("u8")
                flat[found[i]] = int(row["sigma"], 16) + (signs << bits - 1)
            else:  # the highest bytes of all, then the next lower of all
                flat[found[i]] = data.reshape(size, -1)[::-1].T.copy().view(flat.dtype).ravel()
            found[i] = flat.view(dtype).reshape(row["shape"])
    start = at + 8 + int.from_bytes(payload[at : at + 8].tobytes(), "little")  # safetensors: length, header, data
    for key, entry in json.loads(payload[at + 8 : start].tobytes() or b"{}").items():
        row, (begin, end) = rows[int(key)], entry["data_offsets"]
        found[int(key)] = payload[start + begin : start + end].view(dtype_of(row["dtype"])).reshape(row["shape"])
    return {row["name"]: found[row.get("of", i)].copy() for i, row in enumerate(rows)}


if __name__ == "__main__":
    print(*(f"{name} {array.dtype} {array.shape}" for name, array in read(sys.argv[1]).items()), sep="\n")
