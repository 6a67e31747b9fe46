"""Sharpness as sharpness-aware minimisation has it: how much the loss rises within a step along the gradient."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from steepest.diagnostics.moved import mean_losses
from steepest.diagnostics.samples import LossFunction, Samples
from steepest.diagnostics.subject import Filter, Subject, between


class SamSharpness(NamedTuple):
    """What :func:`sam_sharpness` found.

    ``value``: the rise of the mean loss; ``standard_error`` of it over the samples, of the rise of each by itself;
    ``loss`` where the weights stand, ``gradient_norm`` there; ``samples``, ``passes`` over them, ``seconds``.
    """

    value: float
    standard_error: float
    loss: float
    gradient_norm: float
    samples: int
    passes: int
    seconds: float


def sam_sharpness(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    *,
    rho: float = 0.05,
    params: Filter | None = None,
) -> SamSharpness:
    r"""How much the mean loss rises at distance ``rho`` along its gradient.

    .. code-block:: text

        value = L(w + rho g / ||g||) - L(w)           g: the gradient of L, the mean loss over all of data

    To first order it is ``rho ||g||``; where the gradient is small, ``rho^2/2`` times the curvature along it. Where the
    gradient is 0 the value is 0: there is no way up to be followed. It is of the whole data's gradient, where
    sharpness-aware minimisation takes that of a batch; and it depends on the scale of the weights, as every
    sharpness at a fixed distance does: of two networks that compute the same function it can be different.

    The model runs in evaluation mode, its weights are not written to, and all is left as it was.

    **Cost**: two passes over the data, one gradient and three forward passes for each batch.

    Args:
        model: as for :func:`largest_hessian_eigenvalue`, and so are ``data`` and ``params``.
        loss_fn: the **mean** over the batch of its samples' losses.
        rho: distance in weight space, above 0.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: an argument is out of range, there are no samples, or the loss is not the mean of its samples'.
        RuntimeError: the loss or its gradient is not finite, here or at that distance; or it changes from pass to pass.

    Source: Foret, Kleiner, Mobahi, Neyshabur, "Sharpness-Aware Minimization", arXiv 2010.01412.

    Example:
        >>> line = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(line.weight, 2.0)
        >>> found = sam_sharpness(line, nn.MSELoss(), [(torch.ones(3, 1), torch.zeros(3, 1))], rho=0.5)
        >>> found.value, found.gradient_norm  # w^2 from 2 to 2.5
        (2.25, 4.0)
    """
    subject = Subject(model, loss_fn, data, params)
    between("rho", rho, 0, math.inf)
    with subject.looked_at():
        _, gradient = subject.mean(lambda samples: _differentiate(subject, samples))
    norm = float(torch.linalg.vector_norm(gradient.double()))
    if not math.isfinite(norm):
        raise RuntimeError(f"the gradient of the loss must be finite, got a norm of {norm}")
    step = gradient * (rho / norm) if norm else gradient
    found = mean_losses(subject, lambda place: step if place else None, 2)
    here, there = found.losses.tolist()
    if not math.isfinite(there):
        raise RuntimeError(
            f"the loss at distance rho along the gradient must be finite, got {there}: take a smaller rho"
        )
    return SamSharpness(
        there - here,
        float(found.difference_errors[1]),
        here,
        norm,
        subject.samples,
        subject.passes,
        subject.seconds,
    )


def _differentiate(subject: Subject, samples: Samples) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        loss = subject.loss(samples)
        if not loss.requires_grad:
            raise RuntimeError("the loss does not depend on any trainable parameter: look for detach() or no_grad()")
        gradient = torch.autograd.grad(loss, subject.weights, allow_unused=True, materialize_grads=True)
    return loss.detach(), subject.flat(gradient)
