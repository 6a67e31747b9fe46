"""Whether autograd's derivatives are those of the loss: parts of the graph can be lost without an error.

A backward marked ``once_differentiable`` or one that detaches, ``detach()``, ``.data``, ``float()`` and ``no_grad`` in
the forward pass, hooks, straight-through estimators: what autograd then returns is finite, smooth and not the
derivative. No list of them is complete, and only a finite difference can tell. It is taken of the first batch and of
the last, of their first samples where they are large, in float64, since in float32 the steps would have to be so long
that they cross the kinks of ReLU.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from steepest.diagnostics.samples import Samples, loss_of
from steepest.diagnostics.subject import Subject

# Relative lengths of the steps. Kinks (ReLU) and jumps (rounding) must lie outside of one of them.
STEPS = (1e-5, 1e-7, 1e-9, 1e-10, 1e-11)
AGREE = 1e-3
SAMPLES = 32  # of a batch are enough: what loses a part of the graph does so for every sample
CLEAR = 30  # two steps show the derivative itself, and not a kink or rounding, if they differ by so much less
ROUNDING = 1e3 * torch.finfo(torch.float64).eps
LOW = (torch.float32, torch.float16, torch.bfloat16)
CASTS = (Tensor.float, Tensor.half, Tensor.bfloat16)
LOOK_FOR = "look for a custom backward, detach(), .data, float(), no_grad(), a hook or a straight-through estimator"


def has_error_node(gradient: Sequence[Tensor | None]) -> bool:
    """Whether some backward cannot be differentiated.

    torch runs the node that would raise only where a leaf behind it is asked for, and the parameters are not.
    """
    names = {node.name().rpartition("::")[2] for node in nodes_of([g for g in gradient if g is not None])}
    return not names.isdisjoint(("Error", "DelayedError", "NotImplemented"))


def nodes_of(tensors: Sequence[Tensor]) -> Iterator[Node]:
    """Every node of the graphs of these tensors, once."""
    nodes: list[Node | None] = [t.grad_fn for t in tensors]
    met: set[Node] = set()
    while nodes:
        node = nodes.pop()
        if node is None or node in met:
            continue
        met.add(node)
        yield node
        nodes += [following for following, _ in node.next_functions]


class Holder(nn.Module):
    """Hold a model, so that a function may be called while it has other weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: Callable[[nn.Module], Any]) -> Any:
        return function(self.model)


class _Point(NamedTuple):
    """Hold loss, gradient, and the Hessian's product with the direction, if it was asked for."""

    loss: float
    gradient: list[Tensor]
    product: list[Tensor]


class _Difference(NamedTuple):
    """Hold central differences of the loss and of the gradient along the direction, and their rounding errors."""

    slope: float
    slope_noise: float
    change: list[Tensor]
    change_noise: float


def refuse_lost_graph(subject: Subject, samples: Samples, *, once: bool) -> None:
    """Compare the first and second derivative along one direction with finite differences, all in float64.

    Nothing is said of a model that cannot be run in float64, nor where no two steps agree with each other; unless it
    is known that a backward can be differentiated ``once`` only: then all samples are looked at.

    Raises:
        RuntimeError: the loss or its gradient changes otherwise than autograd says.
    """
    model, loss_fn = subject.model, subject.loss_fn
    weights = {n: p.detach().double() for n, p in subject.params.items()}
    fixed = {n: p.detach().double() for n, p in model.named_parameters() if n not in weights}
    direction = _draw_direction(list(weights.values()))

    def point(some: Samples, step: float, *, with_product: bool = False) -> _Point:
        moved = {n: (p + step * v).requires_grad_() for (n, p), v in zip(weights.items(), direction, strict=True)}
        buffers = {n: b.double() if b.is_floating_point() else b.clone() for n, b in model.named_buffers()}
        leaves = list(moved.values())

        def differentiate(model: nn.Module) -> _Point:
            loss = loss_of(model, loss_fn, some)
            gradient = torch.autograd.grad(
                loss, leaves, create_graph=with_product, allow_unused=True, materialize_grads=True
            )
            product = _product(gradient, leaves, direction) if with_product else []
            return _Point(float(loss.detach()), [g.detach().double() for g in gradient], product)

        given = {f"model.{name}": tensor for name, tensor in {**moved, **fixed, **buffers}.items()}
        with subject.same_random_numbers(), InDouble():
            # The backward pass in there too: a checkpoint computes anew in it, and must meet the same weights.
            found: _Point = functional_call(Holder(model), given, (differentiate,))
        return found

    lost = None
    wide = replace(samples, inputs=tree_map(widened, samples.inputs), targets=tree_map(widened, samples.targets))
    for some in [wide] if once or wide.count <= SAMPLES else [wide.rows(0, SAMPLES), wide]:
        try:
            lost = _find_loss(partial(point, some), direction)
            break
        except (TypeError, ValueError, RuntimeError):  # not with so few, or not in float64: for want of a kernel
            continue
    if once and lost != "":
        raise RuntimeError(
            "the second derivative is not there: a custom function's backward is marked once_differentiable, or is "
            "not implemented"
        )
    if lost:
        raise RuntimeError(f"{lost}; {LOOK_FOR}")


def _find_loss(point: Callable[..., _Point], direction: Sequence[Tensor]) -> str | None:
    """Find what autograd lacks, in words; empty if all agrees at some step, ``None`` if no two steps agree."""
    here = point(0.0, with_product=True)
    told = float(sum((g * v).sum() for g, v in zip(here.gradient, direction, strict=True)))
    reach = math.fsum(float(g.norm() * v.norm()) for g, v in zip(here.gradient, direction, strict=True))
    if not all(map(math.isfinite, (here.loss, told, reach, _size(here.product)))):
        return None
    before: _Difference | None = None
    lost: str | None = None
    for step in STEPS:
        now = _difference(point(step), point(-step), step, here, reach)
        if not math.isfinite(now.slope) or not math.isfinite(_size(now.change)):
            return None
        allowed = 0.0 if lost else 1.0  # what a longer step showed clearly is not excused by a shorter one's rounding
        if _near(now.slope, told, allowed * now.slope_noise) and _fits(
            now.change, here.product, allowed * now.change_noise
        ):
            return ""
        lost = lost or _say_what_is_lost(now, before, told, here.product)
        before = now
    return lost


def _say_what_is_lost(
    now: _Difference, before: _Difference | None, told: float, product: Sequence[Tensor]
) -> str | None:
    """Say in words what is lost, where two steps agree with each other far better than with autograd."""
    if before is None:
        return None
    restless = CLEAR * abs(now.slope - before.slope) + now.slope_noise
    if not _near(now.slope, told, now.slope_noise) and abs(now.slope - told) > restless:
        return (
            "the gradient is not the derivative of the loss: along one direction the loss changes by "
            f"{now.slope:.4g} for a unit of way, and autograd says {told:.4g}"
        )
    off, apart = (_size([a - b for a, b in zip(now.change, other, strict=True)]) for other in (product, before.change))
    if not _fits(now.change, product, now.change_noise) and off > CLEAR * apart + now.change_noise:
        return (
            "the second derivative is not there: along one direction the gradient changes by "
            f"{_size(now.change):.4g} for a unit of way, and differentiating twice is off by {off:.4g}"
        )
    return None


def _difference(up: _Point, down: _Point, step: float, here: _Point, reach: float) -> _Difference:
    return _Difference(
        (up.loss - down.loss) / (2 * step),
        ROUNDING * abs(here.loss) / step + 1e-6 * reach,
        [(a - b) / (2 * step) for a, b in zip(up.gradient, down.gradient, strict=True)],
        ROUNDING * _size(here.gradient) / step,
    )


def _fits(change: Sequence[Tensor], product: Sequence[Tensor], noise: float) -> bool:
    """Compare tensor by tensor: a large one would hide what a small one lacks."""
    floor = noise + 1e-6 * max(_size(change), _size(product))
    return all(
        float((a - b).norm()) <= AGREE * max(float(a.norm()), float(b.norm())) + floor
        for a, b in zip(change, product, strict=True)
    )


def _near(a: float, b: float, noise: float) -> bool:
    return abs(a - b) <= AGREE * max(abs(a), abs(b)) + noise


def _size(tensors: Sequence[Tensor]) -> float:
    return math.hypot(*(float(t.norm()) for t in tensors))


def _product(gradient: Sequence[Tensor], leaves: Sequence[Tensor], direction: Sequence[Tensor]) -> list[Tensor]:
    curved = [(g, v) for g, v in zip(gradient, direction, strict=True) if g.requires_grad]
    if not curved:
        return [torch.zeros_like(v) for v in direction]
    outputs, directions = zip(*curved, strict=True)
    return list(torch.autograd.grad(outputs, leaves, directions, allow_unused=True, materialize_grads=True))


def _draw_direction(weights: Sequence[Tensor]) -> list[Tensor]:
    """Draw at random, every tensor's part as long as its weights are; as the mean of all where they are 0."""
    generator = torch.Generator(device="cpu").manual_seed(0)
    lengths = [float(w.norm()) / max(w.numel(), 1) ** 0.5 for w in weights]
    usual = (math.fsum(lengths) / len(lengths)) or 1.0
    return [
        torch.randn(w.shape, generator=generator, dtype=torch.float64, device="cpu").to(w.device) * (length or usual)
        for w, length in zip(weights, lengths, strict=True)
    ]


class InDouble(TorchFunctionMode):
    """Make float64 also of what the model casts to or makes in lower precision; a rounded number has no derivative."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in CASTS:
            func = Tensor.double
        args, kwargs = tree_map(widened, (args, kwargs or {}))
        return widened(func(*args, **kwargs))  # what is rebuilt; anything else is float64 already


def widened(thing: Any) -> Any:
    if isinstance(thing, Tensor) and thing.dtype in LOW:
        return thing.double()
    return torch.float64 if isinstance(thing, torch.dtype) and thing in LOW else thing
