"""How many bytes a random ternary layer takes on disk, beside its bound and beside other files of it.

    python benchmarks/compressed_file.py sizes [--rows 1000] [--columns 1000]
    python benchmarks/compressed_file.py filters
    python benchmarks/compressed_file.py example

`sizes`: float32 layers whose entries are 0 with the given probability, else +-sigma with equal probability; the bound
is H2(s) + (1 - s) bits an entry. The others are xz at its defaults and gzip over the float32 values, and xz over two
plain planes of bits. `filters`: what liblzma's settings make of the mask alone, as bits and as gaps, over H2(s).
`example`: the file of docs/compression-format.md. Prints figures, asserts nothing.
"""

import argparse
import gzip
import lzma
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steepest.compression.format.file import inspect, save_compressed
from steepest.compression.format.planes import bytes_of, pack_bits, pack_gaps
from steepest.compression.format.report import bound_bits

SPARSITIES = (0.5, 0.8, 0.9, 0.935, 0.95, 0.99)
FILTERS: dict[str, dict[str, int]] = {
    "xz -6": {},
    "lc 0": {"lc": 0},
    "lc 0, pb 0": {"lc": 0, "pb": 0},
    "the same, dictionary 1 MiB": {"lc": 0, "pb": 0, "dict_size": 2**20},
    "the same, nice_len 273": {"lc": 0, "pb": 0, "dict_size": 2**20, "nice_len": 273},
    "lc 0, lp 2, pb 2": {"lc": 0, "lp": 2, "pb": 2},
}


def layer(rows: int, columns: int, sparsity: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (rows, columns), generator=generator) * 2 - 1
    kept = torch.rand(rows, columns, generator=generator) >= sparsity
    return torch.where(kept, signs * 0.05, 0.0)


def xz(data: bytes, **options: Any) -> int:
    return len(lzma.compress(data, check=lzma.CHECK_NONE, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6} | options]))


def sizes(rows: int, columns: int) -> None:
    print(f"{rows:,} x {columns:,} float32, {rows * columns * 4:,} bytes dense; bytes of")
    print(f"{'sparsity':>8}{'bound':>10}{'file':>10}{'over':>8}{'smaller':>9}{'xz, bits':>10}{'xz':>10}{'gzip':>10}")
    for sparsity in SPARSITIES:
        weight = layer(rows, columns, sparsity)
        with tempfile.TemporaryDirectory() as folder:
            size = save_compressed({"weight": weight}, Path(folder) / "layer.stcn")
            found = inspect(Path(folder) / "layer.stcn").tensors[0]
        bound = weight.numel() * bound_bits(found.sparsity) / 8
        flat = weight.reshape(-1)
        planes = xz(pack_bits(flat != 0) + pack_bits(flat[flat != 0] < 0))
        others = f"{planes:>10,}{xz(bytes_of(weight)):>10,}{len(gzip.compress(bytes_of(weight))):>10,}"
        print(f"{sparsity:>8}{bound:>10,.0f}{size:>10,}{size / bound - 1:>8.1%}{weight.nbytes / size:>8.1f}x{others}")


def filters() -> None:
    print(f"mask of 1,000 x 1,000, bytes over H2(s): bits/gaps\n{'':28}" + "".join(f"{s:>14}" for s in SPARSITIES))
    masks = [layer(1000, 1000, sparsity).reshape(-1) != 0 for sparsity in SPARSITIES]
    coded = [(mask, pack_bits(mask), pack_gaps(mask.nonzero().view(-1))) for mask in masks]
    for name, options in FILTERS.items():
        cells = []
        for mask, bits, gaps in coded:
            share = float(mask.sum() / mask.numel())
            entropy = mask.numel() * (bound_bits(share) - 1 + share) / 8
            cells.append(f"{xz(bits, **options) / entropy:.3f}/{xz(gaps, **options) / entropy:.3f}")
        print(f"{name:28}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def example() -> None:
    weight = torch.zeros(1, 101)
    weight[0, 0], weight[0, 100] = 0.5, -0.5
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.stcn"
        save_compressed({"weight": weight, "step": torch.tensor(7)}, path)
        content, report = path.read_bytes(), inspect(path)
    for title, data in (("file", content), ("payload", lzma.decompress(content[48:]))):
        print(title)
        for at in range(0, len(data), 16):
            line = data[at : at + 16]
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
            print(f"{at:08x}  {line[:8].hex(' '):23}  {line[8:].hex(' '):23}  {text}")
    print(report)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["sizes", "filters", "example"])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--columns", type=int, default=1000)
    given = parser.parse_args()
    if given.what == "sizes":
        sizes(given.rows, given.columns)
    else:
        {"filters": filters, "example": example}[given.what]()
