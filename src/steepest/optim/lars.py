"""LARS: layer-wise adaptive rate scaling, the comparator of the family."""

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from steepest.optim.base import ScaledSGD
from steepest.optim.hyperparameters import check_positive
from steepest.optim.norms import BlockNorms, reciprocal, where
from steepest.optim.step import Decay


class LARS(ScaledSGD):
    r"""Layer-wise adaptive rate scaling.

    .. code-block:: text

        s_b = trust * ||w_b|| / (||g_b|| + weight_decay * ||w_b||)      b: a layer, weight and bias together
        m_b = momentum * m_b + s_b * (g_b + weight_decay * w_b)
        w_b = w_b - lr * m_b

    Differences to look out for between implementations: here lr multiplies the momentum when it is applied, as in
    ``torch.optim.SGD`` (the paper folds it into the momentum; the two agree while lr is constant); a layer's weight and
    bias are one block when parameters come with names. Where a block's weights or gradient are all zero the scale is 1,
    as in the reference code. If the parameters of a block have different weight decays,
    ``weight_decay * ||w_b||`` is the norm of the block's decay term.

    **Unit of lr**: ``lr * trust`` is about the relative change of each layer per unit of momentum. The lr of SGD does
    not carry over: with ``trust=0.001`` start between 1 and 10, more with a warm-up, with a polynomial decay. For a
    larger batch, scale it with the batch size at first, and less than that once it stops helping.

    Args:
        params: ``(name, tensor)`` pairs for layer blocks; tensors; or group dicts of either.
        lr: learning rate, finite and at least 0.
        momentum: in [0, 1).
        weight_decay: finite, at least 0; inside the scaling, as in the paper.
        trust: the trust coefficient, finite and above 0.
        nesterov: Nesterov's momentum; needs ``momentum > 0``.
        decoupled_weight_decay: shrink the weights by ``1 - lr * weight_decay`` instead, and leave the decay out of
            the scale.
        maximize: climb instead of descend.
        foreach, fused, kahan_sum: the path that takes the step, and exact sums for half-precision weights; see
            :class:`steepest.optim.ScaledSGD`.

    Raises:
        ValueError: an argument is out of range.

    Source: You, Gitman, Ginsburg, "Large batch training of convolutional networks", arXiv 1708.03888, algorithm 1.

    Example:
        >>> import torch
        >>> w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        >>> optimizer = LARS([w], lr=10.0, momentum=0.0, trust=0.01)
        >>> w.sum().backward()
        >>> optimizer.step()
        >>> (w.detach() - torch.tensor([3.0, 4.0])).norm()  # lr * trust * ||w||
        tensor(0.5000)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        trust: float = 0.001,
        nesterov: bool = False,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        kahan_sum: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            momentum,
            weight_decay,
            nesterov=nesterov,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            foreach=foreach,
            fused=fused,
            kahan_sum=kahan_sum,
            trust=trust,
        )

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_positive("trust", group["trust"])

    def decay_of(self, group: dict[str, Any]) -> Decay:
        return "decoupled" if group["decoupled_weight_decay"] else "before_scaling"

    def needs_weight_norms(self, group: dict[str, Any]) -> bool:
        return True

    def scale(self, group: dict[str, Any], norms: BlockNorms) -> float | Tensor:
        decay = 0.0 if self.decay_of(group) == "decoupled" else norms.decay
        adapted = group["trust"] * norms.weight * reciprocal(norms.grad + decay)
        return where((norms.weight == 0) | (norms.grad == 0), 1.0, adapted)
