"""Whether what a step reads and writes for a parameter has the parameter's shape, dtype and place in memory.

torch's kernels over lists check nothing of it, and a smaller tensor may be broadcast without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from steepest.optim.norms import local

LIKE_THE_PARAMETER = ("momentum_buffer", "compensation")
"""The state that has the parameter's shape."""
_FREED = "has no memory, its storage is empty"
_NOTHING: Mapping[str, Any] = {}
_shares_memory = torch._C._is_alias_of  # type: ignore[attr-defined]


def known_as(optimizer: Optimizer, param: Tensor) -> str:
    """How an error's sentence calls a parameter: by its place in ``state_dict()``, and its name if it has one.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> known_as(torch.optim.SGD([("0.weight", weight)]), weight)
        "parameter 0 ('0.weight')"
    """
    index = 0
    for group in optimizer.param_groups:
        names = group.get("param_names") or [None] * len(group["params"])
        for each, name in zip(group["params"], names, strict=False):
            if each is param:
                return f"parameter {index}" if name is None else f"parameter {index} ({name!r})"
            index += 1
    return "a parameter"


def why_not_a_parameter(param: Tensor) -> str | None:
    """Why no step can be taken in a parameter's memory, or ``None``."""
    if param.layout != torch.strided:
        return f"has the layout {param.layout}: use a dense one"
    if not (param.is_floating_point() or param.is_complex()):
        return f"has the dtype {param.dtype}: only floating point and complex numbers can take a step"
    if torch.compiler.is_compiling():
        return None
    if is_view_of_bits(param):
        return "is a conjugated or negated view: give it its own memory, as resolve_conj() and resolve_neg() do"
    if _is_freed(param):
        return f"{_FREED}: give it some, as to_empty() does"
    if overlaps_itself(param):
        return "has elements that share memory: give it its own, as clone() does"
    return None


def misfit(tensor: Tensor, param: Tensor) -> str | None:
    """What of a gradient or state does not fit its parameter, as the end of a sentence; ``None`` if it fits.

    Example:
        >>> misfit(torch.zeros(1000, 8), torch.zeros(10, 8))
        'has the shape (1000, 8), the parameter (10, 8)'
    """
    if tensor.shape != param.shape:
        return f"has the shape {tuple(tensor.shape)}, the parameter {tuple(param.shape)}"
    if tensor.device != param.device:
        return f"is on {tensor.device}, the parameter on {param.device}"
    if tensor.layout != param.layout:
        return f"has the layout {tensor.layout}, the parameter {param.layout}"
    if tensor.is_complex() != param.is_complex() or tensor.is_floating_point() != param.is_floating_point():
        return f"has the dtype {tensor.dtype}, the parameter {param.dtype}"
    if hasattr(tensor, "placements") != hasattr(param, "placements"):
        return "is sharded and the parameter is not, or the other way round"
    return _FREED if _is_freed(tensor) else None


def _is_freed(tensor: Tensor) -> bool:
    """Say whether its storage was resized to nothing, where torch's kernels would read and write all the same."""
    if torch.compiler.is_compiling() or type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.is_meta:
        return False
    has_storage = tensor.layout == torch.strided and not tensor._is_zerotensor()
    return has_storage and tensor.numel() > 0 and tensor.data_ptr() == 0


def check_entry(optimizer: Optimizer, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
    """Raise if the parameter's gradient or the state that its step needs does not fit it.

    Raises:
        RuntimeError: the sentence names the parameter.
    """
    if why := why_not_a_parameter(param):
        raise RuntimeError(f"{known_as(optimizer, param)} {why}")
    if why := misfit(grad, param):
        raise RuntimeError(f"the gradient of {known_as(optimizer, param)} {why}: compute it again")
    for name, tensor in _used(optimizer.state.get(param, _NOTHING), group):
        check_state(optimizer, param, name, tensor)


def check_state(optimizer: Optimizer, param: Tensor, name: str, tensor: Any, like: Tensor | None = None) -> None:
    """Raise if a state does not fit its parameter, or ``like`` where it is given.

    Raises:
        RuntimeError: the sentence names the parameter.
    """
    why = misfit(tensor, param if like is None else like) if isinstance(tensor, Tensor) else f"is {tensor!r}"
    if why:
        raise RuntimeError(
            f"{name} of {known_as(optimizer, param)} {why}: load a state that fits, or drop it with "
            f"optimizer.state.pop(param)"
        )


def _used(state: Mapping[str, Any], group: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, used in zip(LIKE_THE_PARAMETER, (group["momentum"] != 0, group["kahan_sum"]), strict=True):
        if used and state.get(name) is not None:
            yield name, state[name]


def is_view_of_bits(tensor: Tensor) -> bool:
    """Whether a conjugation or a minus is still to be done, which reading the memory would miss."""
    return tensor.is_neg() or (tensor.is_complex() and tensor.is_conj())


def readable(tensor: Tensor, *written: Tensor) -> Tensor:
    """The gradient as memory that can be read while the others are written: itself, or a copy."""
    if is_view_of_bits(tensor):
        tensor = tensor.resolve_conj().resolve_neg()
    return tensor.clone() if any(_shares_memory(tensor, other) for other in written) else tensor


def owned_state(optimizer: Optimizer, param: Tensor, name: str) -> Tensor:
    """The parameter's state of that name, made of zeros if there is none, in memory that can be written in place.

    The loop puts a new tensor in its place; where elements share memory (an expanded tensor) or carry a sign still to
    be applied, the paths in place need a copy for that.
    """
    state = optimizer.state[param]
    tensor = state.get(name)
    if tensor is None:
        state[name] = torch.zeros_like(param)
    elif not torch.compiler.is_compiling() and not _is_writable(tensor):
        state[name] = tensor.resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
    return state[name]  # type: ignore[no-any-return]


def _is_writable(tensor: Tensor) -> bool:
    return not is_view_of_bits(tensor) and not overlaps_itself(tensor)


def overlaps_itself(tensor: Tensor) -> bool:
    """Whether elements share memory; also where only trying every index would tell."""
    if tensor.is_contiguous() or hasattr(tensor, "placements"):
        return False
    reach = 0
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride <= reach:
            return True
        reach += (size - 1) * stride
    return False


def owned_states(optimizer: Optimizer, params: Sequence[Tensor], name: str, others: Sequence[Tensor]) -> list[Tensor]:
    """:func:`owned_state` of every parameter, none of which shares memory with one before it or with any of the others.

    A state that somebody else has put there may; on the loop, which writes new tensors, it would not matter.
    """
    states = [owned_state(optimizer, param, name) for param in params]
    dense = [i for i, state in enumerate(states) if not state.is_meta]
    parts = [local(other) for other in others if other.layout == torch.strided and not is_view_of_bits(other)]
    for k in sharing_memory([local(states[i]) for i in dense], [part for part in parts if not part.is_meta]):
        states[dense[k]] = optimizer.state[params[dense[k]]][name] = states[dense[k]].clone()
    return states


def sharing_memory(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> list[int]:
    """Indices of dense tensors whose memory overlaps that of one before them, or of any of the others."""
    spans = [(*_span(tensor), index) for index, tensor in enumerate(tensors)]
    spans += [(*_span(other), -1) for other in others]
    found: list[int] = []
    end, holder = 0, -1
    for start, stop, index in sorted(span for span in spans if span[0] < span[1]):
        if start < end:
            found += [i for i in (index, holder) if i >= 0]
        if stop > end:
            end, holder = stop, index
    return sorted(set(found))


def _span(tensor: Tensor) -> tuple[int, int]:
    start = tensor.data_ptr()
    if tensor.numel() == 0:
        return start, start
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (reach + 1) * tensor.element_size()
