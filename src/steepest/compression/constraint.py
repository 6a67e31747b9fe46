"""Weights under a mask, and weights of three values, as parametrizations of torch's."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer

from steepest.compression.weights import original_of, part_of, put_on
from steepest.optim.arguments import check_choice, check_number

Mode = Literal["straight-through", "project"]
MODES = ("straight-through", "project")


class Mask(nn.Module):
    """Leaves the weights where a mask is true, and their gradient there; 0 elsewhere."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(self.mask, weight, torch.zeros_like(weight))


class _ThreeValues(torch.autograd.Function):
    """``sigma * sign(weight)`` where a mask is true, with sign(0) = 1, and 0 elsewhere; the gradient of the weights is
    that of the values (straight through), that of sigma the sum of its products with the signs."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, sigma: Tensor, mask: Tensor) -> Tensor:
        signs = torch.where(weight < 0, -torch.ones_like(weight), torch.ones_like(weight)) * mask
        ctx.save_for_backward(signs, mask)
        return torch.where(mask, sigma * signs, torch.zeros_like(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = gradients
        signs, mask = ctx.saved_tensors
        return gradient * mask, (gradient * signs).sum(), None


class Ternary(nn.Module):
    """Puts ``{-sigma, 0, sigma}`` in the place of a weight: its sign where the mask is true."""

    mask: Tensor

    def __init__(self, mask: Tensor, sigma: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        self.sigma = nn.Parameter(sigma)

    def forward(self, weight: Tensor) -> Tensor:
        found: Tensor = _ThreeValues.apply(weight, self.sigma, self.mask)  # type: ignore[no-untyped-call]
        return found


def best_sigma(weight: Tensor, mask: Tensor) -> Tensor:
    """The mean magnitude on the mask: of all sigma the one with the least ``|W - sigma sign(W)|^2`` there; 1 of none.

    Example:
        >>> best_sigma(torch.tensor([1.0, -3.0, 9.0]), torch.tensor([True, True, False]))
        tensor(2.)
    """
    if not mask.any():
        return torch.ones_like(weight.sum())
    return weight.detach()[mask].abs().mean()


class SigmaConstraint:
    r"""Holds a layer's weight to three values while it is trained, by any optimizer.

    .. code-block:: text

        straight-through    forward   sigma sign(W) M
                            backward  W <- W - lr G M,  sigma <- sigma - lr' sum(G sign(W) M) / nnz
        project             forward   W M
                            at the end of an epoch  sigma = mean |W| on M,  W <- sigma sign(W) M

    with G the gradient of what the layer sees, M the mask and nnz how many it has; sigma begins at mean \|W\| on M and
    stays positive. The weight is parametrized by :mod:`torch.nn.utils.parametrize`: the layer's ``parameters()`` have
    the shadow weights W and, straight through, sigma. Make it before the optimizer, or give sigma to it by
    :meth:`attach`, which every optimizer needs.

    Args:
        module, name: the layer, and its weight's name.
        mask: which weights may be other than 0 (bool, the weight's shape); by default where they are.
        mode: ``"straight-through"`` or ``"project"``.
        clip: W is kept within so many sigma; ``None`` for any W. Of ``"straight-through"`` only.
        sigma_lr: lr' as a multiple of the optimizer's lr.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    Source: a **reconstruction** of sigma-constrained SGD from the abstract of Grimaldi, Tenace, Calimera, "Layer-wise
    compressive training for convolutional neural networks", Future Internet 11 (2018), 7; straight-through: Bengio,
    Leonard, Courville, arXiv 1308.3432 (2013); three values, sigma by training: Zhu, Han, Mao, Dally, "Trained ternary
    quantization", arXiv 1612.01064 (2016).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layer = nn.Linear(8, 8)
        >>> constraint = SigmaConstraint(layer)
        >>> optimizer = torch.optim.SGD([p for p in layer.parameters() if p is not constraint.sigma], lr=0.1)
        >>> constraint.attach(optimizer)
        >>> layer(torch.ones(2, 8)).square().sum().backward()
        >>> optimizer.step()
        >>> constraint.remove()
        >>> len(layer.weight.unique())
        2
    """

    def __init__(
        self,
        module: nn.Module,
        name: str = "weight",
        *,
        mask: Tensor | None = None,
        mode: Mode = "straight-through",
        clip: float | None = None,
        sigma_lr: float = 1.0,
    ) -> None:
        check_mode(mode, clip, sigma_lr)
        weight = getattr(module, name, None)
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            raise ValueError(f"name must be a weight of the module, got {name!r} of {type(module).__name__}")
        if part_of(module, name, Ternary) is not None:
            kind = parametrize.type_before_parametrizations(module).__name__
            raise ValueError(f"module must have no SigmaConstraint on {name!r} yet, got {kind}")
        mask = _check_mask(mask, weight)
        self.module, self.name, self.mode, self.clip, self.sigma_lr = module, name, mode, clip, sigma_lr
        self._count = max(int(mask.sum()), 1)
        if mode == "project":
            self._part: Mask | Ternary = Mask(mask)
        else:
            self._part = Ternary(mask, best_sigma(weight, mask))
            self._part.sigma.register_hook(lambda gradient: gradient / self._count)  # type: ignore[no-untyped-call]
        if parametrize.is_parametrized(module, name):  # a mask of its own, which this one's takes the place of
            parametrize.remove_parametrizations(module, name)
        put_on(module, name, self._part)

    @property
    def mask(self) -> Tensor:
        """Where weights may be other than 0."""
        return self._part.mask

    @property
    def weight(self) -> nn.Parameter:
        """The shadow weights."""
        return original_of(self.module, self.name)

    @property
    def sigma(self) -> Tensor:
        """The magnitude: a parameter straight through, else what the weights would be projected to now."""
        return self._part.sigma if isinstance(self._part, Ternary) else best_sigma(self.weight, self.mask)

    def attach(self, optimizer: Optimizer) -> None:
        """Let an optimizer, which has the shadow weights, train sigma too, and keep to the bounds after its steps.

        Sigma gets a group of its own, without weight decay, unless the optimizer has it already.

        Raises:
            ValueError: the optimizer does not have the shadow weights.
        """
        groups = optimizer.param_groups
        beside = next((group for group in groups if any(p is self.weight for p in group["params"])), None)
        if beside is None:
            raise ValueError(f"optimizer must have the weights of the constraint, got {type(optimizer).__name__}")
        if not isinstance(self._part, Ternary):
            return
        if not any(p is self._part.sigma for group in groups for p in group["params"]):
            values = {key: value for key, value in beside.items() if key not in ("params", "param_names")}
            named = "param_names" in beside
            sigma: Any = (f"sigma {len(groups)}", self._part.sigma) if named else self._part.sigma
            changed = {"lr": values["lr"] * self.sigma_lr} | ({"weight_decay": 0.0} if "weight_decay" in values else {})
            optimizer.add_param_group({"params": [sigma], **values, **changed})
        optimizer.register_step_post_hook(self._keep_bounds)

    def _keep_bounds(self, *_: Any) -> None:
        """Keep sigma positive, and the shadow weights near."""
        sigma = self.sigma
        with torch.no_grad():
            sigma.clamp_(min=torch.finfo(sigma.dtype).tiny)
            if self.clip is not None:
                bound = self.clip * sigma
                self.weight.copy_(self.weight.minimum(bound).maximum(-bound))

    def end_epoch(self) -> None:
        """In mode ``"project"``: put ``sigma sign(W) M`` in the place of the weights."""
        if self.mode == "project":
            with torch.no_grad():
                self.weight.copy_(self.values())

    def values(self) -> Tensor:
        """The three values (the weight's shape), as they stand."""
        with torch.no_grad():
            found: Tensor = _ThreeValues.apply(self.weight, self.sigma, self.mask)  # type: ignore[no-untyped-call]
        return found.clone()

    def remove(self) -> None:
        """Leave a plain weight of three values, and no parametrization."""
        values = self.values()
        parametrize.remove_parametrizations(self.module, self.name)
        with torch.no_grad():
            getattr(self.module, self.name).copy_(values)


def check_mode(mode: str, clip: float | None, sigma_lr: float) -> None:
    """Raise unless a mode can be had with these options.

    Raises:
        ValueError: one is out of range, or the mode has no use for it.
    """
    check_choice("mode", mode, MODES)
    check_number("sigma_lr", sigma_lr, "a finite number of at least 0", lambda x: 0 <= x < float("inf"))
    if clip is not None:
        check_number("clip", clip, "a number above 0", lambda x: x > 0)
        if mode == "project":
            raise ValueError(f"clip must be None in mode 'project', which keeps no shadow weights, got {clip}")
    if mode == "project" and sigma_lr != 1:
        raise ValueError(f"sigma_lr must be 1 in mode 'project', which trains no sigma, got {sigma_lr}")


def _check_mask(mask: Tensor | None, weight: Tensor) -> Tensor:
    if mask is None:
        return weight.detach() != 0
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != weight.shape:
        said = f"{mask.dtype} of shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"mask must be a bool tensor of shape {tuple(weight.shape)}, got {said}")
    return mask.detach().clone().to(weight.device)
