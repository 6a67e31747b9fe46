"""The mean loss where the weights are moved, at many places in one pass over the data, with its error."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from steepest.diagnostics.lost_graph import Holder
from steepest.diagnostics.samples import Samples, loss_of
from steepest.diagnostics.subject import Subject

AGREE = 1e-3  # relative, of a batch's loss and the mean of its samples', in float32


class Means(NamedTuple):
    """Mean losses (P,) at places, and standard errors (P,) over the samples; those of the differences
    to where the weights stand."""

    losses: Tensor
    errors: Tensor
    difference_errors: Tensor


def mean_losses(subject: Subject, moves: Callable[[int], Tensor | None], places: int) -> Means:
    """Mean losses at the weights as they are moved by ``moves(place)``, where ``None`` is not at all.

    The model has the moved weights only while it is called: its parameters are not written to. Away from where the
    weights stand, a loss may be infinite or no number.

    Raises:
        ValueError: there are no samples, or the loss over a batch is not the mean of its samples'.
        RuntimeError: the loss is not finite where the weights stand.
    """
    sums = torch.zeros(4, places, dtype=torch.float64, device="cpu")
    stand: list[Tensor] = []
    counts: list[int] = []
    with subject.looked_at():
        for samples in subject.batches():
            if not counts:
                _refuse_other_means(subject, samples)
            rows: list[Tensor | None] = []
            for place in range(places):
                move = moves(place)
                with subject.same_random_numbers():
                    rows.append(None if move is None else _at(subject, samples, move))
            here = _at(subject, samples, None)  # at last, and the random numbers go on as in any other pass
            for place, row in enumerate(rows):
                losses = here if row is None else row
                apart = losses - here
                found = [losses.sum(), losses.square().sum(), apart.sum(), apart.square().sum()]
                sums[:, place] += torch.stack(found).cpu()
            stand.append(here.mean())
            counts.append(samples.count)
    subject.note_losses(stand, counts)
    n = subject.samples
    total = subject.total(sums.to(subject.device)).cpu()
    mean, apart_mean = total[0] / n, total[2] / n
    return Means(mean, _error(mean, total[1] / n, n), _error(apart_mean, total[3] / n, n))


def _error(mean: Tensor, square: Tensor, n: int) -> Tensor:
    """Compute the standard error of a mean; no number, if there is only one sample."""
    if n < 2:
        return torch.full_like(mean, math.nan)
    return ((square - mean.square()).clamp(min=0) / (n - 1)).sqrt()


def _at(subject: Subject, samples: Samples, move: Tensor | None) -> Tensor:
    """Compute every sample's loss (m,), in float64."""
    weights = {name: p.detach() for name, p in subject.params.items()}
    if move is not None:
        weights = {name: p + step for (name, p), step in zip(weights.items(), subject.split(move), strict=True)}
    try:
        losses = _map(subject, samples, weights)
    except Exception:  # what vmap cannot do; an error of the user's own comes again
        each = [samples.rows(i, i + 1) for i in range(samples.count)]
        losses = torch.stack([_call(subject, one, weights) for one in each])
    return losses.double()


def _map(subject: Subject, samples: Samples, weights: Mapping[str, Tensor]) -> Tensor:
    of_one = samples.per_sample

    def loss(inputs: Any, targets: Any) -> Tensor:
        one, its = (
            tree_map(lambda leaf, place: leaf if place is None else leaf.unsqueeze(0), part, places)
            for part, places in zip((inputs, targets), of_one, strict=True)
        )
        return _call(subject, Samples(one, its, 1), weights)

    found: Tensor = vmap(loss, in_dims=of_one, randomness="different")(samples.inputs, samples.targets)
    return found


def _call(subject: Subject, samples: Samples, weights: Mapping[str, Tensor]) -> Tensor:
    """Compute the loss with the weights in the model, so that a loss that reads the model sees them too."""
    given = {f"model.{name}": t for name, t in weights.items()}
    found: Tensor = functional_call(
        Holder(subject.model), given, (lambda model: loss_of(model, subject.loss_fn, samples),)
    )
    return found


def _refuse_other_means(subject: Subject, samples: Samples) -> None:
    with subject.same_random_numbers():
        losses = _at(subject, samples, None)
    with subject.same_random_numbers():
        whole = float(subject.loss(samples))
    mean, size = float(losses.mean()), float(losses.abs().mean())
    if math.isfinite(whole) and abs(whole - mean) > AGREE * size + 1e-6:
        raise ValueError(
            f"loss_fn must give the mean over a batch of its samples' losses, got {whole:.6g} where that mean is "
            f"{mean:.6g}"
        )
