"""The file of a compressed network: written, read, and looked at."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from torch import Tensor, nn

from steepest._errors import InputError, one_line
from steepest._files import reason_of, write_atomically
from steepest.compression.format.plain import check_tensor, plain_state_dict
from steepest.compression.format.reading import read_contents
from steepest.compression.format.report import FileReport, make_report
from steepest.compression.format.writing import format_file


def save_compressed(model: nn.Module | Mapping[str, Tensor], path: str | PathLike[str]) -> int:
    """Write a network's tensors to a file, and return its bytes.

    What a tensor is written as follows from its values alone: floats that are +0, sigma or -sigma as two planes of
    bits, other floats with enough zeros as a plane of bits and their values, the rest as safetensors. Nothing is
    rounded. The same tensors give the same bytes, with the same liblzma. docs/compression-format.md has the format.

    Args:
        model: a module, written without its parametrisations as :func:`plain_state_dict` has it, or a state_dict.
        path: a file that is there is replaced once the new one is whole.

    Raises:
        InputError: the file cannot be written, or safetensors is not installed.
        TypeError: a value is no dense tensor of a dtype that the format has.
        ValueError: a tensor has no values, or there are too many of them.

    Example:
        >>> import tempfile, torch
        >>> layer = nn.Linear(100, 100)
        >>> _ = layer.requires_grad_(False).weight.copy_(torch.arange(10_000).view(100, 100) % 20 == 0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = save_compressed(layer, f"{folder}/layer.stcn")
        ...     plain = load_compressed(f"{folder}/layer.stcn")
        >>> size < 1000, layer.load_state_dict(plain)
        (True, <All keys matched successfully>)
    """
    if isinstance(model, nn.Module):
        tensors = plain_state_dict(model)
    else:
        tensors = {key: check_tensor(key, value) for key, value in model.items()}
    content = format_file(tensors)
    place = Path(path)
    if place.is_dir():
        raise InputError(f"path must be a file to write, and {one_line(str(place))} is a folder")
    try:
        write_atomically(place, content)
    except OSError as error:
        raise InputError(f"{one_line(str(place))} cannot be written: {reason_of(error)}") from error
    return len(content)


def load_compressed(path: str | PathLike[str], *, limit: int = 2**32) -> dict[str, Tensor]:
    """Read the tensors of a file, on the CPU, for ``load_state_dict`` of the plain model.

    They are what was saved, bit for bit and in that order; tensors that were one are equal, but no longer one.

    Args:
        limit: bytes that the tensors may take together; a file that asks for more is refused before that memory is
            taken. Reading takes working memory besides: the coded planes, and a few times the largest tensor.

    Raises:
        InputError: there is no such file, it is damaged, of another version, or above the limit.
        ValueError: limit is negative.
    """
    contents = read_contents(Path(path), limit)
    return {row.name: contents.tensors[index] for index, row in enumerate(contents.rows)}


def inspect(path: str | PathLike[str], *, limit: int = 2**32) -> FileReport:
    """Read a file as :func:`load_compressed` does, and say what it holds.

    Raises:
        InputError: as there.
        ValueError: limit is negative.
    """
    return make_report(read_contents(Path(path), limit))
