"""The small problem that the checks train on: odd shapes, fixed gradients, any dtype."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Make = Callable[..., Optimizer]
Parameters = Callable[[torch.dtype], Mapping[str, Tensor]]
# Called in a step with the parameters by name and the gradients that they shall have; returns the loss.
Evaluate = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Any]
# A layer with its bias, a convolution, a scalar; 5 x 19 elements are more than one vector register and a remainder.
SHAPES = {"a.weight": (5, 19), "a.bias": (5,), "b.weight": (4, 3, 3, 3), "b.bias": (4,), "c.gain": ()}
STEPS = 6
LAYOUTS = ("tensors", "names", "groups", "groups with names")


def parameters(dtype: torch.dtype, shapes: Mapping[str, tuple[int, ...]] = SHAPES, *, seed: int = 0) -> dict[str, Any]:
    """Weights that float16 and bfloat16 hold exactly, so that all dtypes start from the same point."""
    return {name: nn.Parameter(weights) for name, weights in _draw(shapes, dtype, seed).items()}


def prepare_to_train(optimizer: Optimizer) -> None:
    """Call ``train()`` where the optimizer has one, as a training loop must."""
    if callable(train_mode := getattr(optimizer, "train", None)):
        train_mode()


@dataclass(frozen=True)
class Case:
    """One way to use an optimizer: ``make(params, **options, **path)`` on parameters of a dtype, laid out somehow.

    ``parameters`` makes the named parameters of a dtype, ``evaluate`` is what the optimizer's closure does (``None``:
    it is given no closure), ``sparse`` says that it takes sparse gradients only, and ``prepare`` is called with every
    new optimizer, and after a state was loaded.
    """

    make: Make
    options: Mapping[str, Any] = field(default_factory=dict)
    path: Mapping[str, Any] = field(default_factory=dict)
    path_name: str = "default"
    dtype: torch.dtype = torch.float64
    layout: str = "tensors"
    parameters: Parameters = parameters
    evaluate: Evaluate | None = None
    sparse: bool = False
    prepare: Callable[[Optimizer], object] = prepare_to_train
    known: dict[str, tuple[Any, dict[str, Tensor]]] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.path_name}, {self.dtype}, {self.layout}, {dict(self.options)}"

    def but(self, **changes: Any) -> Case:
        """The same case with some fields replaced."""
        return replace(self, **changes)

    def fresh(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """New parameters, of the case's dtype or of another."""
        return dict(self.parameters(dtype or self.dtype))

    def build(self, params: dict[str, Tensor], **overrides: Any) -> Optimizer:
        """The optimizer of these named parameters, in the case's layout, ready to train."""
        given: list[Any] = list(params.items()) if "names" in self.layout else list(params.values())
        if "groups" in self.layout and len(given) > 1:
            given = [{"params": given[0::2]}, {"params": given[1::2]}]
        optimizer = self.make(given, **{**self.options, **self.path, **overrides})
        self.prepare(optimizer)
        return optimizer

    def step(self, optimizer: Optimizer, params: Mapping[str, Tensor], grads: Mapping[str, Tensor | None]) -> None:
        """One step with these gradients; a parameter whose gradient is ``None`` has none."""
        if self.evaluate is None:
            self.set_gradients(params, grads)
            optimizer.step()
        else:
            optimizer.step(self.closure(params, grads))

    def set_gradients(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor | None]) -> None:
        """Give every parameter its gradient, sparse where the optimizer takes no other."""
        for name, p in params.items():
            p.grad = self._as_taken(grads[name])

    def closure(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor | None]) -> Callable[[], Any]:
        """What evaluates the loss that has these gradients."""
        have = {name: taken for name, g in grads.items() if (taken := self._as_taken(g)) is not None}
        evaluate = self.evaluate or linear_loss

        def closure() -> Any:
            for p in params.values():
                p.grad = None
            return evaluate({name: params[name] for name in have}, have)

        return closure

    def _as_taken(self, grad: Tensor | None) -> Tensor | None:
        return grad.to_sparse(min(1, grad.dim())) if self.sparse and grad is not None else grad

    def train(self, steps: int = STEPS, **overrides: Any) -> dict[str, Tensor]:
        """The weights after some steps."""
        params = self.fresh()
        self.take_steps(self.build(params, **overrides), params, steps)
        return copies(params)

    def trained_once(self) -> dict[str, Tensor]:
        """What :meth:`train` returns, computed for the first of the cases made of one another that ask for it."""
        key = f"{id(self.options)}, {sorted(self.path.items())}, {self.dtype}, {self.layout}"
        if key not in self.known:
            self.known[key] = self.options, self.train()  # the options are kept, and with them their id
        return self.known[key][1]

    def take_steps(
        self, optimizer: Optimizer, params: Mapping[str, Tensor], steps: int | Iterable[int] = STEPS
    ) -> None:
        """Step with the gradients of several steps."""
        for grads in gradients(params, steps):
            self.step(optimizer, params, grads)


def gradients(params: Mapping[str, Tensor], steps: int | Iterable[int] = STEPS) -> Iterator[dict[str, Tensor]]:
    """For every step a gradient per parameter; they do not depend on the weights, so that rounding cannot grow."""
    for step in range(steps) if isinstance(steps, int) else steps:
        drawn = _draw({name: tuple(p.shape) for name, p in params.items()}, torch.float64, 1000 + step)
        yield {name: g.to(params[name].dtype) for name, g in drawn.items()}


def linear_loss(params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> Tensor:
    """The loss that has these gradients wherever the weights stand; fills ``.grad``."""
    terms = [torch.zeros((), dtype=torch.float64, device="cpu")]
    for name, p in params.items():
        p.grad = grads[name].clone()
        dense = grads[name].to_dense() if grads[name].is_sparse else grads[name]
        terms.append((dense.conj() * p.detach()).real.double().sum())
    return torch.stack(terms).sum()


def copies(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights as they are now."""
    return {name: p.detach().clone() for name, p in params.items()}


def _draw(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    """Draw normal numbers that bfloat16 holds exactly."""
    drawn = _draw_once(tuple((name, tuple(shape)) for name, shape in shapes.items()), seed)
    return {name: numbers.to(dtype, copy=True) for name, numbers in drawn.items()}


@functools.lru_cache(256)
def _draw_once(shapes: tuple[tuple[str, tuple[int, ...]], ...], seed: int) -> dict[str, Tensor]:
    """Draw the same for every case of a problem."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu").bfloat16()
        for name, shape in shapes
    }
