"""Gradients through a relaxed sort, in place of the order's: biased, and of a small variance."""

from typing import Literal

import torch
from torch import Tensor

from steepest.gradients.permutations.black_box import relax
from steepest.gradients.permutations.control_variates import Relaxed, check_relaxed
from steepest.gradients.permutations.estimator import Draws, OrderGradient
from steepest.gradients.permutations.plackett_luce import perturb
from steepest.gradients.permutations.relaxations import neural_sort, permutation_matrix, sinkhorn_sort
from steepest.optim.arguments import check_choice, check_number

Relaxation = Literal["neural-sort", "straight-through", "gumbel-sinkhorn"]


class RelaxedSort(OrderGradient):
    r"""The gradient of f on relaxed permutation matrices of the perturbed logits: biased, for comparison.

    .. code-block:: text

        neural-sort         d relaxed(neural_sort(z)) / d theta
        straight-through    the same, with relaxed and its derivative taken at the hard permutation matrix
        gumbel-sinkhorn     d relaxed(sinkhorn_sort(z)) / d theta

    Args:
        logits: theta (d,), a leaf that requires gradients.
        relaxed: f on relaxed matrices (n, d, d): a differentiable tensor (n,). f itself is evaluated at the sampled
            orders only to tell its value.
        relaxation: which.
        temperature: of the relaxation, above 0.
        generator: of the random numbers.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    Source: NeuralSort and Gumbel-Sinkhorn: see :func:`neural_sort` and :func:`sinkhorn_sort`; straight-through: Bengio,
    Leonard, Courville, arXiv 1308.3432 (2013).

    Example:
        >>> theta = torch.zeros(3, requires_grad=True)
        >>> estimator = RelaxedSort(theta, lambda matrices: matrices[:, 0] @ torch.arange(3.0), "straight-through")
        >>> found = estimator.backward(lambda orders: orders[:, 0], samples=100)
        >>> bool(theta.grad[0] < theta.grad[2])
        True
    """

    def __init__(
        self,
        logits: Tensor,
        relaxed: Relaxed,
        relaxation: Relaxation = "neural-sort",
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(logits, generator)
        check_choice("relaxation", relaxation, ("neural-sort", "straight-through", "gumbel-sinkhorn"))
        check_number("temperature", temperature, "a finite number above 0", lambda x: 0 < x < float("inf"))
        check_relaxed(relaxed)
        self.relaxed, self.relaxation, self.temperature = relaxed, relaxation, temperature

    def terms(self, drawn: Draws, values: Tensor) -> Tensor:
        """Estimate the gradient from each sample: (n, d)."""
        with torch.enable_grad():
            theta = self.logits.detach().expand_as(drawn.perturbed).clone().requires_grad_()
            z = perturb(theta, drawn.waits)
            soft = (sinkhorn_sort if self.relaxation == "gumbel-sinkhorn" else neural_sort)(z, self.temperature)
            if self.relaxation == "straight-through":
                soft = permutation_matrix(drawn.orders, soft.dtype) + soft - soft.detach()
            (found,) = torch.autograd.grad(relax(self.relaxed, soft).sum(), theta)
        return found
