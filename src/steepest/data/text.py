"""A text as sequences of characters, cut by position so that no part sees another."""

from pathlib import Path

import torch
from torch import Tensor

from steepest._errors import InputError
from steepest.data.place import NO_FOLDER, existing_data_folder
from steepest.data.splits import Split, Splits

LENGTH = 64
SHAKESPEARE_CHARACTERS = 65
_SHAKESPEARE_FILE = "tinyshakespeare/input.txt"
_SHAKESPEARE_SOURCE = "https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare"


def text(path: str | Path, length: int = LENGTH) -> Splits:
    """Read a text file in UTF-8: the first nine tenths are training data, the next twentieth validation, the last test.

    A character is its place, from 1, among those of the training part in the order of Unicode; one that the training
    part lacks is 0, as input and as target, so that a model pays for it what it gives to a symbol it never saw.
    Sequences lie side by side; what remains of a part is left out.

    Args:
        path: the file.
        length: characters of a sequence.

    Returns:
        Inputs int64 of shape (N, length); targets of the same shape, each the character after it, of the same part.

    Raises:
        InputError: there is no such file, it is not UTF-8, or a part of it is shorter than a sequence.
    """
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise InputError(f"length must be a whole number of at least 1, got {length!r}")
    parts = parts_of_text(path)
    if (shortest := min(map(len, parts))) <= length:
        raise InputError(
            f"{str(path)!r} must have at least {length + 1} characters in its last twentieth, got {shortest}"
        )
    known = _code_points(vocabulary(parts[0]))
    return Splits(*(_sequences(_encoded(part, known), length) for part in parts))


def shakespeare(data_dir: str | Path | None = None) -> Splits:
    """Load tiny Shakespeare, 1,115,394 characters in sequences of 64, of which 65 are different.

    It is the file ``tinyshakespeare/input.txt`` under ``data_dir`` or ``STEEPEST_DATA``.

    Raises:
        InputError: there is no such file, or it holds another text.

    Source: A. Karpathy, char-rnn (2015).
    """
    folder = existing_data_folder(data_dir)
    path = folder / _SHAKESPEARE_FILE if folder else None
    if path is None or not path.is_file():
        where = NO_FOLDER if folder is None else f"it is not in {str(folder)!r}"
        raise InputError(
            f"this needs the file {_SHAKESPEARE_FILE} in the data folder: {where}; get it from {_SHAKESPEARE_SOURCE}"
        )
    if (count := len(vocabulary(parts_of_text(path)[0]))) != SHAKESPEARE_CHARACTERS:
        raise InputError(
            f"{str(path)!r} must hold the {SHAKESPEARE_CHARACTERS} characters of tiny Shakespeare, got {count}; for "
            "another text write char-lstm:PATH or char-gpt:PATH"
        )
    return text(path)


def parts_of_text(path: str | Path) -> tuple[str, str, str]:
    """Training, validation and test part, one after the other.

    Raises:
        InputError: there is no such file, or it is not UTF-8.
    """
    try:
        content = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} must be a text in UTF-8: {error}") from error
    except OSError as error:
        raise InputError(f"the text {str(path)!r} cannot be read: {error.strerror}") from error
    first, second = len(content) * 90 // 100, len(content) * 95 // 100
    return content[:first], content[first:second], content[second:]


def vocabulary(content: str) -> str:
    """The different characters, in the order of Unicode.

    Example:
        >>> vocabulary("to be or not to be")
        ' benort'
    """
    return "".join(sorted(set(content)))


def _code_points(content: str) -> Tensor:
    return torch.frombuffer(bytearray(content.encode("utf-32-le")), dtype=torch.int32)


def _encoded(content: str, known: Tensor) -> Tensor:
    points = _code_points(content)
    places = torch.searchsorted(known, points).clamp_(max=len(known) - 1)
    return torch.where(known[places] == points, places + 1, 0)


def _sequences(characters: Tensor, length: int) -> Split:
    count = (len(characters) - 1) // length
    return Split(*(characters[start : start + count * length].view(count, length) for start in (0, 1)))
