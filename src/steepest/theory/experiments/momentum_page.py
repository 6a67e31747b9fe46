"""The figures, words and rows of an experiment with momentum."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import plotly.graph_objects as go

from steepest.page.figure import Figure
from steepest.page.look import BASELINE_COLOUR, DASHES, PALETTE, SYMBOLS, axis_title, named
from steepest.page.story import Story
from steepest.theory.experiments.drawing import draw_beside
from steepest.theory.experiments.momentum import Found, number_of
from steepest.theory.experiments.momentum_starts import Quantity

CONVENTIONS = (
    "A step is v <- v + lr (I - v v') X X' v + momentum (v - the v before), X normal with these eigenvalues; time is "
    "counted in steps; variances are of v. To first order, lr and momentum enter by lr / (1 - momentum) alone: "
    "momentum helps or hurts at equal lr only"
)
OFF = 0.05  # beyond which the theory is said to have ended
SHOWN = 1e-9  # below which nothing is drawn on a logarithmic axis


def story_of(found: Found, claim: str) -> Story:
    """What the page tells.

    Args:
        claim: the preset's, or nothing.
    """
    rows = [
        {"curve": curve.name} | number_of(found.settings, theory, simulated, curve.annealing)
        for curve, theory, simulated in found.curves
    ]
    settings = found.settings
    return Story(
        command="theory momentum",
        title=f"Momentum SGD {found.start.words}",
        headline=_say_result(found, rows),
        facts=(
            f"eigenvalues {', '.join(f'{value:g}' for value in settings.eigenvalues)} · lr {settings.lr:g} · momentum "
            f"{settings.momentum:g} · {settings.replicas:,} runs of {found.steps:,} steps each · seed {settings.seed}"
        ),
        sentences=[
            *([f"The claim: {claim}."] if claim else []),
            _say_equal(rows),
            "Plain SGD at lr / (1 - momentum) is the third curve of every figure: whether momentum helps or hurts is a "
            "question of what is kept equal, and here it is lr.",
            say_end(found),
        ],
        conventions=CONVENTIONS,
        figures=[*(_draw(found, quantity) for quantity in found.start.quantities), _draw_ends(found)],
        table_title=f"In one number: {found.start.number}",
        table=[_show(row, found.start.digits) for row in rows],
        rows={"curves": _list_points(found), "numbers": rows, "ends": found.ends},
        told={"settings": asdict(settings), "steps": found.steps, "claim": claim, "number": found.start.number},
    )


def _show(row: dict[str, Any], digits: str) -> dict[str, str]:
    error = format(row["error"], digits if digits.endswith("f") else ".2g")
    return {
        "curve": row["curve"],
        "theory": _written(row["predicted"], digits),
        "simulation": f"{_written(row['simulated'], digits)} ± {error}",
        "simulation / theory": _written(row["ratio"], ".3f"),
    }


def _written(value: float, digits: str) -> str:
    return format(value, digits) if np.isfinite(value) else "not reached"


def _say_result(found: Found, rows: Sequence[dict[str, Any]]) -> str:
    """Say what momentum does, at equal lr and at equal lr / (1 - momentum), as simulated."""
    settings = found.settings
    digits = found.start.digits
    with_it, plain, equal, *annealed = (_written(row["simulated"], digits) for row in rows)
    text = (
        f"{found.start.number[0].upper()}{found.start.number[1:]}: {with_it} with momentum {settings.momentum:g}; "
        f"{plain} without it at equal lr; {equal} without it at lr / (1 - momentum)"
    )
    if annealed:
        text += (
            f"; {annealed[0]} with lr annealed from step {settings.anneal_at:,}, {annealed[1]} with momentum annealed"
        )
    return text + "."


def _say_equal(rows: Sequence[dict[str, Any]]) -> str:
    first, _, third = (row["simulated"] for row in rows[:3])
    if not np.isfinite([first, third]).all():
        return "In so few steps not every curve gets there."
    sizes = [row["error"] for row in (rows[0], rows[2])]
    return (
        f"(lr, momentum) and (lr / (1 - momentum), 0) differ by {abs(first / third - 1):.1%} in it; "
        f"two standard errors of this difference are {2 * np.hypot(*sizes) / third:.1%}, were the samples not the same."
    )


def say_end(found: Found) -> str:
    """From which effective learning rate on the simulation is another."""
    here = found.settings.lr / (1 - found.settings.momentum)
    return (
        f"Where the theory ends: the simulation is off by more than {OFF:.0%} and two standard errors, or diverges, "
        f"{_find_end(found)}; here it is {here:.3g}."
    )


def _note_end(found: Found) -> str:
    """Say the same below a figure, with the conventions."""
    return (
        "Time is counted in steps; values are of v, not of v / sqrt(lr). Lines: theory; marks: simulation, with two "
        f"standard errors as a band. Where the theory ends: {_find_end(found)}; here "
        f"it is {found.settings.lr / (1 - found.settings.momentum):.3g}."
    )


def _find_end(found: Found) -> str:
    known = [row for row in found.ends if "ratio" in row]
    off = [r["effective_lr"] for r in known if abs(r["ratio"] - 1) - 2 * r["error"] / r["predicted"] > OFF]
    off += [row["effective_lr"] for row in found.ends if "ratio" not in row]
    if off:
        return f"from lr / (1 - momentum) = {min(off):.3g} on, of the values tried"
    return f"nowhere up to lr / (1 - momentum) = {max(row['effective_lr'] for row in known):.3g}, the largest tried"


def _draw(found: Found, quantity: Quantity) -> Figure:
    plot = go.Figure()
    for place, (curve, theory, simulated) in enumerate(found.curves):
        values, errors = quantity.measure(simulated)
        predicted = quantity.predict(theory, simulated.steps, found.settings.delta, curve.annealing)
        lowest = SHOWN if quantity.log else -np.inf
        at, width = simulated.steps.astype(float), 2 if place else 5  # the third lies on the first
        draw_beside(plot, curve.name, place, at, predicted, values, 2 * errors, lowest, width)
    _mark_annealing(plot, found)
    plot.update_layout(hovermode="closest", showlegend=True)
    plot.update_xaxes(title="steps (log)", type="log", exponentformat="power", nticks=6)
    plot.update_yaxes(title=axis_title(quantity.axis + (" (log)" if quantity.log else "")))
    if quantity.log:
        plot.update_yaxes(type="log", exponentformat="power", nticks=6)
    caption = f"{quantity.caption} {_note_end(found)}"
    return Figure(quantity.key, quantity.title, caption, plot, switches=("x", "y"))


def _mark_annealing(plot: go.Figure, found: Found) -> None:
    if found.settings.anneal_at is not None:
        plot.add_vline(found.settings.anneal_at, line={"dash": "dot", "width": 1, "color": BASELINE_COLOUR})


def _draw_ends(found: Found) -> Figure:
    plot = go.Figure()
    for place, (curve, *_) in ((0, found.curves[0]), (2, found.curves[2])):
        rows = [row for row in found.ends if row["curve"] == curve.name and row.get("ratio", np.inf) < np.inf]
        plot.add_scatter(
            x=[row["effective_lr"] for row in rows],
            y=[row["ratio"] for row in rows],
            error_y={"type": "data", "array": [2 * row["error"] / row["predicted"] for row in rows], "thickness": 1},
            mode="lines+markers",
            line={"color": PALETTE[place], "width": 1, "dash": DASHES[place]},
            marker={"symbol": SYMBOLS[place], "size": 8},
            hovertemplate="%{x:.4~g}: %{y:.3f}",
            **named(curve.name),
        )
    here = found.settings.lr / (1 - found.settings.momentum)
    plot.add_hline(1, line={"width": 1, "color": BASELINE_COLOUR})
    plot.add_vline(here, line={"dash": "dot", "width": 1, "color": BASELINE_COLOUR})
    plot.update_layout(showlegend=True)
    plot.update_xaxes(title="lr / (1 - momentum) (log)", type="log", exponentformat="power", nticks=6)
    plot.update_yaxes(title="simulation / theory")
    return Figure(
        "ends",
        "Where the theory ends",
        f"The {found.start.number}, simulated over predicted, with two standard errors, at other learning rates. "
        f"Dotted: the one of this page. {say_end(found)}",
        plot,
        switches=("x",),
    )


def _list_points(found: Found) -> list[dict[str, Any]]:
    """List a row for each curve and moment."""
    rows = []
    for curve, theory, simulated in found.curves:
        columns: dict[str, Any] = {}
        for quantity in found.start.quantities:
            values, errors = quantity.measure(simulated)
            predicted = quantity.predict(theory, simulated.steps, found.settings.delta, curve.annealing)
            columns |= {f"{quantity.key}.theory": predicted, f"{quantity.key}.simulation": values}
            columns |= {f"{quantity.key}.error": errors}
        for i, step in enumerate(simulated.steps):
            row = {"curve": curve.name, "lr": curve.lr, "momentum": curve.momentum, "step": int(step)}
            rows.append(row | {name: float(values[i]) for name, values in columns.items()})
    return rows
