"""Continuous stand-ins of a sort's permutation matrix."""

import math

import torch
from torch import Tensor

from steepest.optim.arguments import check_integer, check_number


def permutation_matrix(order: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The matrix (..., d, d) of an order (..., d): row i is 1 at the item that is i-th.

    Example:
        >>> permutation_matrix(torch.tensor([1, 0]))
        tensor([[0., 1.],
                [1., 0.]])
    """
    dtype = torch.get_default_dtype() if dtype is None else dtype
    return torch.nn.functional.one_hot(order, order.shape[-1]).to(dtype)


def neural_sort(scores: Tensor, temperature: float | Tensor) -> Tensor:
    r"""A relaxed permutation matrix (..., d, d) of the descending sort of scores (..., d); its rows sum to 1.

    .. code-block:: text

        row i = softmax_j(((d + 1 - 2 i) s_j - sum_k |s_j - s_k|) / temperature)

    As the temperature goes to 0 it becomes the permutation matrix of the sort, where scores differ.

    Args:
        temperature: above 0; a tensor of one number may be learnt.

    Raises:
        ValueError: the temperature is not above 0.

    Source: Grover, Wang, Zweig, Ermon, "Stochastic optimization of sorting networks via continuous relaxations", arXiv
    1903.08850 (2019).

    Example:
        >>> neural_sort(torch.tensor([1.0, 3.0, 2.0]), 0.1).argmax(dim=-1)
        tensor([1, 2, 0])
    """
    return (_rank_scores(scores) / _positive(temperature)).softmax(dim=-1)


def sinkhorn_sort(scores: Tensor, temperature: float | Tensor, iterations: int = 20) -> Tensor:
    r"""A relaxed permutation matrix (..., d, d) of the descending sort of scores (..., d), by Sinkhorn's iterations.

    .. code-block:: text

        exp((d + 1 - 2 i) s_j / temperature), its rows and columns divided by their sums in turn

    Its columns sum to 1, and so do its rows as the iterations go on.

    Args:
        temperature: above 0.
        iterations: of both divisions.

    Source: the operator of Mena, Belanger, Linderman, Snoek, "Learning latent permutations with Gumbel-Sinkhorn
    networks", arXiv 1802.08665 (2018), applied to the matrix whose best assignment is the sort (ours); theirs has a
    parameter for each of d x d entries.

    Example:
        >>> sinkhorn_sort(torch.tensor([1.0, 3.0, 2.0]), 0.1).argmax(dim=-1)
        tensor([1, 2, 0])
    """
    check_integer("iterations", iterations, "an integer of at least 1")
    check_number("iterations", iterations, "an integer of at least 1", lambda x: x >= 1)
    logs = _ranks(scores)[..., :, None] * scores[..., None, :] / _positive(temperature)
    for _ in range(iterations):
        logs = logs - logs.logsumexp(dim=-1, keepdim=True)
        logs = logs - logs.logsumexp(dim=-2, keepdim=True)
    return logs.exp()


def _positive(temperature: float | Tensor) -> float | Tensor:
    value = float(temperature.detach() if isinstance(temperature, Tensor) else temperature)
    if not 0 < value < math.inf:
        raise ValueError(f"temperature must be a finite number above 0, got {value}")
    return temperature


def _ranks(scores: Tensor) -> Tensor:
    d = scores.shape[-1]
    return d - 1 - 2 * torch.arange(d, dtype=scores.dtype, device=scores.device)


def _rank_scores(scores: Tensor) -> Tensor:
    apart = (scores[..., :, None] - scores[..., None, :]).abs().sum(dim=-1)
    return _ranks(scores)[:, None] * scores[..., None, :] - apart[..., None, :]
