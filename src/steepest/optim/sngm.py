"""SNGM: stochastic normalized gradient descent with momentum."""

from collections.abc import Hashable
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from steepest.optim.arguments import check_flag
from steepest.optim.base import ScaledSGD
from steepest.optim.norms import BlockNorms, reciprocal
from steepest.optim.partial import refuse_a_part, refuse_in_backward
from steepest.optim.step import Decay


class SNGM(ScaledSGD):
    r"""Stochastic normalized gradient descent with momentum, for large batches.

    .. code-block:: text

        u = momentum * u + g / ||g||       the norm is over ALL parameters together, of all groups
        w = w - lr * u

    Also called NSGD with momentum, or SNGD when ``momentum=0``. Not to be confused with normalising *after* the
    averaging, ``u / ||u||`` (Cutkosky and Mehta), nor with a norm per layer (:class:`BlockNormalizedSGD` without
    ``ratio``; SNGM's authors tried that and saw no gain).

    **Unit of lr**: a distance in weight space. Whatever the gradient, a step moves at most ``lr / (1 - momentum)``,
    and a run can reach no further than ``sum(lr) / (1 - momentum)``: too small an lr simply does not arrive. The lr of
    SGD does not carry over. Start with the distance that a tuned SGD moves per step, ``lr_sgd * ||g||``, scale it with
    the square root of the batch size at a fixed number of gradient computations, and let it fall to 0
    (``torch.optim.lr_scheduler.PolynomialLR``): the step does not shrink by itself at a minimum.

    **When not**: with small batches. The mean of ``g / ||g||`` is not the direction of the mean gradient.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or group dicts of either.
        lr: learning rate, finite and at least 0.
        momentum: in [0, 1).
        weight_decay: finite, at least 0. By default added after the normalisation (a reading: the paper leaves open
            where), so that it does not depend on the scale of the loss.
        nesterov: Nesterov's momentum; needs ``momentum > 0``.
        decoupled_weight_decay: shrink the weights by ``1 - lr * weight_decay`` instead.
        normalize_decay: add ``weight_decay * w`` to the gradient before its norm is taken.
        maximize: climb instead of descend.
        foreach, fused, kahan_sum: the path that takes the step, and exact sums for half-precision weights; see
            :class:`steepest.optim.ScaledSGD`.

    Raises:
        ValueError: an argument is out of range, or both ``decoupled_weight_decay`` and ``normalize_decay`` are set; or
            a wrapper is to be around it that gives it a part of the parameters (``ZeroRedundancyOptimizer``, FSDP1).
        RuntimeError: in :meth:`step`, inside of a backward pass, where not all gradients are there.

    Source: Zhao, Shi, Xie, Li, "Stochastic normalized gradient descent with momentum for large-batch training",
    arXiv 2007.13985, Science China Information Sciences 67, 212101 (2024), algorithm 1.

    Example:
        >>> import torch
        >>> w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        >>> optimizer = SNGM([w], lr=1.0)
        >>> (1000 * w.square().sum()).backward()  # the size of the loss does not matter
        >>> optimizer.step()
        >>> w
        Parameter containing:
        tensor([2.4000, 3.2000], requires_grad=True)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        nesterov: bool = False,
        decoupled_weight_decay: bool = False,
        normalize_decay: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        kahan_sum: bool = False,
    ) -> None:
        refuse_a_part(type(self).__name__)
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
            normalize_decay=normalize_decay,
        )

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_flag("normalize_decay", group["normalize_decay"])
        if group["normalize_decay"] and group["decoupled_weight_decay"]:
            raise ValueError("normalize_decay=True needs decoupled_weight_decay=False: decay enters in one place only")

    def check_step(self) -> None:
        super().check_step()
        refuse_in_backward("SNGM")

    def decay_of(self, group: dict[str, Any]) -> Decay:
        return "before_scaling" if group["normalize_decay"] else super().decay_of(group)

    def norm_includes_decay(self, group: dict[str, Any]) -> bool:
        return bool(group["normalize_decay"])

    def block_of(self, param: Tensor, name: str | None) -> Hashable:
        return "all"

    def scale(self, group: dict[str, Any], norms: BlockNorms) -> float | Tensor:
        return reciprocal(norms.grad)
