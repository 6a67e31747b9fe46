"""The gradients that a step really takes, counted where they are computed."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import register_multi_grad_hook


class Evaluations:
    """Counts the samples whose gradient is computed through a model, whoever calls it: an estimator, a closure or an
    optimizer that knows the model. What bypasses the model's own call, such as a submodule of it, is not seen.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> counted = Evaluations(model)
        >>> with torch.no_grad():
        ...     _ = model(torch.zeros(5, 2))
        >>> model(torch.zeros(3, 2)).sum().backward()
        >>> counted.samples, counted.calls
        (3, 1)
    """

    def __init__(self, model: nn.Module) -> None:
        self.reset()
        model.register_forward_hook(self._watch, with_kwargs=True)

    def reset(self) -> None:
        self.samples = 0
        self.calls = 0

    def _watch(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not torch.is_grad_enabled():
            return
        inputs = next(_tensors((args, kwargs)), None)
        made = [tensor for tensor in _tensors(output) if tensor.grad_fn is not None]
        if inputs is None or not made:
            return
        count = len(inputs) if inputs.ndim else 1

        def note(gradient: Tensor) -> None:
            self.samples += count
            self.calls += 1

        if len(made) == 1:
            made[0].register_hook(note)  # type: ignore[no-untyped-call]
        else:  # a loss may need any of them
            register_multi_grad_hook(made, note, mode="any")


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(value.values())
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for part in value:
            yield from _tensors(part)
    elif hasattr(value, "__dataclass_fields__"):  # as models of other libraries return
        yield from _tensors(vars(value))
