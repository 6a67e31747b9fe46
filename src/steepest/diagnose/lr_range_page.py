"""The page of a range test: one file, which asks the network for nothing; its points beside it."""

import json
import math
import shlex
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import torch

from steepest._files import write_atomically
from steepest._machine import machine
from steepest._version import __version__
from steepest.diagnose.lr_range import Range, sentences
from steepest.page.figure import Figure
from steepest.page.look import PALETTE, axis_title
from steepest.page.render import render

CSV, JSON, HTML = "lr-range.csv", "lr-range.json", "lr-range.html"


def write(folder: Path, swept: Range, command: list[str]) -> Path:
    """Write the points as CSV, all of it as JSON, and the page, into a folder; returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    found = swept.found
    found.to_csv(folder / CSV)
    told = {
        "workload": swept.workload.name,
        "method": swept.method.name,
        "settings": swept.settings,
        "hyperparameters": swept.hyperparameters,
        "bounds": found.bounds,
        "suggestion": found.suggestion,
        "diverged_at": found.diverged_at,
        "note": found.note,
        "gradient_evaluations": found.gradient_evaluations,
        "seconds": found.seconds,
        "lr": found.lr,
        "loss": [_finite(value) for value in found.loss],
        "smoothed": [_finite(value) for value in found.smoothed],
        "restarts": [[lr, _finite(loss)] for lr, loss in found.restarts],
        "information": found.information,
        "command": shlex.join(command),
        "machine": machine(),
        "versions": {"steepest": __version__, "torch": torch.__version__},
    }
    write_atomically(folder / JSON, json.dumps(told, indent=2, allow_nan=False) + "\n")
    write_atomically(folder / HTML, render_range(swept, told))
    return folder / HTML


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def render_range(swept: Range, told: dict[str, Any]) -> str:
    """The page as one HTML text.

    Args:
        told: what the file of JSON says.
    """
    title = f"Learning rates of {swept.method.name} on {swept.workload.name}"
    return render("steepest.diagnose", "lr_range.html.j2", title, draw(swept), sentences=sentences(swept), told=told)


def draw(swept: Range) -> list[Figure]:
    """The loss, and the information where there are classes, over the learning rate."""
    found = swept.found
    loss = go.Figure()
    _line(loss, found.lr, found.loss, "loss of the next batch", PALETTE[0], width=1, opacity=0.4)
    _line(loss, found.lr, found.smoothed, "smoothed", PALETTE[0])
    if found.restarts:
        loss.add_scatter(
            x=[lr for lr, value in found.restarts if math.isfinite(value)],
            y=[value for _, value in found.restarts if math.isfinite(value)],
            name="from the start",
            mode="markers",
            marker={"color": PALETTE[4], "size": 8, "symbol": "circle-open"},
            hovertemplate="lr %{x:.3g}: %{y:.4g}<extra>%{fullData.name}</extra>",
        )
    finite = [value for value in found.smoothed if math.isfinite(value)]
    if finite:
        low, high = min(v for v in found.loss if math.isfinite(v)), max(finite[: max(3, len(finite) // 2)])
        loss.update_yaxes(range=[low - 0.1 * (high - low), high + 0.6 * (high - low) + 1e-12])
    _finish(loss, swept, "loss")
    caption = (
        "After the steps at each rate, the loss of the next batch, and its smoothed course. Shaded: from the lowest to "
        "the highest rate at which something is learnt. "
    ) + _say_suggestion(swept)
    figures = [Figure("loss", "Loss", caption, loss, ("x",))]
    if found.information is not None:
        told = go.Figure()
        _line(told, found.lr, found.information, "information", PALETTE[2])
        _finish(told, swept, "information (nats)")
        window = "the batch after each rate" if swept.settings["restart"] else "the last ten batches together"
        caption = (
            f"Mutual information of predicted and true classes over {window}, with the correction of Miller and Madow."
        )
        figures.append(Figure("information", "What the predictions tell of the classes", caption, told, ("x",)))
    return figures


def _say_suggestion(swept: Range) -> str:
    if not swept.found.restarts:
        return (
            "Dotted: the start that is suggested, half of the first rate at which the smoothed loss has fallen 0.95 of "
            "its way."
        )
    steps = swept.settings["refine_iter"] // swept.method.cost // len(swept.found.restarts)
    return (
        f"Circles: rates that were tried again from the start, and the mean loss of the last third of {steps} steps "
        "at each. Dotted: the start that is suggested, half of the largest of them that came as low as the best one, "
        "but for a tenth of its fall."
    )


def _line(plot: go.Figure, x: Any, y: Any, name: str, colour: str, *, width: float = 2, opacity: float = 1.0) -> None:
    shown = [value if math.isfinite(value) else None for value in y]
    plot.add_scatter(
        x=list(x),
        y=shown,
        name=name,
        mode="lines",
        opacity=opacity,
        line={"color": colour, "width": width},
        hovertemplate="lr %{x:.3g}: %{y:.4g}<extra>%{fullData.name}</extra>",
    )


def _finish(plot: go.Figure, swept: Range, what: str) -> None:
    found = swept.found
    if found.bounds is not None:
        plot.add_vrect(*found.bounds, opacity=0.12, line_width=0, fillcolor=PALETTE[2])
    if found.suggestion is not None:
        plot.add_vline(found.suggestion, line={"dash": "dot", "color": PALETTE[4]})
    log = swept.settings["mode"] == "exp"
    plot.update_xaxes(title=axis_title("learning rate"), type="log" if log else "linear", exponentformat="power")
    plot.update_yaxes(title=axis_title(what))
