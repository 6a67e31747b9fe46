"""Models that are a law over orders and the function of an order that is minimised, and the toy among them."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from steepest._errors import InputError
from steepest.data import Split, Splits
from steepest.gradients.permutations import PlackettLuce, permutation_matrix
from steepest.gradients.permutations.black_box import BlackBox, evaluate
from steepest.optim.arguments import check_integer, check_number

Relaxed = Callable[[Tensor], Tensor]
_DIAGONAL = 0.05  # by which the toy's diagonal is above 1 / d


class OrderModel(nn.Module):
    """The Plackett-Luce law over orders of d items, its logits at 0 in the beginning, and a function f of an order.

    Called in evaluation it gives f at the law's mode, once for each row of its inputs. It has no gradient of its own:
    an estimator of orders, such as ``loo``, obtains it.

    Args:
        items: d, at least 1.
        f: a function of orders (n, d) that gives n finite numbers; minimised.
        relaxed: f on relaxed permutation matrices (n, d, d), differentiable, for the estimators that need it.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    Example:
        >>> model = OrderModel(3, lambda orders: orders[:, 0])
        >>> with torch.no_grad():
        ...     model(torch.zeros(2, 1))  # the mode begins with item 0
        tensor([0., 0.], dtype=torch.float64)
    """

    def __init__(self, items: int, f: BlackBox, relaxed: Relaxed | None = None) -> None:
        super().__init__()
        check_integer("items", items, "an integer of at least 1")
        check_number("items", items, "an integer of at least 1", lambda d: d >= 1)
        for name, function in (("f", f), ("relaxed", relaxed)):
            if not callable(function) and (name == "f" or function is not None):
                raise TypeError(f"{name} must be a function, got {type(function).__name__}")
        self.f, self.relaxed = f, relaxed
        self.logits = nn.Parameter(torch.zeros(items, dtype=torch.float64, device="cpu"))

    def forward(self, inputs: Tensor) -> Tensor:
        """Evaluate f at the mode: (n,) for inputs (n, ...), whose values do not matter."""
        if torch.is_grad_enabled():
            raise InputError(
                "a model of orders has no gradient of its own: put an estimator of orders in front of the method, as "
                "in 'loo+adam' ('steepest methods' lists all)"
            )
        mode = PlackettLuce(self.logits, validate_args=False).mode
        return evaluate(self.f, mode[None], self.logits).expand(len(inputs))


def mean_value(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean of what an :class:`OrderModel` gives: loss and metric alike; it has no targets."""
    return outputs.mean()


def evaluations(count: int) -> Callable[[Path | None], Splits]:
    """The data of a workload that has none: ``count`` empty samples, each of which pays one evaluation of f.

    Example:
        >>> [len(split) for split in evaluations(100)(None)]
        [100, 1, 1]
    """

    def make(data_dir: Path | None) -> Splits:
        return Splits(*(Split(torch.zeros(n, 1), torch.zeros(n)) for n in (count, 1, 1)))

    return make


def permutation_toy(items: int = 8) -> OrderModel:
    """The squared distance of a permutation matrix from a nearly flat matrix, whose diagonal is a little larger.

    .. code-block:: text

        f(P) = ||P - T||^2,   T_ii = 1 / d + .05,   T_ij = 1 / d - .05 / (d - 1)

    Of 8 items the identity is the least, 6.222857, and the mean over all orders is 7.022857.

    Source: Gadetsky, Struminsky, Robinson, Quadrianto, Vetrov, arXiv 1911.10036 (2020), section 5.1.
    """
    target = torch.full((items, items), 1 / items - _DIAGONAL / (items - 1), dtype=torch.float64, device="cpu")
    target.fill_diagonal_(1 / items + _DIAGONAL)

    def relaxed(matrices: Tensor) -> Tensor:
        return (matrices - target.to(matrices.device)).square().sum(dim=(-2, -1))

    return OrderModel(items, lambda orders: relaxed(permutation_matrix(orders, target.dtype)), relaxed)
