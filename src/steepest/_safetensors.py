"""Files of safetensors that are the same for the same tensors: the library writes metadata in an order at random."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def to_bytes(tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str] | None = None) -> bytes:
    """What a file holds, with the header's keys in their order.

    Example:
        >>> import torch
        >>> one = to_bytes({"w": torch.zeros(2)}, {"b": "2", "a": "1", "c": "3"})
        >>> one == to_bytes({"w": torch.zeros(2)}, {"c": "3", "a": "1", "b": "2"})
        True
    """
    from safetensors.torch import save

    content = save(dict(tensors), None if metadata is None else dict(metadata))
    if metadata is None:
        return content
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    written = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written + content[end:]
