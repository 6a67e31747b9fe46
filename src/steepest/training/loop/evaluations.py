"""The gradients that a step really takes, counted where they are computed."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
import torch._C._functorch as functorch
from torch import Tensor, nn
from torch.autograd.graph import register_multi_grad_hook


class Evaluations:
    """Counts the samples whose gradient is computed through a model, whoever calls it: an estimator, a closure or an
    optimizer that knows the model. What bypasses the model's own call, such as a submodule of it, is not seen.

    Args:
        model: what is called.
        dimensions: of a batch of its inputs; what has fewer is one sample, as within ``torch.vmap``.
        watched: otherwise the numbers are for the caller to count up.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> counted = Evaluations(model)
        >>> with torch.no_grad():
        ...     _ = model(torch.zeros(5, 2))
        >>> model(torch.zeros(3, 2)).sum().backward()
        >>> counted.samples, counted.calls
        (3, 1)
    """

    def __init__(self, model: nn.Module, dimensions: int = 1, *, watched: bool = True) -> None:
        self._dimensions = dimensions
        self.reset()
        if watched:
            model.register_forward_hook(self._watch, with_kwargs=True)

    def reset(self) -> None:
        self.samples = 0
        self.calls = 0

    def _watch(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not torch.is_grad_enabled():
            return
        inputs = args[0] if args and isinstance(args[0], Tensor) else next(_tensors((args, kwargs)), None)
        made = [output] if isinstance(output, Tensor) else list(_tensors(output))
        made = [tensor for tensor in made if tensor.grad_fn is not None]
        if inputs is None or not made:
            return
        count = (len(inputs) if inputs.ndim >= self._dimensions else 1) * _count_mapped(made[0])

        def note(gradient: Tensor) -> None:
            self.samples += count
            self.calls += 1

        if len(made) == 1:
            made[0].register_hook(note)  # type: ignore[no-untyped-call]
        else:  # a loss may need any of them
            register_multi_grad_hook(made, note, mode="any")


def _count_mapped(tensor: Tensor) -> int:
    """Count how many tensors one stands for within ``torch.vmap``."""
    size = 1
    while functorch.is_functorch_wrapped_tensor(tensor):
        inside = functorch.get_unwrapped(tensor)
        if functorch.is_batchedtensor(tensor):
            size *= inside.shape[functorch.maybe_get_bdim(tensor)]
        tensor = inside
    return size


def _tensors(value: Any, depth: int = 4) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, Mapping):
        yield from _tensors(list(value.values()), depth)
    elif depth and isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for part in value:
            yield from _tensors(part, depth - 1)
    elif depth and hasattr(value, "__dict__"):  # as models of other libraries return, or a distribution
        yield from _tensors(vars(value), depth)
