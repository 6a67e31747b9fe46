"""Calibration as a layer: of the gradient of the activations that pass through it."""

import math
from collections.abc import Callable
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from steepest.gradients.calibrators import Calibrator, Per, checked, kept, learned_scale, ternary
from steepest.gradients.draws import seeded, uniform, wide
from steepest.optim.arguments import check_flag


class GradientCalibration(nn.Module):
    r"""A layer that calibrates the gradient of the activations that pass through it, in training mode.

    Forward is the identity; in evaluation mode the input itself is returned. In the backward pass of training the
    gradient is rescaled as by :func:`calibrate`, where a filter is a channel, the second dimension. Every such layer
    adds its variance to all gradients below it, so that variance compounds with depth: :func:`calibrate` is the
    recommended form, this one the paper's word. A **reconstruction**, like it.

    In training mode it does not go into the transforms of ``torch.func`` nor into ``torch.jit.script``.

    Each rank draws its own numbers, since its activations are its own. ``"learned"`` compares a channel's gradient,
    summed over the batch and all positions, with that of the backward pass before: a scale rises where their signs
    agree.

    Args:
        calibrator, keep, per, clip, rate, limits, seed: see :func:`calibrate`.
        persistent: keep the number of draws and what is learned in the model's ``state_dict``. By default its keys are
            those of the bare network.

    Shape:
        Input and output: ``(N, C, *)`` for ``per="filter"`` and ``"learned"``, else any.

    Raises:
        ValueError: an option is out of range or of another calibrator.

    Source: Zhuo et al., AAAI 2019; a reconstruction.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 8), GradientCalibration(keep=0.5), nn.ReLU(), nn.Linear(8, 1))
        >>> list(network.state_dict())
        ['0.weight', '0.bias', '3.weight', '3.bias']
    """

    def __init__(
        self,
        calibrator: Calibrator = "bernoulli",
        *,
        keep: float | None = None,
        per: Per | None = None,
        clip: float | None = None,
        rate: float | None = None,
        limits: tuple[float, float] | None = None,
        seed: int = 0,
        persistent: bool = False,
    ) -> None:
        check_flag("persistent", persistent)
        super().__init__()
        self.options = checked(calibrator, keep, per, clip, rate, limits, seed)
        self.draws = 0
        self.register_buffer("scale", None, persistent=False)
        self.register_buffer("previous", None, persistent=False)
        self.scale: Tensor | None
        self.previous: Tensor | None
        if persistent:
            self.register_state_dict_post_hook(_save)  # type: ignore[no-untyped-call]
            self.register_load_state_dict_pre_hook(_load)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            if self.training:
                raise RuntimeError("GradientCalibration calibrates nothing inside torch.jit.script: call eval() first")
            return x
        return self._passed(x)

    @torch.jit.unused
    def _passed(self, x: Tensor) -> Tensor:
        if not (self.training and x.requires_grad):
            return x
        if torch._C._are_functorch_transforms_active():
            raise RuntimeError(
                "GradientCalibration does not work inside the transforms of torch.func (grad, vmap, jvp): call eval() "
                "on it, or use steepest.calibrate, which acts at the optimizer's step"
            )
        return cast("Tensor", _Calibrate.apply(x, self))  # type: ignore[no-untyped-call]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        had_no_memory = self.scale is not None and self.scale.is_meta
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if had_no_memory and self.scale is not None and not self.scale.is_meta:
            self.scale = self.previous = None  # what to_empty() gives is not what was learned
        return self

    def extra_repr(self) -> str:
        read = {"bernoulli": ("keep", "per"), "lipschitz": ("clip",), "learned": ("rate", "limits")}
        options = "".join(f", {key}={getattr(self.options, key)!r}" for key in read[self.options.calibrator])
        return f"{self.options.calibrator!r}{options}"

    @torch.no_grad()
    def calibrated(self, grad: Tensor) -> Tensor:
        """The gradient, calibrated; every call is one more draw."""
        options = self.options
        if grad.numel() == 0:
            return grad
        if options.calibrator == "learned":
            return self._learned(grad)
        self.draws += 1
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        generator = seeded(grad.device, options.seed, self.draws, rank)
        shape = _find_shape(grad) if options.per == "filter" else grad.shape
        chance = uniform(math.prod(shape), wide(grad), generator).view(shape)
        if options.calibrator == "bernoulli":
            return kept(grad, chance, options.keep)
        if options.clip is None:
            return ternary(grad, grad.abs().amax(), chance)
        return ternary(grad, options.clip * grad.to(wide(grad)).square().mean().sqrt(), chance)

    def _learned(self, grad: Tensor) -> Tensor:
        now = grad.to(wide(grad)).transpose(0, 1).flatten(1).sum(dim=1)
        if self.scale is None or self.previous is None:
            self.scale = torch.ones_like(now)
        else:
            agreement = torch.sign(now * self.previous.to(now.device))  # the cosine of two numbers
            self.scale = learned_scale(self.scale.to(now.device), agreement, self.options.rate, self.options.limits)
        self.previous = now
        return (grad * self.scale.view(_find_shape(grad))).to(grad.dtype)


class _Calibrate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: GradientCalibration) -> Tensor:
        ctx.layer = layer
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.calibrated(grad), None


def _find_shape(grad: Tensor) -> tuple[int, ...]:
    """Find the shape of one number a channel that broadcasts to an activation's gradient."""
    return (1, grad.shape[1], *[1] * (grad.dim() - 2))


def _save(module: nn.Module, state_dict: dict[str, Any], prefix: str, local_metadata: Any) -> None:
    layer = cast("GradientCalibration", module)
    state_dict[f"{prefix}draws"] = torch.tensor(layer.draws, dtype=torch.int64, device="cpu")
    if layer.scale is not None and layer.previous is not None:
        state_dict |= {f"{prefix}scale": layer.scale, f"{prefix}previous": layer.previous}


def _load(
    module: nn.Module,
    state_dict: dict[str, Any],
    prefix: str,
    metadata: Any,
    strict: bool,
    missing_keys: list[str],
    *_: Any,
) -> None:
    layer = cast("GradientCalibration", module)
    if f"{prefix}draws" not in state_dict:
        missing_keys.append(f"{prefix}draws")
        return
    layer.draws = int(state_dict.pop(f"{prefix}draws"))
    layer.scale, layer.previous = (
        None if (value := state_dict.pop(f"{prefix}{name}", None)) is None else value.detach().clone()
        for name in ("scale", "previous")
    )
