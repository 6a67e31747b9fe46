"""The loss along a direction in weight space, and over a plane."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from steepest.diagnostics.directions import (
    NORMALIZE,
    Normalize,
    given_direction,
    movable,
    path_components,
    random_direction,
    scaled,
)
from steepest.diagnostics.moved import mean_losses
from steepest.diagnostics.samples import LossFunction
from steepest.diagnostics.subject import Filter, Subject, between, generator_of, one_of, whole

Direction = Mapping[str, Tensor]
ROOM = 0.2  # around a path, of its extent


class LossLine(NamedTuple):
    """What :func:`loss_along` found.

    ``at`` (P,): multiples of ``direction``, a dict by the parameters' names; ``losses`` (P,) there, and their
    ``standard_errors`` (P,) over the samples, all in float64. A loss may be infinite or no number away from 0.
    """

    at: Tensor
    losses: Tensor
    standard_errors: Tensor
    direction: dict[str, Tensor]
    samples: int
    passes: int
    seconds: float


class LossPlane(NamedTuple):
    """What :func:`loss_plane` found.

    ``at`` (P,) and (Q,): multiples of the two ``directions``; ``losses`` and ``standard_errors`` (P, Q), of which
    ``[i, j]`` is at ``at[0][i]`` and ``at[1][j]``. Of a path, its coordinates ``path`` (K, 2) in the plane, onto which
    it is projected, and the ``shares`` (2,) of its variance along the directions; otherwise ``None``.
    """

    at: tuple[Tensor, Tensor]
    losses: Tensor
    standard_errors: Tensor
    directions: tuple[dict[str, Tensor], dict[str, Tensor]]
    path: Tensor | None
    shares: Tensor | None
    samples: int
    passes: int
    seconds: float


def loss_along(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    *,
    direction: Direction | None = None,
    span: float = 1.0,
    points: int = 21,
    normalize: Normalize | None = None,
    params: Filter | None = None,
    seed: int = 0,
) -> LossLine:
    """Mean loss over ``data`` along a direction in weight space, from ``-span`` to ``span`` times it.

    A random direction is scaled filter by filter to be as long as the weights, so that networks which differ only in
    the scale of their ReLU layers give the same curve; biases and the weights of norms, whose scale means something
    else, do not move. A line shows what is on it: flat along one direction is not flat.

    The model runs in evaluation mode, its weights are not written to, and all is left as it was.

    **Cost**: one pass over the data, with ``points`` forward passes for each batch.

    Args:
        model: called as ``model(inputs)``; within ``DistributedDataParallel``, by all ranks together.
        loss_fn: called as ``loss_fn(outputs, targets)``; the **mean** over the batch of its samples' losses.
        data: batches ``(inputs, targets)``, as for :func:`largest_hessian_eigenvalue`.
        direction: a dict of tensors by the parameters' names, such as the differences to another network's; parameters
            that are not in it do not move. Random by default.
        span: how far, above 0.
        points: at equal distances, at least 2; an odd number has one where the weights stand.
        normalize: ``"filter"``, the default of a random direction; ``"layer"``: parameter by parameter; ``"none"``, the
            default of one that is given. A bias or a norm's weight is scaled as a whole.
        params: which trainable parameters may move, see :func:`largest_hessian_eigenvalue`; with a random direction,
            those of two or more dimensions by default. ``"*"`` is all.
        seed: of the random direction, which is the same on every device.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: an argument is out of range, there are no samples, or the loss is not the mean of its samples'.
        RuntimeError: the loss is not finite where the weights stand.

    Source: Li, Xu, Taylor, Studer, Goldstein, "Visualizing the loss landscape of neural nets", arXiv 1712.09913.

    Example:
        >>> line = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(line.weight, 1.0)
        >>> data = [(torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1))]
        >>> found = loss_along(line, nn.MSELoss(), data, direction={"weight": torch.ones(1, 1)}, points=3)
        >>> found.at.tolist(), found.losses.tolist()  # 2.5 w^2 at w = 0, 1, 2
        ([-1.0, 0.0, 1.0], [0.0, 2.5, 10.0])
    """
    subject = Subject(model, loss_fn, data, _choose(model, params, random=direction is None))
    whole("points", points, 2)
    between("span", span, 0, math.inf)
    flat = _direction(subject, "direction", direction, normalize, generator_of(seed))
    at = torch.linspace(-span, span, points, dtype=torch.float64, device="cpu")
    found = mean_losses(subject, lambda place: float(at[place]) * flat if at[place] else None, points)
    return LossLine(
        at, found.losses, found.errors, subject.named(flat), subject.samples, subject.passes, subject.seconds
    )


def loss_plane(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    *,
    directions: tuple[Direction, Direction] | None = None,
    path: Sequence[Direction | Tensor] | None = None,
    span: float | None = None,
    points: tuple[int, int] = (21, 21),
    normalize: Normalize | None = None,
    params: Filter | None = None,
    seed: int = 0,
) -> LossPlane:
    """Mean loss over ``data`` on a plane in weight space through the weights.

    The plane is that of two random directions, each as in :func:`loss_along`; of two that are given; or that of the two
    principal components of a ``path``, such as the weights after each epoch: what the path does beside the plane is not
    seen, and ``shares`` tell how much that is.

    The model runs in evaluation mode, its weights are not written to, and all is left as it was.

    **Cost**: one pass over the data, with ``points[0] * points[1]`` forward passes for each batch.

    Args:
        model: as for :func:`loss_along`, and so are ``loss_fn``, ``data``, ``params`` and ``seed``.
        directions: two dicts of tensors by the parameters' names.
        path: at least three state dicts, or flat vectors of the chosen parameters; instead of ``directions``. Its
            directions have length 1, so that the plane's unit is that of weights.
        span: from ``-span`` to ``span`` times both directions; by default 1, and of a path all of it and where the
            weights stand, and a fifth of it around.
        points: along both directions, each at least 2.
        normalize: as for :func:`loss_along`; a path's directions are not scaled.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: an argument is out of range or does not go with another, there are no samples, or the loss is not
            the mean of its samples'.
        RuntimeError: the loss is not finite where the weights stand.

    Source: Li, Xu, Taylor, Studer, Goldstein, "Visualizing the loss landscape of neural nets", arXiv 1712.09913.

    Example:
        >>> line = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.zeros_(line.weight)
        >>> ways = {"weight": torch.tensor([[1.0, 0.0]])}, {"weight": torch.tensor([[0.0, 2.0]])}
        >>> data = [(torch.eye(2), torch.zeros(2, 1))]
        >>> loss_plane(line, nn.MSELoss(), data, directions=ways, points=(2, 3)).losses  # (a^2 + 4 b^2) / 2
        tensor([[2.5000, 0.5000, 2.5000],
                [2.5000, 0.5000, 2.5000]], dtype=torch.float64)
    """
    if path is not None and (directions is not None or normalize is not None):
        raise ValueError("path gives the directions itself, as they are: give neither directions nor normalize with it")
    subject = Subject(model, loss_fn, data, _choose(model, params, random=directions is None and path is None))
    sizes = _check_points(points)
    if span is not None:
        between("span", span, 0, math.inf)
    components = None if path is None else path_components(subject, path)
    if components is not None:
        axes = list(components.axes)
    else:
        generator = generator_of(seed)
        ways = _check_pair(directions)
        axes = [_direction(subject, f"directions[{i}]", way, normalize, generator) for i, way in enumerate(ways)]
    if components is None or span is not None:
        ends = [(-(span or 1.0), span or 1.0)] * 2
    else:
        ends = [_around(column.tolist()) for column in components.coordinates.T]
    first, second = (
        torch.linspace(low, high, size, dtype=torch.float64, device="cpu")
        for (low, high), size in zip(ends, sizes, strict=True)
    )

    def move(place: int) -> Tensor | None:
        a, b = float(first[place // sizes[1]]), float(second[place % sizes[1]])
        return a * axes[0] + b * axes[1] if a or b else None

    found = mean_losses(subject, move, sizes[0] * sizes[1])
    return LossPlane(
        (first, second),
        found.losses.view(sizes),
        found.errors.view(sizes),
        (subject.named(axes[0]), subject.named(axes[1])),
        None if components is None else components.coordinates.cpu(),
        None if components is None else components.shares.cpu(),
        subject.samples,
        subject.passes,
        subject.seconds,
    )


def _choose(model: object, params: Filter | None, *, random: bool) -> Filter | None:
    """Choose what may move: along a random direction, by default, neither biases nor norms."""
    if isinstance(model, nn.parallel.DistributedDataParallel):
        model = model.module
    return movable(model, params) if random else params


def _direction(
    subject: Subject, name: str, given: object, normalize: Normalize | None, generator: torch.Generator
) -> Tensor:
    if normalize is not None:
        one_of("normalize", normalize, NORMALIZE)
    if given is None:
        return random_direction(subject, generator, normalize or "filter")
    return scaled(subject, given_direction(subject, name, given), normalize or "none")


def _check_pair(directions: object) -> tuple[object, object]:
    if directions is None:
        return None, None
    if not isinstance(directions, tuple | list) or len(directions) != 2:
        raise ValueError(f"directions must be two dicts of tensors, got {type(directions).__name__}")
    return directions[0], directions[1]


def _check_points(points: object) -> tuple[int, int]:
    if not isinstance(points, tuple | list) or len(points) != 2:
        raise TypeError(f"points must be two numbers, such as (21, 21), got {points!r}")
    return whole("points[0]", points[0], 2), whole("points[1]", points[1], 2)


def _around(coordinates: Sequence[float]) -> tuple[float, float]:
    """Take in a path and where the weights stand, with room around."""
    low, high = min(0.0, *coordinates), max(0.0, *coordinates)
    room = ROOM * (high - low)
    return low - room, high + room
