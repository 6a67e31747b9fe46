"""A function of tensors as the list of its kernels, without the Python around them: faster where they are small."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

Function = Callable[..., tuple[Tensor, ...]]


def traced(function: Function, *arguments: Any) -> Function | None:
    """The function as traced with these arguments; ``None`` where it looks at a tensor's value, or is no function.

    Later arguments must have the same shapes. The first must be weights: those half as great are tried too.
    """
    try:
        from torch.fx.experimental.proxy_tensor import make_fx

        # Clones: of one tensor given twice, the tracer would not know which of the two is meant.
        graph = make_fx(function)(*tree_map(lambda a: a.clone() if isinstance(a, Tensor) else a, arguments))
        for scale in (1.0, 0.5):
            given = (scale * arguments[0], *arguments[1:])
            if not all(map(_agree, tree_leaves(graph(*given)), tree_leaves(function(*given)))):
                return None
    except Exception:  # whatever a tracer cannot do, and errors of the user's own, which come again
        return None
    fast: Function = graph
    return fast


def _agree(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-12, atol=1e-14, equal_nan=True)
