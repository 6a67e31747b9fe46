"""The cloud of SGD, the geodesic of the diffusion metric and the gradient flow, over the level sets of the loss."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from steepest.diagnostics.diffusion import DiffusionMetric, geodesic, gradient_flow, sgd_paths
from steepest.diagnostics.diffusion.metric import Point
from steepest.diagnostics.diffusion.paths import check_time
from steepest.diagnostics.subject import whole

if TYPE_CHECKING:
    import plotly.graph_objects as go

MARGIN = 0.15  # of the width, around what is drawn
LEVELS = 18
PATHS = 5  # single runs of SGD


def picture(
    metric: DiffusionMetric,
    *,
    time: float,
    lr: float,
    batch_size: int,
    velocity: Point = None,
    start: Point = None,
    plane: Sequence[Point] | None = None,
    replicas: int = 300,
    points: int = 61,
    seed: int = 0,
) -> "go.Figure":
    """Figure of SGD's cloud, the geodesic and the gradient flow from one start, over level sets of the mean loss.

    The geodesic with eps 0, which no noise bends, is drawn beside it.

    A model with two weights is drawn as it is. Of more, a plane through the start is, in which the level sets are
    those of the loss on the plane, and paths are seen as their projections onto it: they may lie beside it.

    Args:
        metric: of the model; its ``eps`` bends the geodesic.
        time: how long everything runs; SGD takes the whole number of steps that is nearest to ``time / lr``.
        lr, batch_size, replicas, seed: of :func:`~steepest.diagnostics.diffusion.sgd_paths`. Five runs are drawn whole.
        velocity: of the geodesic at the start, see :func:`~steepest.diagnostics.diffusion.geodesic`.
        start: weights; the model's own by default.
        plane: two directions, made orthonormal one after the other; needed for more than two weights.
        points: the loss is computed on a grid of ``points`` by ``points``.

    Returns:
        A Plotly figure, with equal scales on both axes.

    Raises:
        MissingExtraError: Plotly or SciPy is not installed.
        TypeError, ValueError, RuntimeError: an argument is of the wrong kind or out of range, or a path could not be
            followed.

    Example:
        >>> from torch import nn
        >>> line = nn.Linear(2, 1, bias=False)
        >>> data = [(torch.eye(2), torch.tensor([[1.0], [2.0]]))]
        >>> metric = DiffusionMetric(line, nn.MSELoss(), data, eps=1.0)
        >>> figure = picture(metric, time=1.0, lr=0.1, batch_size=1, replicas=20, points=5)
        >>> [trace.name for trace in figure.data if trace.name]
        ['loss', 'SGD, 20 runs', 'gradient flow', 'geodesic, eps 0', 'geodesic, eps 1', 'start']
    """
    import plotly.graph_objects as go

    from steepest.page.look import BASELINE_COLOUR, PALETTE, axis_title

    whole("points", points, 2)
    check_time(lr, "lr")
    at = metric.point(start)
    origin, axes = _find_plane(metric, at, plane)
    flow = gradient_flow(metric, time, start=at)
    bent = geodesic(metric, velocity, time, start=at)
    straight = geodesic(metric.with_eps(0.0), velocity, time, start=at)
    steps = max(1, round(time / lr))
    cloud = sgd_paths(
        metric, lr=lr, batch_size=batch_size, steps=steps, replicas=replicas, seed=seed, start=at
    ).positions

    def seen(x: Tensor) -> list[list[float]]:
        found: list[list[float]] = ((x - origin) @ axes.T).T.tolist()
        return found

    plot = go.Figure()
    shown = torch.cat([flow.positions, straight.positions, bent.positions, cloud[-1], cloud[:, :PATHS].flatten(0, 1)])
    grid = _grid(seen(shown), points)
    heights = [[metric.loss(origin + a * axes[0] + b * axes[1]) for a in grid[0].tolist()] for b in grid[1].tolist()]
    plot.add_contour(
        x=grid[0].tolist(),
        y=grid[1].tolist(),
        z=heights,
        name="loss",
        ncontours=LEVELS,
        contours={"coloring": "lines", "showlabels": True},
        colorscale=[[0, "#bbbbbb"], [1, "#666666"]],
        line={"width": 1},
        showscale=False,
    )
    for run in range(min(PATHS, replicas)):
        x, y = seen(cloud[:, run])
        plot.add_scatter(
            x=x, y=y, mode="lines", line={"color": PALETTE[5], "width": 1}, opacity=0.7, showlegend=False,
            hoverinfo="skip",
        )  # fmt: skip
    x, y = seen(cloud[-1])
    plot.add_scatter(
        x=x,
        y=y,
        mode="markers",
        name=f"SGD, {replicas} runs",
        marker={"color": PALETTE[0], "size": 4, "opacity": 0.5},
    )
    for name, path, colour, dash in (
        ("gradient flow", flow.positions, PALETTE[2], "dash"),
        ("geodesic, eps 0", straight.positions, PALETTE[1], "dot"),
        (f"geodesic, eps {metric.eps:g}", bent.positions, PALETTE[4], "solid"),
    ):
        x, y = seen(path)
        plot.add_scatter(x=x, y=y, mode="lines", name=name, line={"color": colour, "width": 3, "dash": dash})
    x, y = seen(at[None])
    plot.add_scatter(
        x=x, y=y, mode="markers", name="start", marker={"color": BASELINE_COLOUR, "size": 11, "symbol": "diamond"}
    )
    titles = _titles(metric, plane)
    plot.update_xaxes(title=axis_title(titles[0]), range=[float(grid[0][0]), float(grid[0][-1])])
    plot.update_yaxes(title=axis_title(titles[1]), range=[float(grid[1][0]), float(grid[1][-1])])
    plot.update_yaxes(scaleanchor="x", scaleratio=1, constrain="domain")
    plot.update_xaxes(constrain="domain")
    plot.update_layout(
        template="plotly_white", legend={"orientation": "h", "y": 1.08}, margin={"t": 40, "r": 20, "b": 50, "l": 60}
    )
    return plot


def _find_plane(metric: DiffusionMetric, at: Tensor, plane: Sequence[Point] | None) -> tuple[Tensor, Tensor]:
    """Find the point at its origin, and its two orthonormal axes (2, d)."""
    if plane is None:
        if len(at) != 2:
            raise ValueError(f"plane must be two directions, since the model has {len(at)} weights, not 2; got None")
        return torch.zeros_like(at), torch.eye(2, dtype=at.dtype, device=at.device)
    if len(plane) != 2:
        raise ValueError(f"plane must be two directions, got {len(plane)}")
    first, second = (metric.point(direction) for direction in plane)
    first = first / first.norm()
    length = second.norm()
    second = second - (second @ first) * first
    if not second.norm() > 1e-9 * length:  # NaN where the first is 0
        raise ValueError("plane must be two directions that are neither 0 nor parallel")
    return at, torch.stack([first, second / second.norm()])


def _grid(shown: list[list[float]], points: int) -> tuple[Tensor, Tensor]:
    """Make the coordinates along both axes, of a square around all that is shown."""
    ends = [(min(values), max(values)) for values in shown]
    half = (0.5 + MARGIN) * max(high - low for low, high in ends) or 1.0

    def along(low: float, high: float) -> Tensor:
        middle = (low + high) / 2
        return torch.linspace(middle - half, middle + half, points, dtype=torch.float64, device="cpu")

    return along(*ends[0]), along(*ends[1])


def _titles(metric: DiffusionMetric, plane: Sequence[Point] | None) -> list[str]:
    if plane is not None:
        return ["along the first direction, from the start", "along the second, orthogonal to it"]
    return [
        name if len(flat) == 1 else f"{name}, number {i + 1}"
        for name, t in metric.named().items()
        for flat in [t.reshape(-1)]
        for i in range(len(flat))
    ]
