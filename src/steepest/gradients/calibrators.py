"""The three calibrators of a gradient, as functions of tensors, and their options."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from steepest.optim.arguments import check_integer, check_number

Calibrator = Literal["bernoulli", "lipschitz", "learned"]
Per = Literal["element", "filter"]
_CALIBRATORS = ("bernoulli", "lipschitz", "learned")


class Options(NamedTuple):
    """What a calibrator may be told; each option is read by one calibrator, and refused with the others."""

    calibrator: Calibrator
    keep: float
    per: Per
    clip: float | None
    rate: float
    limits: tuple[float, float]
    seed: int


def checked(
    calibrator: Calibrator,
    keep: float | None,
    per: Per | None,
    clip: float | None,
    rate: float | None,
    limits: tuple[float, float] | None,
    seed: int,
) -> Options:
    """The options with their defaults, or a ValueError."""
    if calibrator not in _CALIBRATORS:
        raise ValueError(f"calibrator must be {' or '.join(map(repr, _CALIBRATORS))}, got {calibrator!r}")
    owners = {
        "keep": (keep, "bernoulli"),
        "per": (per, "bernoulli"),
        "clip": (clip, "lipschitz"),
        "rate": (rate, "learned"),
        "limits": (limits, "learned"),
    }
    for name, (value, owner) in owners.items():
        if value is not None and owner != calibrator:
            raise ValueError(f"{name} is an option of calibrator={owner!r}, got it with calibrator={calibrator!r}")
    if keep is not None:
        check_number("keep", keep, "in (0, 1]", lambda keep: 0 < keep <= 1)
    if per not in (None, "element", "filter"):
        raise ValueError(f"per must be 'element' or 'filter', got {per!r}")
    if clip is not None:
        check_number("clip", clip, "None or a finite number above 0", lambda clip: 0 < clip < math.inf)
    if rate is not None:
        check_number("rate", rate, "a finite number of at least 0", lambda rate: 0 <= rate < math.inf)
    if limits is not None:
        _check_limits(limits)
    check_integer("seed", seed)
    return Options(
        calibrator,
        0.9 if keep is None else keep,
        per or "element",
        clip,
        0.01 if rate is None else rate,
        (0.1, 10.0) if limits is None else (limits[0], limits[1]),
        seed,
    )


def _check_limits(limits: object) -> None:
    words = "two finite numbers around 1, from 0 up"
    if not isinstance(limits, tuple | list) or len(limits) != 2:
        raise ValueError(f"limits must be {words}, got {limits!r}")
    check_number("limits", limits[0], words, lambda low: 0 <= low <= 1)
    check_number("limits", limits[1], words, lambda high: 1 <= high < math.inf)


def kept(grad: Tensor, chance: Tensor, keep: float) -> Tensor:
    """``grad / keep`` where ``chance``, uniform in [0, 1), is below ``keep``, else 0; not finite stays not finite.

    Example:
        >>> kept(torch.tensor([1.0, 1.0]), torch.tensor([0.2, 0.7]), keep=0.5)
        tensor([2., 0.])
    """
    return (grad * chance.lt(keep).to(chance.dtype).div_(keep)).to(grad.dtype)


def ternary(grad: Tensor, bound: Tensor, chance: Tensor) -> Tensor:
    """``bound * sign(grad)`` where ``chance``, uniform in [0, 1), is below ``|grad| / bound``, else 0.

    Example:
        >>> ternary(torch.tensor([1.0, -2.0, 0.5]), torch.tensor(2.0), torch.tensor([0.4, 0.9, 0.3]))
        tensor([ 2., -2.,  0.])
    """
    bound = bound.to(grad.dtype)  # that value is sent, so that it is the one to be unbiased for
    hit = chance.lt(grad.abs().to(chance.dtype) / bound)
    return torch.where(torch.isfinite(bound), grad.sign().mul_(bound).mul_(hit), bound)


def learned_scale(scale: Tensor, agreement: Tensor, rate: float, limits: tuple[float, float]) -> Tensor:
    """The scale after seeing how far successive gradients agree, a cosine; what is not finite teaches nothing.

    Example:
        >>> learned_scale(torch.ones(3), torch.tensor([1.0, -1.0, float("nan")]), 0.25, (0.1, 10.0))
        tensor([1.2500, 0.7500, 1.0000])
    """
    return (scale + rate * torch.nan_to_num(agreement, 0.0, 0.0, 0.0)).clamp_(*limits)


def cosine(product: Tensor, own: Tensor, before: Tensor) -> Tensor:
    """Cosine of the angle between two vectors from their dot products; 0 where one is zero."""
    return product / (own.sqrt() * before.sqrt()).clamp_min(torch.finfo(product.dtype).tiny)
