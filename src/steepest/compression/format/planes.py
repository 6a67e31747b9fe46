"""What a tensor is taken apart into: bits eight to a byte, gaps between nonzeros, and floats by their bytes."""

import ctypes

import torch
from torch import Tensor

LONG = 255  # as a gap: 255 zeros, and no nonzero after them
# Of a float by its bytes: the integer that its bits are.
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def bytes_of(tensor: Tensor) -> bytes:
    """The memory of a contiguous tensor on the CPU."""
    return ctypes.string_at(tensor.data_ptr(), tensor.nbytes) if tensor.nbytes else b""


def tensor_of(data: bytes | bytearray) -> Tensor:
    """Bytes as a uint8 tensor (n,) of its own."""
    if not data:
        return torch.empty(0, dtype=torch.uint8, device="cpu")
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def pack_bits(bits: Tensor) -> bytes:
    """Booleans (n,) eight to a byte, the first in the highest bit; the last byte is filled up with 0.

    Example:
        >>> pack_bits(torch.tensor([True, False, False, False, False, False, False, True, True])).hex()
        '8180'
    """
    padded = torch.nn.functional.pad(bits.to(torch.uint8), (0, -bits.numel() % 8))
    return bytes_of((padded.view(-1, 8) * _weights()).sum(dim=1, dtype=torch.uint8))


def unpack_bits(data: bytes | bytearray, count: int) -> Tensor:
    """The first ``count`` booleans of :func:`pack_bits`."""
    return tensor_of(data).unsqueeze(1).bitwise_and(_weights()).ne(0).view(-1)[:count]


def pack_gaps(positions: Tensor) -> bytes:
    """Ascending positions (k,), int64, as how many zeros stand before each: a byte, after one 255 for each 255 of them.

    Example:
        >>> list(pack_gaps(torch.tensor([0, 3, 259, 514])))
        [0, 2, 255, 0, 254]
    """
    gaps = positions.diff(prepend=positions.new_full((1,), -1)) - 1
    ends = (gaps // LONG + 1).cumsum(0)
    packed = torch.full((int(ends[-1]) if len(ends) else 0,), LONG, dtype=torch.uint8, device="cpu")
    packed[ends - 1] = (gaps % LONG).to(torch.uint8)
    return bytes_of(packed)


def unpack_gaps(data: bytes | bytearray) -> Tensor:
    """The positions of :func:`pack_gaps`."""
    gaps = tensor_of(data)
    found = gaps != LONG
    return (gaps + found.to(torch.int64)).cumsum(0)[found] - 1


def split_bytes(bits: Tensor) -> bytes:
    """Integers (k,) as the highest bytes of all, then the next lower of all, down to the lowest.

    Example:
        >>> split_bytes(torch.tensor([0x0102, 0x0304], dtype=torch.int16)).hex()
        '01030204'
    """
    return bytes_of(bits.view(torch.uint8).view(-1, bits.itemsize).flip(1).t().contiguous())


def join_bytes(data: bytes | bytearray, itemsize: int) -> Tensor:
    """The integers of :func:`split_bytes`."""
    return tensor_of(data).view(itemsize, len(data) // itemsize).t().flip(1).reshape(-1).view(INTEGERS[itemsize])


def _weights() -> Tensor:
    return torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device="cpu")
