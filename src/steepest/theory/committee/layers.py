"""The weights of a two-layer torch module, found by their shapes, and checked by what the module computes."""

import math

import torch
from torch import Tensor, nn

from steepest._kept import evaluated
from steepest.theory.committee.arguments import dimension_of
from steepest.theory.committee.integrals import Array
from steepest.theory.committee.order_parameters import OrderParameters, overlaps
from steepest.theory.committee.simulation import activation_of

PROBES = 32  # inputs on which the module must compute what it is taken for


def layers_of(model: nn.Module, activation: str) -> tuple[Array, Array]:
    """First-layer weights (K, N) and output weights (K,) of a module that computes ``sum_k v_k g(w_k.x / sqrt N)``.

    The first layer of a module without that ``1 / sqrt N``, such as ``nn.Linear`` followed by g, comes back times
    ``sqrt N``, so that the local fields are the module's own.

    Raises:
        TypeError: ``model`` is no module.
        ValueError: it has not two layers of such shapes, or it computes something else, as with another activation or
            biases that are not 0.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    w, v = _find(model)
    own = next(model.parameters())
    x = torch.randn(PROBES, w.shape[1], generator=torch.Generator("cpu").manual_seed(0), dtype=own.dtype, device="cpu")
    with evaluated(model), torch.no_grad():
        said = model(x.to(own.device))
    value, _ = activation_of(activation)
    for scale in (1.0, 1 / math.sqrt(w.shape[1])):
        terms = value(x.double() @ w.T * scale) * v
        near = torch.finfo(own.dtype).eps ** 0.5 * terms.abs().sum(dim=1)
        if said.numel() == PROBES and ((said.double().cpu().reshape(-1) - terms.sum(dim=1)).abs() <= near).all():
            return (w * scale * math.sqrt(w.shape[1])).numpy(), v.numpy()
    raise ValueError(
        f"model must compute the sum of v_k g(w_k.x) with g = {activation}, without biases, and {type(model).__name__} "
        "does not: erf stands for erf(x / sqrt 2)"
    )


def _find(model: nn.Module) -> tuple[Tensor, Tensor]:
    params = [p.detach().double().cpu() for p in model.parameters()]
    first = next((p for p in params if p.dim() == 2), None)
    if first is not None:
        rest = [p for p in params if p is not first]
        seconds = [p for p in rest if p.shape == (1, len(first))] or [p for p in rest if p.shape == (len(first),)]
        if len(seconds) == 1:
            return first, seconds[0].reshape(-1)
    raise ValueError(f"model must have weights of shapes (K, N) and (1, K), got {[tuple(p.shape) for p in params]}")


def beside(model: nn.Module, teacher: nn.Module | Array, teacher_output: Array, activation: str) -> OrderParameters:
    """The order parameters of a module beside another, or beside weights (M, N) with ``teacher_output``.

    Raises:
        TypeError, ValueError: as of :func:`layers_of`, or the two do not fit.
    """
    w, v = layers_of(model, activation)
    b, a = layers_of(teacher, activation) if isinstance(teacher, nn.Module) else (teacher, teacher_output)
    dimension_of(None, model=w, teacher=b)
    if len(b) != len(a):
        raise ValueError(f"teacher must have the {len(a)} units of this committee's, got {len(b)}")
    return overlaps(w, b, v, a)
