"""The figures of a diagnosis."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from steepest.diagnose.observing import (
    CURVATURE_SAMPLES,
    EIGENVALUES,
    GRADIENT_SAMPLES,
    NOISE_SAMPLES,
)
from steepest.diagnose.result import SURFACE_SAMPLES, Diagnosis
from steepest.page.figure import Figure
from steepest.page.look import BASELINE_COLOUR, DASHES, PALETTE, add_band, axis_title, has_data, label, marks, named
from steepest.page.look import translucent as faint

Series = Sequence[float | None]
STEPS = "gradient evaluations"
THETA = 0.9
LOWEST = 1e-6  # density that is drawn


def figures_of(found: Diagnosis) -> list[Figure]:
    """All figures in which there is something to see."""
    makers: list[Callable[[Diagnosis], Figure]] = [
        _draw_loss,
        _draw_metric,
        _draw_noise_scale,
        _draw_tests,
        _draw_eigenvalues,
        _draw_updates,
        _draw_covariance,
        _draw_density,
        _draw_surface,
    ]
    return [figure for make in makers if has_data((figure := make(found)).plot)]


def series(found: Diagnosis, quantity: str, key: str = "value") -> tuple[list[float], list[Any]]:
    """What was seen of a quantity, and when; without the moments at which it was not."""
    pairs = [(row["gradient_evaluations"], row.get(quantity, {}).get(key)) for row in found.seen]
    kept = [(at, value) for at, value in pairs if value is not None]
    return [at for at, _ in kept], [value for _, value in kept]


def _line(plot: go.Figure, at: Sequence[float], values: Series, name: str, place: int, *, number: str = ".4~g") -> None:
    plot.add_scatter(
        x=list(at),
        y=list(values),
        mode=marks(len(at)),
        line={
            "color": PALETTE[place % len(PALETTE)],
            "width": 2,
            "dash": DASHES[place // len(PALETTE) % len(DASHES)],
        },
        hovertemplate=f"%{{y:{number}}}",
        **named(name),
    )


def _over_run(plot: go.Figure, title: str, *, log: bool = False) -> go.Figure:
    plot.update_layout(hovermode="x unified", showlegend=len(plot.data) > 1)
    plot.update_xaxes(title=STEPS)
    plot.update_yaxes(title=axis_title(title + (" (log)" if log else "")))
    if log:
        plot.update_yaxes(type="log", exponentformat="power", nticks=8)
    return plot


def _draw_loss(found: Diagnosis) -> Figure:
    plot, curve = go.Figure(), found.run["curve"]
    for place, (name, key) in enumerate((("training", "train_loss"), ("validation", "validation_loss"))):
        _line(plot, curve["gradient_evaluations"], curve[key], name, place)
    caption = (
        "Mean loss of the training batches since the validation before, in training mode; and of the validation data."
    )
    return Figure("loss", "Loss", caption, _over_run(plot, "loss"), switches=("x", "y"))


def _draw_metric(found: Diagnosis) -> Figure:
    plot, curve, metric = go.Figure(), found.run["curve"], found.settings["metric"]
    number = ".2%" if found.settings["percent"] else ".4~g"
    _line(plot, curve["gradient_evaluations"], curve["validation_metric"], metric, 0, number=number)
    plot = _over_run(plot, f"validation {metric}")
    plot.update_yaxes(tickformat=".1~%" if found.settings["percent"] else "~g")
    return Figure(
        "metric", f"Validation {label(metric)}", "After every epoch's worth of gradients.", plot, switches=("x",)
    )


def _draw_noise_scale(found: Diagnosis) -> Figure:
    plot = go.Figure()
    rows = [(row["gradient_evaluations"], row.get("noise_scale", {})) for row in found.seen]
    bounded = [(at, seen["low"], seen["high"]) for at, seen in rows if seen.get("low") and seen.get("high")]
    if bounded:
        at, low, high = zip(*bounded, strict=True)
        add_band(plot, at, high, low, "noise scale", faint(PALETTE[0], share=1.0))
    _line(plot, *series(found, "noise_scale"), "noise scale", 0)
    open_above = [(at, seen["low"]) for at, seen in rows if seen.get("low") and not seen.get("high")]
    if open_above:
        at, low = zip(*open_above, strict=True)
        plot.add_scatter(
            x=at,
            y=low,
            mode="markers",
            marker={"symbol": "triangle-up", "color": PALETTE[0], "size": 9},
            hovertemplate="at least %{y:.4~g}",
            **named("at least"),
        )
    plot.add_hline(y=found.settings["batch_size"], line={"dash": "dot", "width": 1, "color": BASELINE_COLOUR})
    return Figure(
        "noise-scale",
        "Gradient noise scale",
        f"The batch size, in samples, at which a gradient is noise and signal in equal parts, over "
        f"{_say(found, NOISE_SAMPLES)}; band: its 95 % interval; triangles: its lower end where there is no upper one. "
        "Dotted: the batch that was trained with. Below the curve, a larger batch is more progress a step; far above "
        "it, a smaller one costs less for the same.",
        _over_run(plot, "samples", log=True),
        switches=("x", "y"),
    )


def _draw_tests(found: Diagnosis) -> Figure:
    plot, batch = go.Figure(), found.settings["batch_size"]
    at, scales = series(found, "noise_scale")
    _line(plot, at, [math.sqrt(scale / batch) for scale in scales], "norm test", 0)
    _line(plot, *series(found, "inner_product_test"), "inner-product test", 1)
    plot.add_hline(y=THETA, line={"dash": "dot", "width": 1, "color": BASELINE_COLOUR})
    return Figure(
        "tests",
        "Is the batch large enough?",
        f"The relative error of the gradient of a batch of {batch}: in length and direction (norm test), and along the "
        f"gradient alone (inner-product test, over {_say(found, GRADIENT_SAMPLES)}). Dotted: {THETA}, both tests' "
        "default. A batch that fails the first and passes the second still goes downhill.",
        _over_run(plot, "relative error", log=True),
        switches=("x", "y"),
    )


def _draw_eigenvalues(found: Diagnosis) -> Figure:
    plot = go.Figure()
    rows = [(row["gradient_evaluations"], row.get("hessian_eigenvalues", {}).get("eigenvalues")) for row in found.seen]
    rows = [(at, values) for at, values in rows if values]
    for place in range(EIGENVALUES):
        those = [(at, values[place]) for at, values in rows if len(values) > place and values[place] is not None]
        _line(plot, [at for at, _ in those], [value for _, value in those], f"{place + 1}.", place)
    return Figure(
        "eigenvalues",
        "Largest Hessian eigenvalues",
        f"Of the loss over {_say(found, CURVATURE_SAMPLES)}, in evaluation mode. Plain gradient descent is stable "
        "where the largest is below 2 / lr, with momentum m below (2 + 2m) / lr. Another scale of the weights gives "
        "other values for the same function.",
        _over_run(plot, "eigenvalue"),
        switches=("x", "y"),
    )


def _draw_updates(found: Diagnosis) -> Figure:
    plot = go.Figure()
    layers = list(dict.fromkeys(name for row in found.seen for name in row.get("update_ratio", {}) if name != "error"))
    for place, layer in enumerate(layers):
        _line(plot, *series(found, "update_ratio", layer), layer, place)
    return Figure(
        "updates",
        "Update-to-weight ratio, layer by layer",
        "The last step before each validation: the norm of its change over the norm of the layer's weights. Layers "
        "that are decades apart learn at different speeds.",
        _over_run(plot, "ratio", log=True),
        switches=("x", "y"),
    )


def _draw_covariance(found: Diagnosis) -> Figure:
    plot, seen = go.Figure(), found.end.get("gradient_covariance", {})
    values = [value for value in seen.get("eigenvalues", []) if value]
    _line(plot, range(1, len(values) + 1), values, "eigenvalue", 0)
    plot.update_xaxes(title="rank")
    plot.update_yaxes(title="eigenvalue (log)", type="log", exponentformat="power", nticks=8)
    plot.update_layout(showlegend=False)
    words = ""
    if values:
        words = (
            f" Its trace is {seen['trace']:.3g}, of which these are "
            f"{100 * math.fsum(values) / seen['trace']:.0f}\u00a0%; its effective rank, "
            f"(tr D)² / tr D², is {seen['effective_rank']:.3g}."
        )
    return Figure(
        "covariance",
        "Covariance of the gradients, largest eigenvalues",
        f"Of the gradients of single samples at the final weights, over {_say(found, GRADIENT_SAMPLES)}.{words} The "
        "noise of SGD is far from being the same in all directions where they fall quickly.",
        plot,
        switches=("x", "y"),
    )


def _draw_density(found: Diagnosis) -> Figure:
    plot, seen = go.Figure(), found.end.get("hessian_density", {})
    heights = [y if y and y > LOWEST else None for y in seen.get("density", [])]
    _line(plot, seen.get("at", []), heights, "density", 0)
    plot.update_xaxes(title="eigenvalue")
    plot.update_yaxes(title="density (log)", type="log", exponentformat="power", nticks=8)
    plot.update_layout(showlegend=False)
    return Figure(
        "density",
        "Density of the Hessian's eigenvalues",
        f"At the final weights, over {_say(found, CURVATURE_SAMPLES)}, by stochastic Lanczos quadrature; its area is "
        "1. Most eigenvalues are near 0. What lies left of it are directions in which the loss curves downwards.",
        plot,
        switches=("y",),
    )


def _draw_surface(found: Diagnosis) -> Figure:
    plot, surface = go.Figure(), found.surface
    if surface.get("losses"):
        logs = [[None if z is None or z <= 0 else math.log10(z) for z in row] for row in surface["losses"]]
        plot.add_contour(
            x=surface["x"],
            y=surface["y"],
            z=logs,
            customdata=surface["losses"],
            colorscale=[[0, PALETTE[0]], [1, BASELINE_COLOUR]],
            contours={"coloring": "lines"},
            ncontours=24,
            line={"width": 1.2},
            showscale=False,
            hovertemplate="loss %{customdata:.4~g}<extra></extra>",
        )
        path_x, path_y = zip(*surface["path"], strict=True)
        plot.add_scatter(
            x=path_x,
            y=path_y,
            mode="lines+markers",
            line={"color": PALETTE[4], "width": 2},
            marker={"size": 5},
            hovertemplate="%{text}<extra></extra>",
            text=[f"after {row['gradient_evaluations']:,} gradient evaluations" for row in found.seen],
            showlegend=False,
            **named("path"),
        )
        plot.add_scatter(
            x=[path_x[-1]],
            y=[path_y[-1]],
            mode="markers",
            marker={"size": 11, "symbol": "star", "color": PALETTE[4]},
            hovertemplate="the end<extra></extra>",
            showlegend=False,
            **named("end"),
        )
    first, second = (f"{100 * share:.0f}\u00a0%" for share in surface.get("shares") or (0.0, 0.0))
    plot.update_xaxes(title=f"first principal component, {first}")
    plot.update_yaxes(title=f"second, {second}")
    plot.update_layout(showlegend=False, hovermode="closest")
    return Figure(
        "surface",
        "The loss in the plane of the path",
        f"The plane through the final weights in which the weights moved most, with each axis' share of the movement, "
        f"and the loss in it, over {_say(found, SURFACE_SAMPLES)}, with level sets of its logarithm. The path is drawn "
        "as it falls onto the plane: away from it the loss on the path is another. Any path of many dimensions looks "
        "bent like this.",
        plot,
    )


def _say(found: Diagnosis, samples: int) -> str:
    from steepest.training.builtin.instruments.samples import say_samples

    return say_samples(samples, found.settings["train_samples"])
