"""Block-normalised gradients in front of any torch optimizer: AdamNG, AdaGradNG and the rest of the family."""

from collections.abc import Hashable
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from steepest.gradients.hooks import Args, act_on_gradients, own_gradients
from steepest.gradients.travelling import TravellingHook, own_optimizer
from steepest.optim.arguments import check_choice, check_number
from steepest.optim.blocks import block_of, refuse_repeated_names
from steepest.optim.norms import BlockNorms, block_normalizing_scale, block_norms, full_norms
from steepest.optim.partial import refuse_flattened, refuse_in_backward

Over = Literal["layer", "tensor", "all"]


class NormalizedGradients(TravellingHook):
    """The handle of :func:`normalize_gradients`.

    A copy or a pickle of the optimizer is normalised too, by a handle of its own; copied together with the optimizer,
    this is that handle.
    """

    def __init__(self, optimizer: Optimizer, over: Over, ratio: float | None) -> None:
        self._over = over
        self._ratio = ratio
        self._nonfinite: Tensor | None = None
        refuse_flattened("normalize_gradients", (p for group in optimizer.param_groups for p in group["params"]))
        self.attach(optimizer)

    @property
    def nonfinite_steps(self) -> int:
        """Steps that saw a norm that is not finite. Reading it synchronises the device."""
        return 0 if self._nonfinite is None else int(self._nonfinite)

    def before_step(self, optimizer: Optimizer, args: Args, kwargs: dict[str, Any]) -> Any:
        return act_on_gradients(lambda: self._normalize(optimizer), args, kwargs)

    @torch.no_grad()
    def _normalize(self, optimizer: Optimizer) -> None:
        if self._over == "all":
            refuse_in_backward("normalize_gradients(over='all')")
        params, blocks = self._participants(optimizer)
        if not params:
            return
        grads = own_gradients(params)
        scales = self._scales(grads, params, blocks)
        valid = torch.isfinite(torch.stack([s.to(scales[0].device, torch.float64) for s in scales])).all()
        missed = torch.zeros_like(valid, dtype=torch.int64) if self._nonfinite is None else self._nonfinite
        self._nonfinite = missed.to(valid.device) + valid.logical_not()
        # Under a GradScaler, an optimizer that unscales by itself divides by this once more.
        grad_scale = getattr(optimizer, "grad_scale", None)
        for grad, scale in zip(grads, scales, strict=True):
            factor = scale if grad_scale is None else scale * grad_scale.to(scale.device)
            normalized = grad.to(torch.promote_types(grad.dtype, factor.dtype)).mul(factor.to(grad.device))
            grad.copy_(torch.where(valid.to(grad.device), normalized, torch.zeros_like(normalized)))

    def _scales(self, grads: list[Tensor], params: list[Tensor], blocks: list[Hashable]) -> list[Tensor]:
        norms = block_norms(full_norms(grads), blocks)
        weights = {} if self._ratio is None else block_norms(full_norms(params), blocks)
        scales = {
            block: cast("Tensor", block_normalizing_scale(BlockNorms(norm, weights.get(block, 0.0)), self._ratio))
            for block, norm in norms.items()
        }
        return [scales[block] for block in blocks]

    def _participants(self, optimizer: Optimizer) -> tuple[list[Tensor], list[Hashable]]:
        if self._over == "layer":
            _refuse_unnamed(optimizer)
        params: list[Tensor] = []
        blocks: list[Hashable] = []
        for group in optimizer.param_groups:
            names = group.get("param_names") or [None] * len(group["params"])
            for param, name in zip(group["params"], names, strict=True):
                if param.grad is None:
                    continue
                if param.grad.is_sparse:
                    raise RuntimeError("normalize_gradients does not support sparse gradients: use dense ones")
                params.append(param)
                known_as = name if self._over == "layer" else None
                blocks.append("all" if self._over == "all" else block_of(param, known_as))
        return params, blocks


def normalize_gradients(optimizer: Optimizer, over: Over = "layer", ratio: float | None = None) -> NormalizedGradients:
    r"""Normalise every gradient, block by block, before each step of any torch optimizer.

    .. code-block:: text

        g_b = g_b / ||g_b||                         ratio=None (NG_UNIT)
        g_b = ratio * ||w_b|| * g_b / ||g_b||       ratio=r    (NG)

    In front of Adam this is AdamNG, of AdaGrad AdaGradNG, of SGD with momentum SGDMNG (which
    :class:`steepest.BlockNormalizedSGD` takes in one step). It is a step pre-hook: the optimizer's class, options and
    ``state_dict`` stay as they are, and so does its own weight decay, which comes after the normalisation.

    ``.grad`` is overwritten with what the optimizer sees. It happens after accumulation, all-reduce and unscaling,
    where ``optimizer.step()`` stands anyway, and after the closure of ``step(closure)``; do not clip as well. A zero
    gradient stays zero. If a norm is not finite, all gradients of that step are set to zero and the step is counted in
    ``nonfinite_steps``. Nothing here waits for the device.

    **lr**: with Adam, whose step does not depend on the gradient's scale in the long run, start with the base
    optimizer's own lr (the paper: .001 for Adam, .01 for AdaGrad); with SGD see :class:`steepest.BlockNormalizedSGD`.

    The hook travels: ``copy.copy``, ``copy.deepcopy``, ``pickle`` and ``torch.save`` of the optimizer keep it.

    Args:
        optimizer: any ``torch.optim.Optimizer``, or a wrapper of one (Accelerate's, Lightning's), which is unwrapped.
        over: a block is a ``"layer"`` (weight and bias together, known by the parameters' names), a ``"tensor"``, or
            ``"all"`` parameters together.
        ratio: ``None`` for unit norm, else finite and above 0; the paper searched .01, .02 and .05.

    Returns:
        A handle with ``remove()`` and ``nonfinite_steps``.

    Raises:
        ValueError: an argument is out of range, or ``over="layer"`` and the parameters have no names, or two of them
            have one name; the latter also in ``step``, for groups that were added since.
        RuntimeError: in ``step``, when a gradient is sparse.

    Source: Yu, Huang, Lin, Salakhutdinov, Carbonell, arXiv 1707.04822, algorithm 1.

    Example:
        >>> layer = torch.nn.Linear(2, 1)
        >>> adam = torch.optim.Adam(layer.named_parameters(), lr=1e-3)
        >>> handle = normalize_gradients(adam)  # AdamNG
        >>> (1e6 * layer(torch.tensor([[1.0, 2.0]]))).sum().backward()
        >>> adam.step()
        >>> torch.cat([p.grad.flatten() for p in layer.parameters()]).norm()
        tensor(1.)
    """
    check_choice("over", over, ("layer", "tensor", "all"))
    if ratio is not None:
        check_number("ratio", ratio, "None or a finite number above 0", lambda ratio: 0 < ratio < float("inf"))
    optimizer = own_optimizer(optimizer)
    if over == "layer":
        _refuse_unnamed(optimizer)
    return NormalizedGradients(optimizer, over, ratio)


def _refuse_unnamed(optimizer: Optimizer) -> None:
    """Refuse groups without names. They may be added and renamed at any time, so that every step asks again."""
    if not all("param_names" in group for group in optimizer.param_groups):
        raise ValueError(
            "over='layer' needs parameters with names: build the optimizer from model.named_parameters(), or use "
            "over='tensor'"
        )
    groups = optimizer.param_groups
    refuse_repeated_names(
        named for group in groups for named in zip(group["param_names"], group["params"], strict=True)
    )
