"""An open pair of contexts of symmetric noise, and what is asked of its weights."""

import warnings
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from steepest.gradients.noise_arguments import Per
from steepest.optim.norms import filter_sums, full_norms

if TYPE_CHECKING:
    from steepest.gradients.symmetric_noise import SymmetricNoise


class Pair(NamedTuple):
    """An open pair of contexts: noise that was drawn, and is to be used once more with the other sign."""

    key: tuple[int, int]  # the seed and the number of the draw
    weights: list[Tensor]
    layouts: list[tuple[Any, ...]]  # those of the weights when the noise was drawn
    buckets: list[list[int]]
    magnitudes: list[Tensor]  # what the direction is multiplied with; one a tensor, or one a filter
    guard: RemovableHandle


def layout_of(weight: Tensor) -> tuple[Any, ...]:
    """Shape, dtype and device: with another of them a weight has another noise."""
    return weight.shape, weight.dtype, weight.device


def magnitudes_of(weights: list[Tensor], alphas: Sequence[float], per: Per) -> list[Tensor]:
    """``alpha * rms(w)``: 0-dim tensors, or one number a filter, of the filters that lie on this rank."""
    counts = [w.numel() * (2 if w.is_complex() else 1) for w in weights]
    if per == "tensor":
        with torch.no_grad():
            norms = full_norms(weights)
        return [a / n**0.5 * norm for a, n, norm in zip(alphas, counts, norms, strict=True)]
    with torch.no_grad():
        sums = filter_sums(weights, weights)
    return [a * (total / (n / w.shape[0])).sqrt() for a, n, w, total in zip(alphas, counts, weights, sums, strict=True)]


def guard(noise: "SymmetricNoise") -> RemovableHandle:
    """While a pair is open, no optimizer may move its weights."""
    reference = weakref.ref(noise, lambda _: handle.remove())

    def before_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        found = reference()
        if found is None or found._pair is None:
            return
        mine = {id(p) for group in found.param_groups for p in group["params"]}
        if any(id(p) in mine for group in optimizer.param_groups for p in group["params"]):
            where = {1: "inside plus()", -1: "inside minus()", 0: "after plus() without minus()"}[found.sign]
            raise RuntimeError(
                f"{type(optimizer).__name__}.step() {where}: evaluate both sides first; reset() drops a pair"
            )

    handle = register_optimizer_step_pre_hook(before_step)
    return handle


def refuse_strangers(weights: list[Tensor], of_model: list[Tensor], model: nn.Module | None) -> None:
    """Raise where moving the weights would change nothing: they have no memory, or are the model's no more."""
    if any(w.is_meta for w in weights):
        raise RuntimeError("weights on the meta device have no values to move: build SymmetricNoise after to_empty()")
    theirs = set() if model is None else set(model.parameters())
    if model is not None and not all(p in theirs for p in of_model):
        raise RuntimeError(
            "the model holds other parameters than those SymmetricNoise was built with (re-registered, loaded with "
            "assign=True): rebuild it"
        )


def warn_of_no_gradient(weights: list[Tensor]) -> None:
    """Warn at the end of a pair, in the user's line, if no weight has got a gradient."""
    if weights and all(w.grad is None for w in weights):
        warnings.warn(
            "none of the weights that SymmetricNoise moved has a gradient: without backward() inside of its contexts, "
            "or if the model's parameters were replaced since or copied without it, it has no effect",
            stacklevel=6,  # past the generators of two contexts and what drives them
        )


def forget_computed_weights() -> None:
    """What was computed from the weights and kept: by an autocast or a ``parametrize.cached()`` around this context."""
    torch.clear_autocast_cache()
    parametrize._cache.clear()


def mean_gradient(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Mean of two gradients; one that is missing is zero. Equal ones give themselves, without overflow."""
    if first is None or second is None:
        only = second if first is None else first
        return None if only is None else only / 2
    if first.is_sparse or second.is_sparse:
        return first / 2 + second / 2
    return first.lerp_(second, 0.5)
