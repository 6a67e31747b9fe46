"""A score of linear Gaussian data that can be differentiated by a relaxed permutation matrix."""

import math

import numpy as np
import torch
from torch import Tensor

from steepest.causal.knowledge import Knowledge
from steepest.causal.parents import members
from steepest.causal.table import Table

ITERATIONS = 100


class RelaxedLasso:
    r"""The negative score, per row, of what a relaxed permutation matrix P (n, d, d) lets come before each variable.

    .. code-block:: text

        M = P' U P, with U 1 above the diagonal: M_ij says how far i comes before j
        f(P) = sum_j 1/2 log 2 q_j + constant,  q_j = min_w 1/(2n) |x_j - X (m_j w)|^2 + alpha |w|_1

    The w of the minimum comes from FISTA, and the derivative takes it as fixed, which is exact at the minimum (the
    envelope theorem). alpha is sqrt(penalty log n / n), at which the criterion takes a parent, too. What is known
    beforehand multiplies M.

    Source: the LASSO as score of a relaxed order: a **reconstruction** of Gadetsky and others, arXiv 1911.10036 (2020);
    FISTA: Beck, Teboulle, SIAM J. Imaging Sciences 2 (2009), 183-202.

    Args:
        table: of numbers, standardised.
        penalty: of the criterion.
    """

    def __init__(self, table: Table, penalty: float, known: Knowledge) -> None:
        d = len(table.names)
        price = penalty * math.log(table.rows) / table.rows
        covariance = np.cov(table.values.T, bias=True)
        self._covariance = torch.as_tensor(covariance, dtype=torch.float64, device="cpu")
        self._alpha, self._norm = math.sqrt(price), float(np.linalg.eigvalsh(covariance)[-1])
        self._constant = d * (0.5 * (math.log(2 * math.pi) + 1) + price)
        self._free, self._sure = np.zeros((2, d, d))
        for child in range(d):
            self._free[members(known.allowed[child] & ~known.required[child]), child] = 1
            self._sure[members(known.required[child]), child] = 1

    def __call__(self, matrices: Tensor) -> Tensor:
        """The values (n,) of relaxed permutation matrices (n, d, d)."""
        later = matrices.flip(dims=[-2]).cumsum(dim=-2).flip(dims=[-2]) - matrices
        before = matrices.transpose(-2, -1) @ later
        free = torch.as_tensor(self._free, dtype=before.dtype, device=before.device)
        sure = torch.as_tensor(self._sure, dtype=before.dtype, device=before.device)
        mask = (before * free + sure).transpose(-2, -1)  # (n, variable, other)
        inner = self._covariance.to(mask)
        with torch.no_grad():
            weights = self._minimise(mask, inner)
        masked = mask * weights
        left = inner.diagonal() + ((masked @ inner - 2 * inner) * masked).sum(dim=-1)
        price = 2 * self._alpha * weights.abs().sum(dim=-1)
        return 0.5 * (left + price).log().sum(dim=-1) + self._constant

    def _minimise(self, mask: Tensor, inner: Tensor) -> Tensor:
        """Find the weights (n, d, d) by FISTA."""
        rate = 1 / (self._norm * mask.square().amax(dim=-1, keepdim=True)).clamp(min=1e-9)
        weights = ahead = torch.zeros_like(mask)
        momentum = 1.0
        for _ in range(ITERATIONS):
            slope = mask * ((mask * ahead) @ inner - inner)
            stepped = ahead - rate * slope
            stepped = stepped.sign() * (stepped.abs() - rate * self._alpha).clamp(min=0)
            following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
            ahead = stepped + (momentum - 1) / following * (stepped - weights)
            weights, momentum = stepped, following
        return weights
