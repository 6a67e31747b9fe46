"""What is computed from a sample's loss, each in two ways: by functions that vmap takes, and by autograd alone."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, jacrev

Loss = Callable[[Tensor], Tensor]


class What:
    """Something of a sample's loss at weights ``x`` and perhaps more: ``mapped`` from the function that gives the loss,
    ``alone`` from the loss that has been computed with ``x`` as a leaf."""

    @staticmethod
    def mapped(loss: Loss, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError

    @staticmethod
    def alone(loss: Tensor, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError


class Losses(What):
    """The loss itself."""

    @staticmethod
    def mapped(loss: Loss, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        return (loss(x),)

    @staticmethod
    def alone(loss: Tensor, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        return (loss,)


class Gradients(What):
    """Its gradient (d,)."""

    @staticmethod
    def mapped(loss: Loss, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        return (grad(loss)(x),)

    @staticmethod
    def alone(loss: Tensor, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        return (_differentiate(loss, x),)


class Along(What):
    """Gradient (d,) and second derivative along ``v``."""

    @staticmethod
    def mapped(loss: Loss, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        (v,) = more

        def slope(x: Tensor) -> tuple[Tensor, Tensor]:
            gradient = grad(loss)(x)
            return gradient @ v, gradient

        product, gradient = grad(slope, has_aux=True)(x)
        return gradient, product @ v

    @staticmethod
    def alone(loss: Tensor, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        (v,) = more
        gradient = _differentiate(loss, x, twice=True)
        return gradient, _differentiate(gradient @ v, x) @ v


class Hessians(What):
    """All second derivatives (d, d)."""

    @staticmethod
    def mapped(loss: Loss, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        return (jacrev(grad(loss))(x),)

    @staticmethod
    def alone(loss: Tensor, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        gradient = _differentiate(loss, x, twice=True)
        return (torch.stack([_differentiate(g, x, again=True) for g in gradient]),)


def _differentiate(value: Tensor, x: Tensor, *, twice: bool = False, again: bool = False) -> Tensor:
    """Differentiate a number; ``twice``: so that the result can be too; ``again``: its graph is still needed."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    (found,) = torch.autograd.grad(
        value, x, create_graph=twice, retain_graph=twice or again, allow_unused=True, materialize_grads=True
    )
    return found
