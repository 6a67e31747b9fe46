"""Mutual information of two outcomes that were counted together."""

from typing import Literal

import torch
from torch import Tensor

from steepest.optim.arguments import check_choice

Correction = Literal["miller-madow"] | None
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class OneClassError(ValueError):
    """All true outcomes are of one class: their entropy is 0, and no share of it can be told."""


def mutual_information(table: Tensor, correction: Correction = None) -> float:
    r"""Mutual information of rows and columns, in nats, computed in float64.

    .. code-block:: text

        p = N / n,    I = sum_ij p_ij log(p_ij / (p_i. p_.j)),    0 log 0 = 0

    This plug-in estimate is too large on average, by about ``(R - 1) (K - 1) / 2n`` for independent outcomes that all
    occur. The correction of Miller and Madow adds ``(rows + columns - cells - 1) / 2n``, each the number of those that
    are not empty; what would fall below 0 is 0.

    Args:
        table: counts (R, K), integers; rows are the true outcomes, columns the predicted ones.
        correction: ``None``, or ``"miller-madow"``.

    Raises:
        TypeError: the table is no tensor of integers.
        ValueError: it has not two dimensions, a negative count or no sample, or there is no such correction.

    Source: Shannon 1948; Miller 1955, "Note on the bias of information estimates".

    Example:
        >>> mutual_information(torch.tensor([[50, 0], [0, 50]]))  # log 2
        0.6931471805599453
        >>> mutual_information(torch.tensor([[25, 25], [25, 25]]))
        0.0
    """
    information, _ = _measure(table, correction)
    return information


def normalized_information(table: Tensor, correction: Correction = None) -> float:
    r"""Share ``q = I / H(Y)`` of the entropy of the true outcomes that the predicted ones tell, in [0, 1].

    The entropy is that of the rows: of a transposed table another ``q`` comes out, without an error. With a correction
    both ``I`` and ``H(Y)`` are corrected, so that perfect predictions still give 1.

    Args:
        table: counts (R, K), integers; rows are the true outcomes, columns the predicted ones.
        correction: ``None``, or ``"miller-madow"``.

    Raises:
        OneClassError: all samples are in one row.
        TypeError: the table is no tensor of integers.
        ValueError: it has not two dimensions, a negative count or no sample, or there is no such correction.

    Source: Vasudevan, Entropy 22 (2020) 560, in the reading of :class:`~steepest.schedules.MutualInformationLR`.

    Example:
        >>> normalized_information(torch.tensor([[0, 30], [70, 0]]))  # always wrong, and yet all is told
        1.0
        >>> normalized_information(torch.tensor([[60, 40], [0, 0]]))
        Traceback (most recent call last):
        ...
        steepest.schedules.information.OneClassError: all 100 samples are of class 0, which leaves nothing to be told
    """
    return measured(table, correction)[1]


def measured(table: Tensor, correction: Correction = None) -> tuple[float, float]:
    """Both at once: :func:`mutual_information` and :func:`normalized_information`.

    Example:
        >>> measured(torch.tensor([[50, 0], [0, 50]]))
        (0.6931471805599453, 1.0)
    """
    information, entropy = _measure(table, correction)
    if entropy == 0:
        rows = table.sum(1)
        raise OneClassError(
            f"all {int(rows.sum())} samples are of class {int(rows.argmax())}, which leaves nothing to be told"
        )
    return information, min(1.0, information / entropy)


def standard_error(table: Tensor) -> float:
    """Of the plug-in estimate: the deviation of the pointwise information over the root of the number of samples.

    Example:
        >>> round(standard_error(torch.tensor([[90, 10], [10, 90]])), 4)
        0.0466
    """
    check_table(table)
    p = table.detach().to("cpu", torch.float64)
    n = p.sum()
    p = p / n
    pointwise = torch.where(p > 0, torch.log(p / (p.sum(1, keepdim=True) * p.sum(0))), 0.0)
    mean = (p * pointwise).sum()
    return float(((p * (pointwise - mean) ** 2).sum() / n).sqrt())


def _measure(table: Tensor, correction: Correction) -> tuple[float, float]:
    """Find I and the entropy of the rows."""
    check_table(table)
    if correction is not None:
        check_choice("correction", correction, ("miller-madow", None))
    counts = table.detach().to("cpu", torch.float64)
    n, rows, columns = counts.sum(), counts.sum(1), counts.sum(0)
    # I = H(Y) - H(Y | X), which is exact where nothing is left to tell.
    entropy = _expected_log(rows / n, n / rows)
    information = entropy - _expected_log(counts / n, columns / counts)
    if correction is not None:
        kinds = [int(torch.count_nonzero(part)) for part in (rows, columns, counts)]
        information += (kinds[0] + kinds[1] - kinds[2] - 1) / (2 * float(n))
        entropy += (kinds[0] - 1) / (2 * float(n))
    return max(0.0, information), entropy


def _expected_log(p: Tensor, ratio: Tensor) -> float:
    return float(torch.where(p > 0, p * torch.log(ratio), 0.0).sum())


def check_table(table: object) -> None:
    """Raise unless it is a table of counts that hold a sample.

    Raises:
        TypeError: it is no tensor of integers.
        ValueError: it has not two dimensions, a negative count or no sample.

    Example:
        >>> check_table(torch.ones(2, 2))
        Traceback (most recent call last):
        ...
        TypeError: a table of counts must hold integers, got torch.float32; pass counts, not shares
    """
    if not isinstance(table, Tensor):
        raise TypeError(f"a table of counts must be a tensor of integers, got {type(table).__name__}")
    if table.dtype not in _INTEGERS:
        raise TypeError(f"a table of counts must hold integers, got {table.dtype}; pass counts, not shares")
    if table.dim() != 2:
        raise ValueError(f"a table of counts must have two dimensions, got shape {tuple(table.shape)}")
    if table.numel() and int(table.min()) < 0:
        raise ValueError(f"a table of counts must hold no negative number, got {int(table.min())}")
    if not table.numel() or int(table.max()) == 0:
        raise ValueError(f"a table of counts must hold a sample, got none in shape {tuple(table.shape)}")
