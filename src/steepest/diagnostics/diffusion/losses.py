"""The loss of every sample by itself, as a function of a small model's flat weights in float64, and its derivatives."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from steepest.diagnostics.diffusion.pool import alone, in_double, joined, picked
from steepest.diagnostics.diffusion.tracing import Function, traced
from steepest.diagnostics.lost_graph import Holder, InDouble, widened
from steepest.diagnostics.products import product_of
from steepest.diagnostics.samples import LossFunction, Samples, loss_of
from steepest.diagnostics.subject import Subject, generator_of

LIMIT = 500  # weights; a tensor (d, d, d) of so many takes 1 GB
NUMBERS = 2**24  # of derivatives that are held at a time
SAME = 1e-9  # relative: two ways to sum up in float64

Loss = Callable[[Tensor], Tensor]


class SampleLosses:
    """Losses ``f_n(x)`` of the samples of ``data`` at flat weights ``x``: of a copy of the weights, buffers and data
    as they are when this is made.

    ``weights``: the trainable parameters (d,), each once, in the model's order. ``count``: the number of samples N.

    Raises:
        TypeError, ValueError, RuntimeError: see :class:`~steepest.diagnostics.diffusion.DiffusionMetric`.
    """

    def __init__(self, model: nn.Module, loss_fn: LossFunction, data: Iterable[object]) -> None:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            raise TypeError("model must be the module itself, got DistributedDataParallel: pass model.module")
        subject = self._subject = Subject(model, loss_fn, data)
        if subject.size > LIMIT:
            raise ValueError(
                f"model must have at most {LIMIT} trainable weights, since the metric is a matrix over them, got "
                f"{subject.size}"
            )
        self.weights = torch.cat([p.detach().double().reshape(-1) for p in subject.weights])
        self._fixed = {n: p.detach().double() for n, p in model.named_parameters() if n not in subject.params}
        self._buffers = {n: widened(b.detach().clone()) for n, b in model.named_buffers()}
        self._holder = Holder(model)
        with subject.looked_at():
            product_of(subject, "hessian")(subject.draw(generator_of(0)))
            batches = [in_double(batch) for batch in subject.batches()]
        self._pool = joined(batches)
        self.count = self._pool.count
        self._functions: dict[Any, Function | None] = {}
        self._mapped = True
        self._check(batches)

    def named(self, x: Tensor) -> dict[str, Tensor]:
        """Flat weights by the parameters' names, in their shapes."""
        pieces = torch.split(x, [p.numel() for p in self._subject.weights])
        return {
            name: piece.view(p.shape) for piece, (name, p) in zip(pieces, self._subject.params.items(), strict=True)
        }

    def losses(self, x: Tensor) -> Tensor:
        """All f_n(x), of shape (N,)."""
        return self._collect(_Losses, x)[0]

    def gradients(self, x: Tensor) -> Tensor:
        """The gradients of all f_n, of shape (N, d)."""
        return self._collect(_Gradients, x)[0]

    def along(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients (N, d), and the second derivatives of all f_n along ``v``, ``v' H_n v``, of shape (N,)."""
        gradients, seconds = self._collect(_Along, x, v)
        return gradients, seconds

    def hessians(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Some samples' second derivatives (m, d, d) after the other's, each with the first sample's number."""
        for start, (found,) in self._chunks(_Hessians, len(x) ** 2, x):
            yield start, found

    def of_replicas(self, xs: Tensor, rows: Tensor) -> Tensor:
        """Gradients of samples ``rows`` (R, B) at weights ``xs`` (R, d): of shape (R, B, d)."""
        if not self._mapped:
            pairs = zip(xs, rows, strict=True)
            return torch.stack([self._one_by_one(_Gradients, picked(self._pool, some), x)[0] for x, some in pairs])
        at_each = vmap(self._of_sample(_Gradients), in_dims=(None, *self._pool.per_sample))
        at_all = vmap(at_each, in_dims=(0, *self._pool.per_sample))

        def function(xs: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
            samples = picked(self._pool, rows)
            found: tuple[Tensor, ...] = at_all(xs, samples.inputs, samples.targets)
            return found

        chunk = max(1, NUMBERS // (rows.shape[1] * len(self.weights)))
        parts = [
            self._run(("replicas", r.shape), function, x, r)[0]
            for x, r in zip(torch.split(xs, chunk), torch.split(rows, chunk), strict=True)
        ]
        return torch.cat(parts)

    def _collect(self, what: type["_What"], x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        parts = [found for _, found in self._chunks(what, len(x), x, *more)]
        return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))

    def _chunks(self, what: type["_What"], size: int, x: Tensor, *more: Tensor) -> Iterator[tuple[int, Any]]:
        """Compute something of ``size`` numbers for each sample, for some at a time."""
        chunk = max(1, NUMBERS // size)
        for start in range(0, self.count, chunk):
            some = self._pool.rows(start, start + chunk)
            if self._mapped:
                never = (None,) * (1 + len(more))
                function = vmap(self._of_sample(what), in_dims=(*never, *some.per_sample))
                yield start, self._run((what, some.count), function, x, *more, some.inputs, some.targets)
            else:
                yield start, self._one_by_one(what, some, x, *more)

    def _run(self, key: Any, function: Function, *arguments: Any) -> tuple[Tensor, ...]:
        """Call a function, or what it has been traced to."""
        if key not in self._functions:
            with _quiet(self._subject):
                self._functions[key] = traced(function, *arguments)
        fast = self._functions[key]
        if fast is not None:
            return fast(*arguments)
        with _quiet(self._subject):
            return function(*arguments)

    def _of_sample(self, what: type["_What"]) -> Function:
        """Make the function of weights and one sample that vmap takes."""

        def function(x: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
            *more, inputs, targets = arguments
            sample = alone(inputs, targets, self._pool.per_sample)
            return what.mapped(lambda x: self._at(x, lambda: self._loss(sample)), x, *more)

        return function

    def _one_by_one(self, what: type["_What"], samples: Samples, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        """Compute the same of one sample after the other, the backward passes with the same weights in the model."""
        found = []
        for i in range(samples.count):
            one, leaf = samples.rows(i, i + 1), x.detach().clone().requires_grad_()

            def compute(one: Samples = one, leaf: Tensor = leaf) -> tuple[Tensor, ...]:
                return what.alone(self._loss(one), leaf, *more)

            with _quiet(self._subject), torch.enable_grad():
                found.append(self._at(leaf, compute))
        return tuple(torch.stack(column).detach() for column in zip(*found, strict=True))

    def _at(self, x: Tensor, function: Callable[[], Any]) -> Any:
        """Call a function while the model has the weights ``x``."""
        buffers = {name: b.clone() for name, b in self._buffers.items()}
        given = {f"model.{name}": t for name, t in {**self.named(x), **self._fixed, **buffers}.items()}
        with InDouble():
            return functional_call(self._holder, given, (lambda model: function(),))

    def _loss(self, samples: Samples) -> Tensor:
        return loss_of(self._subject.model, self._subject.loss_fn, samples)

    def _mean(self, batch: Samples) -> float:
        return float(self._at(self.weights, lambda: self._loss(batch)))

    def _check(self, batches: list[Samples]) -> None:
        """Find out whether vmap does, and refuse a loss over a batch that is not the mean of its samples'."""
        with _quiet(self._subject):
            whole, again = ([self._mean(batch) for batch in batches] for _ in range(2))
        if any(_differ(a, b) for a, b in zip(whole, again, strict=True)):
            raise RuntimeError(
                "the model draws random numbers in evaluation mode, so that its loss is no function of the weights: "
                "take functional dropout or noise out of it"
            )
        try:
            self.along(self.weights, self.weights)
        except Exception:  # what vmap cannot do; an error of the user's own comes again
            self._mapped = False
        means = [float(part.mean()) for part in torch.split(self.losses(self.weights), [b.count for b in batches])]
        for mean, value in zip(means, whole, strict=True):
            if _differ(mean, value):
                raise ValueError(
                    f"loss_fn must give the mean over a batch of its samples' losses, got {value:.9g} where that mean "
                    f"is {mean:.9g}"
                )


class _What:
    """Compute something from a sample's loss at weights: under vmap, and by autograd alone."""

    @staticmethod
    def mapped(loss: Loss, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError

    @staticmethod
    def alone(loss: Tensor, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError


class _Losses(_What):
    @staticmethod
    def mapped(loss: Loss, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        return (loss(x),)

    @staticmethod
    def alone(loss: Tensor, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        return (loss,)


class _Gradients(_What):
    @staticmethod
    def mapped(loss: Loss, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        return (grad(loss)(x),)

    @staticmethod
    def alone(loss: Tensor, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        return (_differentiate(loss, x),)


class _Along(_What):
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


class _Hessians(_What):
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


@contextmanager
def _quiet(subject: Subject) -> Iterator[None]:
    """Keep evaluation mode and all as found, with kernels of attention that can be differentiated twice."""
    with subject.looked_at(), sdpa_kernel(SDPBackend.MATH):
        yield


def _differ(a: float, b: float) -> bool:
    return abs(a - b) > SAME * max(abs(a), abs(b), 1e-3)
