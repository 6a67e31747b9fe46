"""The small problem that the checks train on: odd shapes, fixed gradients, any dtype."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Make = Callable[..., Optimizer]
# A layer with its bias, a convolution, a scalar; 5 x 19 elements are more than one vector register and a remainder.
SHAPES = {"a.weight": (5, 19), "a.bias": (5,), "b.weight": (4, 3, 3, 3), "b.bias": (4,), "c.gain": ()}
STEPS = 6
LAYOUTS = ("tensors", "names", "groups", "groups with names")


@dataclass(frozen=True)
class Case:
    """One way to use an optimizer: ``make(params, **options, **path)`` on parameters of a dtype, laid out somehow."""

    make: Make
    options: Mapping[str, Any] = field(default_factory=dict)
    path: Mapping[str, Any] = field(default_factory=dict)
    path_name: str = "default"
    dtype: torch.dtype = torch.float64
    layout: str = "tensors"

    def __str__(self) -> str:
        return f"{self.path_name}, {self.dtype}, {self.layout}, {dict(self.options)}"

    def but(self, **changes: Any) -> Case:
        """The same case with some fields replaced."""
        return replace(self, **changes)

    def build(self, params: dict[str, Tensor], **overrides: Any) -> Optimizer:
        """The optimizer of these named parameters, in the case's layout."""
        given: list[Any] = list(params.items()) if "names" in self.layout else list(params.values())
        if "groups" in self.layout and len(given) > 1:
            given = [{"params": given[0::2]}, {"params": given[1::2]}]
        return self.make(given, **{**self.options, **self.path, **overrides})


def parameters(dtype: torch.dtype, shapes: Mapping[str, tuple[int, ...]] = SHAPES, *, seed: int = 0) -> dict[str, Any]:
    """Weights that float16 and bfloat16 hold exactly, so that all dtypes start from the same point."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).bfloat16().to(dtype))
        for name, shape in shapes.items()
    }


def gradients(
    params: Mapping[str, Tensor], steps: int | Iterable[int] = STEPS, *, factor: float = 1.0
) -> Iterator[dict[str, Tensor]]:
    """For every step a gradient per parameter; they do not depend on the weights, so that rounding cannot grow."""
    for step in range(steps) if isinstance(steps, int) else steps:
        generator = torch.Generator().manual_seed(1000 + step)
        yield {
            name: factor * torch.randn(p.shape, generator=generator, dtype=torch.float64).bfloat16().to(p.dtype)
            for name, p in params.items()
        }


def take_steps(optimizer: Optimizer, params: Mapping[str, Tensor], steps: int | Iterable[int] = STEPS) -> None:
    """Set the gradients and step, several times."""
    for grads in gradients(params, steps):
        set_gradients(params, grads)
        optimizer.step()


def set_gradients(params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
    """Give every parameter its gradient."""
    for name, p in params.items():
        p.grad = grads[name]


def copies(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights as they are now."""
    return {name: p.detach().clone() for name, p in params.items()}


def train(case: Case, steps: int = STEPS, **overrides: Any) -> dict[str, Tensor]:
    """The weights after some steps of the case."""
    params = parameters(case.dtype)
    take_steps(case.build(params, **overrides), params, steps)
    return copies(params)
