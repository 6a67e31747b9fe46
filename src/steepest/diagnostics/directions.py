"""Directions in weight space: drawn at random and scaled as filters are, given by name, or those of a path."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from steepest.diagnostics.subject import Filter, Subject

Normalize = Literal["filter", "layer", "none"]
NORMALIZE: tuple[Normalize, ...] = ("filter", "layer", "none")


class Components(NamedTuple):
    """Two orthonormal directions (2, d), a path's coordinates (K, 2) along them from where the weights stand, and the
    shares of its variance (2,) that they hold."""

    axes: Tensor
    coordinates: Tensor
    shares: Tensor


def movable(model: object, params: Filter | None) -> Filter:
    """What moves along a random direction by default: parameters of two or more dimensions, no bias and no norm's.

    Raises:
        ValueError: there is none.
    """
    if params is not None or not isinstance(model, nn.Module):
        return "*" if params is None else params
    if not any(p.requires_grad and p.dim() > 1 for p in model.parameters()):
        raise ValueError(
            "model must have a trainable parameter of two or more dimensions to move along a random direction; "
            "params='*' moves all"
        )
    return lambda name, p: p.dim() > 1


def random_direction(subject: Subject, generator: torch.Generator, normalize: Normalize) -> Tensor:
    """A flat direction of independent normal numbers, scaled by :func:`scaled`."""
    return scaled(subject, subject.draw(generator), normalize)


def scaled(subject: Subject, direction: Tensor, normalize: Normalize) -> Tensor:
    """A flat direction, scaled part by part to be as long as the weights there.

    ``"filter"``: a part is a row of a parameter's first dimension, as a convolution's filter or a unit's weights; a
    parameter of one dimension, a bias or a norm's weight, is one part. ``"layer"``: a part is a parameter.
    """
    if normalize == "none":
        return direction
    parts = []
    for p, d in zip(subject.weights, subject.split(direction), strict=True):
        rows = (len(p), -1) if normalize == "filter" and p.dim() > 1 and p.numel() else (1, -1)
        weights, way = p.detach().reshape(rows), d.reshape(rows)
        length = torch.linalg.vector_norm(way, dim=1, keepdim=True)
        factor = torch.linalg.vector_norm(weights, dim=1, keepdim=True) / length
        parts.append(torch.where(length > 0, way * factor, 0.0))
    return subject.flat(parts)


def given_direction(subject: Subject, name: str, direction: object) -> Tensor:
    """A direction from tensors by the parameters' names; parameters without one do not move.

    Raises:
        TypeError: it is no dict of tensors.
        ValueError: a name or a shape is not the model's, or all is 0 or not finite.
    """
    if not isinstance(direction, Mapping) or not all(isinstance(t, Tensor) for t in direction.values()):
        raise TypeError(f"{name} must be a dict of tensors by the parameters' names, got {type(direction).__name__}")
    for key, t in direction.items():
        if key not in subject.params:
            raise ValueError(f"{name} must be of the chosen trainable parameters {[*subject.params]}, got {key!r}")
        if t.shape != subject.params[key].shape:
            raise ValueError(
                f"{name}[{key!r}] must have shape {tuple(subject.params[key].shape)}, got {tuple(t.shape)}"
            )
    flat = subject.flat([direction.get(key, torch.zeros_like(p)) for key, p in subject.params.items()])
    if not torch.isfinite(flat).all() or not flat.any():
        raise ValueError(f"{name} must be finite and not 0 everywhere")
    return flat


def path_components(subject: Subject, path: object) -> Components:
    """The two principal components of a path: the plane in which it moves most.

    Raises:
        TypeError: it is no sequence of state dicts or flat vectors.
        ValueError: there are less than three places, they are on one line, or are not of this model's weights.
    """
    if not isinstance(path, Sequence) or isinstance(path, str):
        raise TypeError(f"path must be a sequence of state dicts or of flat weights, got {type(path).__name__}")
    if len(path) < 3:
        raise ValueError(f"path must hold at least 3 places, got {len(path)}")
    weights = subject.flat(subject.weights).double()
    away = torch.stack([_place(subject, i, place) for i, place in enumerate(path)]) - weights
    centred = away - away.mean(dim=0)
    _, values, axes = torch.linalg.svd(centred, full_matrices=False)
    if len(values) < 2 or not values[1] > 1e-6 * values[0]:
        raise ValueError("path must not lie on one line, or it has no second principal component")
    axes = axes[:2]
    # The sign of a singular vector is arbitrary: the path ends on the positive side of where it begins.
    axes = axes * torch.where((axes @ (away[-1] - away[0])) < 0, -1.0, 1.0).to(axes)[:, None]
    return Components(axes.to(subject.dtype), away @ axes.T, values[:2].square() / values.square().sum())


def _place(subject: Subject, number: int, place: object) -> Tensor:
    if isinstance(place, Mapping):
        missing = [name for name in subject.params if name not in place]
        if missing:
            raise ValueError(f"path[{number}] must hold all of the chosen parameters, got none named {missing[0]!r}")
        for name, p in subject.params.items():
            if place[name].shape != p.shape:
                raise ValueError(
                    f"path[{number}][{name!r}] must have shape {tuple(p.shape)}, got {tuple(place[name].shape)}"
                )
        return subject.flat([place[name] for name in subject.params]).double()
    if not isinstance(place, Tensor):
        raise TypeError(f"path[{number}] must be a state dict or a flat tensor, got {type(place).__name__}")
    if place.shape != (subject.size,):
        raise ValueError(f"path[{number}] must have shape {(subject.size,)}, got {tuple(place.shape)}")
    return place.detach().to(device=subject.device, dtype=torch.float64)
