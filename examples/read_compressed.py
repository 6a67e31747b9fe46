"""A compressed network read with NumPy and the standard library alone, for where there is no torch.

python examples/read_compressed.py FILE

prints each tensor's name, dtype and shape. Written by `steepest.compression.save_compressed`; docs/compression-format.md
has the format. bfloat16 and the 8-bit floats, which NumPy lacks, come back as uint16 and uint8 that hold their bits.
The checksum is verified; else the file is trusted.
"""

import hashlib
import json
import lzma
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {"BF16": "<u2", "BOOL": "?", "C32": "<f2", "C64": "<c8", "C128": "<c16"}  # the others: F32 is <f4, U8 is <u1


def dtype_of(code: str) -> np.dtype[Any]:
    if code.startswith("F8"):
        return np.dtype("u1")
    return np.dtype(TYPES.get(code) or f"<{code[0].lower()}{int(code[1:]) // 8}")


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors by name. complex32 comes as float16 with a last dimension of 2."""
    file = Path(path).read_bytes()
    magic, version, table_bytes, digest = struct.unpack("<8sII32s", file[:48])
    if (magic, version, digest) != (b"\x89STCN\r\n\x1a", 1, hashlib.sha256(file[:16] + file[48:]).digest()):
        raise ValueError(f"{path} is damaged, or no compressed network of version 1")
    payload, at = np.frombuffer(lzma.decompress(file[48:]), np.uint8), table_bytes
    rows, found = json.loads(payload[:at].tobytes())["tensors"], {}
    for section in ("gaps", "bits", "signs", "values"):
        for i, row in enumerate(r if r["kind"] in ("ternary", "sparse") else None for r in rows):
            if row is None or section not in (
                "gaps" if "gaps" in row else "bits",
                "signs" if "sigma" in row else "values",
            ):
                continue
            size, count, nonzeros = (
                dtype_of(row["dtype"]).itemsize,
                int(np.prod(row["shape"], dtype=int)),
                row["nonzeros"],
            )
            bytes_ = {
                "gaps": row.get("gaps"),
                "bits": -(-count // 8),
                "signs": -(-nonzeros // 8),
                "values": nonzeros * size,
            }
            data, at = payload[at : at + bytes_[section]], at + bytes_[section]
            if section == "gaps":
                found[i] = np.cumsum(data + (data < 255).astype(int))[data < 255] - 1
            elif section == "bits":
                found[i] = np.flatnonzero(np.unpackbits(data, count=count))
            else:
                flat = np.zeros(count, f"<u{size}")
                if section == "signs":
                    signs = np.unpackbits(data, count=nonzeros).astype(flat.dtype)
                    flat[found[i]] = signs << flat.dtype.type(8 * size - 1) | flat.dtype.type(int(row["sigma"], 16))
                else:
                    flat[found[i]] = data.reshape(size, -1)[::-1].T.copy().view(flat.dtype).ravel()
                found[i] = flat.view(dtype_of(row["dtype"])).reshape(row["shape"])
    if at < len(payload):  # safetensors: its header's bytes, its header, its data
        start = at + 8 + int.from_bytes(payload[at : at + 8].tobytes(), "little")
        for key, entry in json.loads(payload[at + 8 : start].tobytes()).items():
            begin, end = entry["data_offsets"]
            shape = entry["shape"][:-1] if rows[int(key)]["dtype"] == "C128" else entry["shape"]
            found[int(key)] = (
                payload[start + begin : start + end].copy().view(dtype_of(rows[int(key)]["dtype"])).reshape(shape)
            )
    return {row["name"]: found[row.get("of", i)].copy() for i, row in enumerate(rows)}


if __name__ == "__main__":
    for name, array in read(sys.argv[1]).items():
        print(name, array.dtype, array.shape)
