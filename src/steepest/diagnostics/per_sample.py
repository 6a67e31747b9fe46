"""The gradient of every sample by itself, a few samples at a time, so that memory stays bounded."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.utils._pytree import tree_map

from steepest.diagnostics.samples import Samples, loss_from, outputs_of
from steepest.diagnostics.subject import Subject

NUMBERS = 2**24  # of gradients that are held at a time


def check_samples(subject: Subject, samples: Samples) -> None:
    """Look, once, whether samples have gradients of their own, and a batch the mean of them.

    Raises:
        ValueError: a BatchNorm keeps no running statistics, or the loss is not one number.
        RuntimeError: the loss does not depend on any weight.
    """
    if subject.checked:
        return
    with subject.same_random_numbers():
        subject.differentiate(samples.rows(0, 2))
    for name, module in subject.model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"model must give every sample a gradient of its own, got {name or 'model'}, a {type(module).__name__} "
                "that normalises by the batch: use track_running_stats=True"
            )
    subject.checked = True


def per_sample_gradients(subject: Subject, samples: Samples) -> Iterator[tuple[Tensor, Tensor]]:
    """Losses (m,) and gradients (m, d) of one sample after the other, some at a time, in their order.

    The model sees each sample as a batch of one, in parallel where ``torch.vmap`` can, else in turn.

    Raises:
        ValueError, RuntimeError: as :func:`check_samples`.
    """
    check_samples(subject, samples)
    chunk = max(1, NUMBERS // subject.size)
    for start in range(0, samples.count, chunk):
        some = samples.rows(start, start + chunk)
        try:
            found = _map(subject, some)
        except Exception:  # what vmap cannot do; an error of the user's own comes again
            found = _loop(subject, some)
        yield found


def _map(subject: Subject, samples: Samples) -> tuple[Tensor, Tensor]:
    """Differentiate all samples at once."""
    weights = {name: p.detach() for name, p in subject.params.items()}
    of_one = samples.per_sample

    def loss(weights: dict[str, Tensor], inputs: object, targets: object) -> Tensor:
        alone = [
            tree_map(lambda leaf, place: leaf if place is None else leaf.unsqueeze(0), part, places)
            for part, places in zip((inputs, targets), of_one, strict=True)
        ]
        return loss_from(_call(subject, weights, alone[0]), subject.loss_fn, alone[1])

    function = vmap(grad_and_value(loss), in_dims=(None, *of_one), randomness="different")
    gradients, losses = function(weights, samples.inputs, samples.targets)
    rows = [g.reshape(samples.count, -1).to(subject.dtype) for g in gradients.values()]
    return losses.detach(), torch.cat(rows, dim=1).detach()


def _call(subject: Subject, weights: dict[str, Tensor], inputs: object) -> object:
    if isinstance(inputs, dict):
        return functional_call(subject.model, weights, (), inputs)
    return functional_call(subject.model, weights, tuple(inputs) if isinstance(inputs, list) else inputs)


def _loop(subject: Subject, samples: Samples) -> tuple[Tensor, Tensor]:
    """Differentiate one sample after the other."""
    losses, rows = [], []
    for i in range(samples.count):
        with torch.enable_grad():
            one = samples.rows(i, i + 1)
            loss = loss_from(outputs_of(subject.model, one.inputs), subject.loss_fn, one.targets)
            gradient = torch.autograd.grad(loss, subject.weights, allow_unused=True, materialize_grads=True)
        losses.append(loss.detach())
        rows.append(subject.flat(gradient))
    return torch.stack(losses), torch.stack(rows)
