"""Products of vectors with a loss's Hessian, its generalised Gauss-Newton matrix and the empirical Fisher matrix."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten

from steepest.diagnostics.lanczos import Product
from steepest.diagnostics.lost_graph import has_error_node, nodes_of, refuse_lost_graph
from steepest.diagnostics.per_sample import per_sample_gradients
from steepest.diagnostics.samples import Samples, loss_from, outputs_of
from steepest.diagnostics.subject import UNUSED, Subject

Matrix = Literal["hessian", "ggn", "fisher"]
MATRICES: tuple[Matrix, ...] = ("hessian", "ggn", "fisher")


def product_of(subject: Subject, matrix: Matrix) -> Product:
    """The function ``v -> M v``, one pass over the data, for flat vectors.

    .. code-block:: text

        hessian    H = the second derivative of L,  the mean loss over all samples
        ggn        G = mean over samples of  J' (d2 loss / d outputs^2) J       J = d outputs / d weights
        fisher     F = mean over samples of  g g'                               g = the sample's gradient

    Raises:
        RuntimeError: when called, see :func:`~.sharpness.largest_hessian_eigenvalue`.

    Source: Pearlmutter, Neural Computation 6 (1994); Schraudolph, Neural Computation 14 (2002).
    """
    if matrix == "fisher":
        return _multiply_by_fisher(subject)
    differentiate = _differentiate_twice if matrix == "hessian" else _differentiate_outputs
    state = _Look(subject)

    def product(vector: Tensor) -> Tensor:
        direction = subject.split(vector)

        def measure(samples: Samples) -> tuple[Tensor, Tensor]:
            loss, found, once = _differentiate(differentiate, subject, samples, direction)
            state.look(samples, once)
            return loss, found

        _, mean = subject.mean(measure)
        state.end_pass()
        if not torch.isfinite(mean).all():
            raise RuntimeError("the loss is finite but its second derivative is not: it is not smooth at these weights")
        return mean

    return product


class _Look:
    """Look for a lost graph in the first batch of the first pass, and in the last one, which may take another way."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._last: Samples | None = None
        self._batches = 0
        self._done = False

    def look(self, samples: Samples, once: bool) -> None:
        """Look at a batch, of which it is known whether it can be differentiated ``once`` only."""
        if self._done:
            return
        if once or self._batches == 0:
            self._refuse(samples, once)
        self._batches += 1
        self._last = samples

    def end_pass(self) -> None:
        if not self._done and self._batches > 1 and self._last is not None:
            self._refuse(self._last, once=False)
        self._done, self._last = True, None

    def _refuse(self, samples: Samples, once: bool) -> None:
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            refuse_lost_graph(self._subject, samples, once=once)


Differentiated = tuple[Tensor, Sequence[Tensor], Sequence[Tensor | None]]  # loss, product, gradient


def _differentiate(
    how: Callable[[Subject, Samples, Sequence[Tensor]], Differentiated],
    subject: Subject,
    samples: Samples,
    direction: Sequence[Tensor],
) -> tuple[Tensor, Tensor, bool]:
    """Differentiate one batch; say whether it can be done once only. Its graph dies here, before the next is built."""
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # fused kernels of attention cannot be differentiated twice
        loss, found, gradient = how(subject, samples, direction)
        return loss.detach(), subject.flat(found), has_error_node(gradient)


def _differentiate_twice(subject: Subject, samples: Samples, direction: Sequence[Tensor]) -> Differentiated:
    """Compute one batch's loss and Hessian-vector product."""
    params, loss = subject.weights, subject.loss(samples)
    _refuse_reentrant_checkpoint([loss])
    gradient: Sequence[Tensor | None] = ()
    if loss.requires_grad:
        gradient = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
    if all(g is None for g in gradient):
        raise RuntimeError(UNUSED)
    # Where the loss is linear in a parameter, or does not use it, there is nothing more to differentiate.
    curved = [(g, v) for g, v in zip(gradient, direction, strict=True) if g is not None and g.requires_grad]
    if not curved:
        return loss, [torch.zeros_like(p) for p in params], gradient
    outputs, directions = zip(*curved, strict=True)
    return loss, torch.autograd.grad(outputs, params, directions, materialize_grads=True), gradient


def _differentiate_outputs(subject: Subject, samples: Samples, direction: Sequence[Tensor]) -> Differentiated:
    """Compute one batch's loss and Gauss-Newton-vector product, by differentiating in three pieces."""
    params, outputs = subject.weights, outputs_of(subject.model, samples.inputs)
    leaves, structure = tree_flatten(outputs)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if not places:
        raise RuntimeError(UNUSED)
    made = [leaves[i] for i in places]
    given = [leaf.detach().requires_grad_() for leaf in made]
    there: list[Any] = list(leaves)
    for i, leaf in zip(places, given, strict=True):
        there[i] = leaf
    loss = loss_from(tree_unflatten(there, structure), subject.loss_fn, samples.targets)
    _refuse_reentrant_checkpoint(made)
    if not loss.requires_grad:
        raise RuntimeError(UNUSED)
    if any(g is not None for g in torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)):
        raise RuntimeError(
            "loss_fn must depend on the weights by what the model returns alone, for a Gauss-Newton matrix"
        )
    slopes = torch.autograd.grad(loss, given, create_graph=True, allow_unused=True)
    # The derivative of outputs along the direction, as that of their backward pass, which is linear in its seed.
    seeds = [torch.zeros_like(leaf, requires_grad=True) for leaf in made]
    back = torch.autograd.grad(made, params, seeds, create_graph=True, allow_unused=True)
    if all(g is None for g in back):
        raise RuntimeError(UNUSED)
    pieces, ways = zip(*[(g, v) for g, v in zip(back, direction, strict=True) if g is not None], strict=True)
    along = torch.autograd.grad(pieces, seeds, ways, retain_graph=True, allow_unused=True, materialize_grads=True)
    curved = [(s, a) for s, a in zip(slopes, along, strict=True) if s is not None and s.requires_grad]
    if not curved:
        raise RuntimeError(
            "the loss is linear in what the model returns, so that its Gauss-Newton matrix is 0: the model must return "
            "logits, and loss_fn take the loss of them"
        )
    parts, directions = zip(*curved, strict=True)
    bent = torch.autograd.grad(parts, given, directions, allow_unused=True, materialize_grads=True)
    return loss, torch.autograd.grad(made, params, bent, allow_unused=True, materialize_grads=True), back


def _multiply_by_fisher(subject: Subject) -> Product:
    """Multiply by the mean of the outer products of the samples' gradients."""

    def product(vector: Tensor) -> Tensor:
        def measure(samples: Samples) -> tuple[Tensor, Tensor]:
            total = torch.zeros_like(vector)
            losses = []
            for loss, rows in per_sample_gradients(subject, samples):
                total += rows.T @ (rows @ vector)
                losses.append(loss)
            return torch.cat(losses).mean(), total / samples.count

        return subject.mean(measure)[1]

    return product


def _refuse_reentrant_checkpoint(tensors: Sequence[Tensor]) -> None:
    """Refuse a checkpoint that hides the parameters it covers: they would silently count as unused."""
    if any(node.name() == "CheckpointFunctionBackward" for node in nodes_of(tensors)):
        raise RuntimeError("torch.utils.checkpoint works here with use_reentrant=False only")
