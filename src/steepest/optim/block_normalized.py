"""Block-normalised gradients: every layer's gradient divided by its own norm."""

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from steepest.optim.arguments import check_number
from steepest.optim.base import ScaledSGD
from steepest.optim.norms import BlockNorms, block_normalizing_scale


class BlockNormalizedSGD(ScaledSGD):
    r"""SGD with momentum on block-normalised gradients (SGDMNG).

    .. code-block:: text

        ratio=None (NG_UNIT):  m_b = momentum * m_b + g_b / ||g_b||               b: a layer, weight and bias
        ratio=r    (NG):       m_b = momentum * m_b + r * ||w_b|| * g_b / ||g_b||
        w_b = w_b - lr * m_b

    A layer is the module path of the parameter's name, so pass ``model.named_parameters()`` or
    :func:`steepest.param_groups`; without names every tensor is its own block. Not to be confused with :class:`SNGM`
    (one norm over everything), nor with :class:`LARS`, whose ratio form also counts the weight decay in its norm.
    A block whose weights are all zero takes the unit form, or it would never move.

    **Unit of lr**: unit form: the distance that each layer moves per unit of momentum; ratio form: ``lr * ratio`` is
    the relative change of each layer. The lr of SGD does not carry over. Start: the ratio form with ``ratio=0.02`` and
    SGD's own lr (the paper's setting). The step does not shrink at a minimum: lr must decay. Do not clip gradients on
    top. Normalise after accumulation and all-reduce.

    Args:
        params: ``(name, tensor)`` pairs for layer blocks; tensors; or group dicts of either.
        lr: learning rate, finite and at least 0.
        momentum: in [0, 1).
        weight_decay: finite, at least 0; added after the normalisation (a reading: inside the base optimizer).
        ratio: ``None`` for the unit form, else finite and above 0; the paper searched .01, .02 and .05.
        nesterov: Nesterov's momentum; needs ``momentum > 0``.
        decoupled_weight_decay: shrink the weights by ``1 - lr * weight_decay`` instead.
        maximize: climb instead of descend.
        foreach, fused, kahan_sum: the path that takes the step, and exact sums for half-precision weights; see
            :class:`steepest.optim.ScaledSGD`.

    Raises:
        ValueError: an argument is out of range.

    Source: Yu, Huang, Lin, Salakhutdinov, Carbonell, "Block-normalized gradient method: an empirical study for training
    deep neural network", arXiv 1707.04822. That BatchNorm's gamma and beta form a block of their own is a reading.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(2, 1)
        >>> optimizer = BlockNormalizedSGD(layer.named_parameters(), lr=0.5, momentum=0.0)
        >>> before = torch.cat([layer.weight.detach().flatten(), layer.bias.detach()])
        >>> layer(torch.tensor([[1.0, 2.0]])).sum().backward()
        >>> optimizer.step()
        >>> moved = torch.cat([layer.weight.detach().flatten(), layer.bias.detach()]) - before
        >>> moved.norm()  # weight and bias together move by lr
        tensor(0.5000)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        ratio: float | None = None,
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
            ratio=ratio,
        )

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        ratio = group["ratio"]
        if ratio is not None:
            check_number("ratio", ratio, "None or a finite number above 0", lambda value: 0 < value < float("inf"))

    def needs_weight_norms(self, group: dict[str, Any]) -> bool:
        return group["ratio"] is not None

    def scale(self, group: dict[str, Any], norms: BlockNorms) -> float | Tensor:
        return block_normalizing_scale(norms, group["ratio"])
