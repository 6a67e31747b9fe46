"""The loss of every sample by itself, as a function of a small model's flat weights in float64, and its derivatives."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from steepest.diagnostics.diffusion.derivatives import Along, Gradients, Hessians, Losses, What
from steepest.diagnostics.diffusion.pool import alone, in_double, joined, picked
from steepest.diagnostics.diffusion.tracing import Function, traced
from steepest.diagnostics.lost_graph import Holder, InDouble, widened
from steepest.diagnostics.products import product_of
from steepest.diagnostics.samples import LossFunction, Samples, loss_of
from steepest.diagnostics.subject import Subject, generator_of

LIMIT = 500  # weights; a tensor (d, d, d) of so many takes 1 GB
NUMBERS = 2**24  # of derivatives that are held at a time
OFTEN = 8  # calls; to trace takes as long as some dozens
SAME = 1e-9  # relative: two ways to sum up in float64


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
        self._calls: Counter[Any] = Counter()
        self._traced: dict[Any, Function | None] = {}
        self._mapped = self._replicas_mapped = True
        self._check(batches)

    def named(self, x: Tensor) -> dict[str, Tensor]:
        """Flat weights by the parameters' names, in their shapes."""
        pieces = torch.split(x, [p.numel() for p in self._subject.weights])
        return {
            name: piece.view(p.shape) for piece, (name, p) in zip(pieces, self._subject.params.items(), strict=True)
        }

    def losses(self, x: Tensor) -> Tensor:
        """All f_n(x), of shape (N,)."""
        return self._collect(Losses, x)[0]

    def gradients(self, x: Tensor) -> Tensor:
        """The gradients of all f_n, of shape (N, d)."""
        return self._collect(Gradients, x)[0]

    def along(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients (N, d), and the second derivatives of all f_n along ``v``, ``v' H_n v``, of shape (N,)."""
        gradients, seconds = self._collect(Along, x, v)
        return gradients, seconds

    def hessians(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Some samples' second derivatives (m, d, d) after the other's, each with the first sample's number."""
        for start, (found,) in self._chunks(Hessians, len(x) ** 2, x):
            yield start, found

    def of_replicas(self, xs: Tensor, rows: Tensor) -> Tensor:
        """Gradients of samples ``rows`` (R, B) at weights ``xs`` (R, d): of shape (R, B, d)."""
        if self._replicas_mapped:
            chunk = max(1, NUMBERS // (rows.shape[1] * len(self.weights)))
            pairs = zip(torch.split(xs, chunk), torch.split(rows, chunk), strict=True)
            try:
                return torch.cat([self._of_replicas_mapped(x, some) for x, some in pairs])
            except Exception:  # as where the model looks at its weights; an error of the user's own comes again
                self._replicas_mapped = False
        each = zip(xs, rows, strict=True)
        return torch.stack([self._of(Gradients, self._picked(some), x)[0] for x, some in each])

    def _of_replicas_mapped(self, xs: Tensor, rows: Tensor) -> Tensor:
        at_each = vmap(self._of_sample(Gradients), in_dims=(None, *self._pool.per_sample))
        at_all = vmap(at_each, in_dims=(0, *self._pool.per_sample))

        def function(xs: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
            samples = self._picked(rows)
            found: tuple[Tensor, ...] = at_all(xs, samples.inputs, samples.targets)
            return found

        return self._run(("replicas", rows.shape), function, xs, rows)[0]

    def _picked(self, rows: Tensor) -> Samples:
        return picked(self._pool, rows, self._pool.per_sample)

    def _collect(self, what: type[What], x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        parts = [found for _, found in self._chunks(what, len(x), x, *more)]
        return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))

    def _chunks(self, what: type[What], size: int, x: Tensor, *more: Tensor) -> Iterator[tuple[int, Any]]:
        """Compute something of ``size`` numbers for each sample, for some at a time."""
        chunk = max(1, NUMBERS // size)
        for start in range(0, self.count, chunk):
            yield start, self._of(what, self._pool.rows(start, start + chunk), x, *more)

    def _of(self, what: type[What], samples: Samples, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        if not self._mapped:
            return self._one_by_one(what, samples, x, *more)
        never = (None,) * (1 + len(more))
        function = vmap(self._of_sample(what), in_dims=(*never, *self._pool.per_sample))
        return self._run((what, samples.count), function, x, *more, samples.inputs, samples.targets)

    def _run(self, key: Any, function: Function, *arguments: Any) -> tuple[Tensor, ...]:
        """Call a function, or what it is traced to, which pays where it is called often."""
        self._calls[key] += 1
        if self._calls[key] == OFTEN:
            with _quiet(self._subject):
                self._traced[key] = traced(function, *arguments)
        fast = self._traced.get(key)
        if fast is not None:
            return fast(*arguments)
        with _quiet(self._subject):
            return function(*arguments)

    def _of_sample(self, what: type[What]) -> Function:
        """Make the function of weights and one sample that vmap takes."""

        def function(x: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
            *more, inputs, targets = arguments
            sample = alone(inputs, targets, self._pool.per_sample)
            return what.mapped(lambda x: self._at(x, lambda: self._loss(sample)), x, *more)

        return function

    def _one_by_one(self, what: type[What], samples: Samples, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        """Compute the same of one sample after the other, the backward passes with the same weights in the model."""
        found = []
        for i in range(samples.count):
            one = picked(samples, slice(i, i + 1), self._pool.per_sample)
            leaf = x.detach().clone().requires_grad_()

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
        with _quiet(self._subject), self._subject.same_random_numbers():
            whole, again = ([self._mean(batch) for batch in batches] for _ in range(2))
        if any(_differ(a, b) for a, b in zip(whole, again, strict=True)):
            raise RuntimeError(
                "the model draws random numbers in evaluation mode, so that its loss is no function of the weights: "
                "take functional dropout or noise out of it"
            )
        try:
            self.along(self.weights, self.weights)
        except Exception:  # what vmap cannot do; an error of the user's own comes again
            self._mapped = self._replicas_mapped = False
        means = [float(part.mean()) for part in torch.split(self.losses(self.weights), [b.count for b in batches])]
        for mean, value in zip(means, whole, strict=True):
            if _differ(mean, value):
                raise ValueError(
                    f"loss_fn must give the mean over a batch of its samples' losses, got {value:.9g} where that mean "
                    f"is {mean:.9g}"
                )


@contextmanager
def _quiet(subject: Subject) -> Iterator[None]:
    """Keep evaluation mode and all as found, with kernels of attention that can be differentiated twice."""
    with subject.looked_at(), sdpa_kernel(SDPBackend.MATH):
        yield


def _differ(a: float, b: float) -> bool:
    return abs(a - b) > SAME * max(abs(a), abs(b), 1e-3)
