"""What methods of others share: their parameters in groups, and what they cannot work with."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, ParamsT

from steepest._errors import InputError
from steepest.optim.norms import local


def named_groups(params: ParamsT) -> list[dict[str, Any]]:
    """The groups of named parameters that :meth:`Method.build` gives, of which there may be one without a dict."""
    given: list[Any] = list(params)
    return given if given and isinstance(given[0], dict) else [{"params": given}]


def tensors_of(params: ParamsT) -> list[Tensor]:
    """All parameters, whatever their groups."""
    return [p for group in named_groups(params) for _, p in group["params"]]


def refuse_shards(method: str, named: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse parameters of which every rank holds a part.

    Raises:
        InputError: one is.
    """
    if any(local(p) is not p for _, p in named):
        raise InputError(f"{method} needs whole parameters, and every rank holds a part of them; take the strategy ddp")


def refuse_batch_norm(method: str, model: nn.Module) -> None:
    """Refuse layers whose running statistics are of the weights that are trained, where others are evaluated.

    Raises:
        InputError: there is one.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats:
            raise InputError(
                f"{method} is evaluated at other weights than it is trained at, and the running statistics of {name} "
                f"({type(module).__name__}) are of those; take a model with GroupNorm or LayerNorm"
            )


def step_of(kind: type[Optimizer]) -> Callable[..., Any]:
    """The step of a class for one that extends it, without the hooks, which the step of that one calls already.

    Torch puts them around the step of every class of which an optimizer is made.
    """
    step: Any = kind.step
    unhooked: Callable[..., Any] = step.__wrapped__ if getattr(step, "hooked", False) else step
    return unhooked
