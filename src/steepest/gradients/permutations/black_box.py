"""The function of an order that is minimised: anything that gives a number for each of some orders."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

BlackBox = Callable[[Tensor], Any]
"""Of orders (n, d), integers with the first item first: n finite numbers as a tensor, an array or a list."""


def one_by_one(f: Callable[[Any], float]) -> BlackBox:
    """A function of orders (n, d) from one that takes a single order as a NumPy array (d,).

    Example:
        >>> f = one_by_one(lambda order: float(order[0]))
        >>> f(torch.tensor([[1, 0], [0, 1]]))
        [1.0, 0.0]
    """
    return lambda orders: [f(order) for order in orders.cpu().numpy()]


def evaluate(f: BlackBox, orders: Tensor, like: Tensor) -> Tensor:
    """Call f once for all orders (n, d): its values (n,), of the dtype and on the device of ``like``.

    Raises:
        TypeError, ValueError: f is no function, or gives something else than a finite number for each order.
    """
    if not callable(f):
        raise TypeError(f"f must be a function of orders (n, d), got {type(f).__name__}")
    with torch.no_grad():
        found = f(orders)
    try:
        values = torch.as_tensor(found, dtype=like.dtype, device=like.device).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"f must give numbers, got {type(found).__name__}") from error
    return _check("f", values, len(orders))


def relax(relaxed: Callable[[Tensor], Tensor], matrices: Tensor) -> Tensor:
    """The differentiable function of matrices (n, d, d): its values (n,).

    Raises:
        TypeError, ValueError: it gives something else than a finite number for each matrix, on torch's graph.
    """
    values = relaxed(matrices)
    if not isinstance(values, Tensor):
        raise TypeError(f"relaxed must give a tensor, got {type(values).__name__}")
    _check("relaxed", values.detach(), len(matrices))
    return values


def _check(name: str, values: Tensor, count: int) -> Tensor:
    shape: Sequence[int] = tuple(values.shape)
    if shape != (count,):
        raise ValueError(f"{name} must give a number for each of {count} orders, got shape {shape}")
    if not torch.isfinite(values).all():
        worst = values[~torch.isfinite(values)][0].item()
        raise ValueError(f"{name} must give finite numbers, got {worst}")
    return values
