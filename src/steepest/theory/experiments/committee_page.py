"""The figures, words and rows of an experiment with two-layer networks."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import plotly.graph_objects as go
from scipy.stats import t as student_t

from steepest.page.figure import Figure
from steepest.page.look import BASELINE_COLOUR, DASHES, PALETTE, SYMBOLS, named
from steepest.page.story import Story
from steepest.theory.committee import saad_solla_lr
from steepest.theory.committee.integrals import Array
from steepest.theory.committee.rule import CONVENTIONS
from steepest.theory.experiments.committee import (
    LATE,
    NEAR,
    Curve,
    Found,
    Looked,
    layers_of,
    name_of,
    specialised_at,
)
from steepest.theory.experiments.drawing import draw_beside

SAID = f"{CONVENTIONS[0].upper()}{CONVENTIONS[1:]}"
OFF = 0.05  # beyond which the theory is said to have ended
SHOWN = 1e-9  # an error below which it is rounding's: not drawn on a logarithmic axis, and not divided by
LOWEST = 0.1  # of a ratio that is drawn
UNITS = 4  # of each network, whose overlaps are drawn
NUMBER = f"error at the end, a mean over the times from {LATE:.0%} on"


def story_of(found: Found, claim: str) -> Story:
    """What the page tells.

    Args:
        claim: the preset's, or nothing.
    """
    settings = found.settings
    rows = [list_number(found, curve, looked) for curve, looked in found.curves]
    axis = _axis_of(found)
    return Story(
        command="theory committee",
        title=f"A student of {_listed(settings.student)} units and its teacher of {settings.teacher}",
        headline=_say_result(rows, axis),
        facts=(
            f"{settings.activation} · noise {settings.noise:g} · N = {settings.dimension:,} · {settings.seeds} runs of "
            f"{round(settings.time * settings.dimension):,} steps each, to time {settings.time:g}"
        ),
        sentences=[
            *([f"The claim: {claim}."] if claim else []),
            *_say_order(rows, axis),
            *_say_units(found, rows),
            *_say_silent(found),
            say_end(found),
        ],
        conventions=SAID,
        figures=[
            *(_draw_errors(found, train) for train in settings.train if _of(found, train)),
            *([_draw_axis(found, rows, axis)] if axis else []),
            *([_draw_overlaps(found)] if len(found.curves) == 1 else []),
            *([_draw_ends(found)] if found.ends else []),
        ],
        table_title=f"In one number: {NUMBER}",
        table=[_show(row) for row in rows],
        rows={
            "curves": _list_points(found),
            "numbers": rows,
            "overlaps": _list_overlaps(found),
            **({"ends": _list_ends(found)} if found.ends else {}),
        },
        told={"settings": asdict(settings), "claim": claim, "number": NUMBER},
    )


def interval(values: Array) -> Array:
    """Half of the 95 % interval of the mean of S runs (S, ...), by Student's t."""
    runs = len(values)
    found: Array = student_t.ppf(0.975, runs - 1) * values.std(axis=0, ddof=1) / np.sqrt(runs)
    return found


def list_number(found: Found, curve: Curve, looked: Looked | str) -> dict[str, Any]:
    """The row of a curve: its error at the end by theory and by simulation, and when its units had specialised."""
    row: dict[str, Any] = {"curve": name_of(found.settings, curve), "K": curve.units, "lr": curve.lr}
    row |= {"train": curve.train, "start": curve.start}
    if isinstance(looked, str):
        return row | {"note": looked}
    late = looked.late()
    ends = looked.error[:, late].mean(axis=1)
    row |= {"predicted": None, "simulated": float(ends.mean()), "interval": float(interval(ends)), "ratio": None}
    if looked.predicted is not None:
        row["predicted"] = float(looked.predicted[:, late].mean())
        row["ratio"] = row["simulated"] / row["predicted"] if row["predicted"] > SHOWN else None
    try:
        row["small_lr"] = curve.committee.final_error()
    except ValueError:
        row["small_lr"] = None
    if found.settings.activation != "linear":  # of which units are no one's
        row["specialised"] = float(np.median(specialised_at(looked.times, looked.cosine)))
        if looked.predicted_cosine is not None:
            predicted = specialised_at(looked.times, looked.predicted_cosine)
            row["specialised_predicted"] = float(np.median(predicted))
    return row


def _show(row: dict[str, Any]) -> dict[str, str]:
    diverged = "note" in row
    shown = {
        "curve": row["curve"],
        "theory": "" if diverged else _written(row["predicted"]),
        "simulation": "diverged" if diverged else _written(row["simulated"], row["interval"]),
        "simulation / theory": "" if diverged or row["ratio"] is None else f"{row['ratio']:.3f}",
    }
    if row["start"] in ("random", "small"):
        shown[f"cosines above {NEAR:g} at time"] = _say_found(row)
    return shown


def _written(value: float | None, off: float | None = None) -> str:
    """Write a number, and how far it may be off, with one power of ten."""
    if value is None:
        return "not known"
    power = min(0, math.floor(math.log10(value))) if value > 0 else 0
    power = 0 if power == -1 else power
    parts = [f"{number / 10.0**power:.{3 if power == 0 else 2}f}" for number in (value, off) if number is not None]
    text = " ± ".join(parts)
    return text if power == 0 else f"({text})e{power}" if off is not None else f"{text}e{power}"


def _say_found(row: dict[str, Any]) -> str:
    """Say when every unit of the teacher had one of the student, in the median run."""
    if "specialised" not in row:
        return ""
    at, predicted = row["specialised"], row.get("specialised_predicted")
    text = f"{at:.3g}" if np.isfinite(at) else "never"
    return (
        text if predicted is None else f"{text} (theory: {f'{predicted:.3g}' if np.isfinite(predicted) else 'never'})"
    )


def _listed(numbers: Sequence[int]) -> str:
    *rest, last = (str(number) for number in numbers)
    return f"{', '.join(rest)} or {last}" if rest else last


def _say_result(rows: Sequence[dict[str, Any]], axis: str) -> str:
    """Say the error at the end of a few curves, or of many at the ends of the axis and where it is lowest."""
    if not axis:
        ends = (_say_error(row, row["curve"]) for row in rows if "simulated" in row)
        return f"Error at the end: {'; '.join(ends)}."
    found = []
    for name, line in _lines_of(rows, axis):
        lowest = min(line, key=lambda row: row["simulated"])
        told = dict.fromkeys(line.index(row) for row in (line[0], lowest, line[-1]))
        errors = (_say_error(line[i], f"{axis} = {line[i][axis]:g}") for i in sorted(told))
        found.append(f"{name} trained: {', '.join(errors)}")
    return f"Error at the end, {'; '.join(found)}."


def _say_error(row: dict[str, Any], curve: str) -> str:
    return f"{_written(row['simulated'], row['interval'])} with {curve}"


def _axis_of(found: Found) -> str:
    """Choose what the error at the end is drawn over: of several sizes or rates the more, or nothing."""
    settings = found.settings
    if max(len(settings.student), len(settings.lr)) == 1:
        return ""
    return "K" if len(settings.student) >= len(settings.lr) else "lr"


def _lines_of(rows: Sequence[dict[str, Any]], axis: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Go through the rows that differ in ``axis`` alone, with what they share, in the order of ``axis``."""
    others = [name for name in ("train", "lr", "K") if name != axis]
    several = {name for name in ("lr", "K") if name != axis and len({row[name] for row in rows}) > 1}
    shared: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if "simulated" in row:
            shared.setdefault(tuple(row[name] for name in others), []).append(row)
    for line in shared.values():
        parts = [layers_of(line[0]["train"]), *(f"{name} = {line[0][name]:g}" for name in several)]
        yield ", ".join(parts), sorted(line, key=lambda row: row[axis])


def _say_order(rows: Sequence[dict[str, Any]], axis: str) -> list[str]:
    """Say how the error at the end goes with the axis, by theory and by simulation."""
    found = []
    for name, line in _lines_of(rows, axis) if axis else ():
        if len(line) < 2:
            continue
        said: dict[str, list[str]] = {}
        for key, words in (("predicted", "by theory"), ("simulated", "by simulation")):
            values = [row[key] for row in line]
            if None not in values:
                said.setdefault(_describe(axis, [row[axis] for row in line], values), []).append(words)
        told = ", and ".join(f"{order} {' and '.join(words)}" for order, words in said.items())
        found.append(f"{name[0].upper()}{name[1:]} trained: the error at the end {told}.")
    return found


def _describe(axis: str, at: Sequence[float], values: Sequence[float]) -> str:
    moves = np.diff(values)
    if (moves > 0).all():
        return f"rises with {axis}"
    if (moves < 0).all():
        return f"falls with {axis}"
    return f"is lowest at {axis} = {at[int(np.argmin(values))]:g} of those tried"


def _say_units(found: Found, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say when the units of one curve had specialised."""
    if len(rows) > 1 or found.settings.activation == "linear":
        return []
    return [
        f"Each unit of the teacher has one of the student with a cosine above {NEAR:g}, in the median run from this "
        f"time on: {_say_found(rows[0])}."
    ]


def _say_silent(found: Found) -> list[str]:
    """Say of which curves there is no theory, and why, and which diverged."""
    if found.settings.activation == "relu":
        return [
            "Of ReLU there is no prediction: its equations need an average over four fields that has no closed form. "
            "The error is by its formula, from the overlaps of the runs."
        ]
    settings = found.settings
    said = [f"No theory of {name_of(settings, c)}: {looked.silent}." for c, looked in found.seen if looked.silent]
    return said + [f"With {name_of(settings, c)} {note}." for c, note in found.curves if isinstance(note, str)]


def _list_ends(found: Found) -> list[dict[str, Any]]:
    """List for every dimension and time the mean error over its prediction, with the 95 % interval's half."""
    rows = []
    for dimension, looked in found.ends:
        ratio, off = _compare(looked)
        rows += [
            {"N": dimension, "time": float(time), "ratio": float(a), "interval": float(b)}
            for time, a, b in zip(looked.times, ratio, off, strict=True)
        ]
    return rows


def _compare(looked: Looked) -> tuple[Array, Array]:
    """Compute (P,) ratios of mean errors, and their 95 % interval from the differences run by run; NaN near error 0.

    Raises:
        ValueError: nothing was predicted.
    """
    if looked.predicted is None:
        raise ValueError("looked must have a prediction, got None")
    mean = looked.predicted.mean(axis=0)
    mean = np.where(mean > SHOWN, mean, np.nan)
    return looked.error.mean(axis=0) / mean, interval(looked.error - looked.predicted) / mean


def say_end(found: Found) -> str:
    """At which dimensions the simulation is another, and from when on."""
    if not found.ends:
        return "Where the theory ends is not shown: there is none."
    said = []
    for dimension, looked in found.ends:
        ratio, off = _compare(looked)
        apart = np.flatnonzero((looked.times >= _first_time(found)) & (np.abs(ratio - 1) - off > OFF))
        worst = ratio[apart[np.argmax(np.abs(ratio[apart] - 1))]] - 1 if len(apart) else 0.0
        said.append(
            f"at N = {dimension} by up to {abs(worst):.0%}, from time {looked.times[apart[0]]:.3g} on"
            if len(apart) else f"at N = {dimension} never"
        )  # fmt: skip
    name = name_of(found.settings, found.seen[0][0])
    return (
        f"Where the theory ends: it is of large N. From time {_first_time(found):g} on the mean error of the runs with "
        f"{name} is off its prediction by more than {OFF:.0%} and its 95 % interval {'; '.join(said)}."
    )


def _first_time(found: Found) -> float:
    """Find from when on theory is held against simulation: after N steps, since the first few are of few examples."""
    return min(1.0, found.settings.time / 10)


def _caption(found: Found) -> str:
    return (
        f"Lines: theory, the mean over what it says of each run from where that began; marks: the mean of "
        f"{found.settings.seeds} runs, with its 95 % interval as a band. {SAID}. "
        f"{say_end(found)}"
    )


def _of(found: Found, train: str) -> list[tuple[Curve, Looked]]:
    return [(curve, looked) for curve, looked in found.seen if curve.train == train]


def _draw_errors(found: Found, train: str) -> Figure:
    plot = go.Figure()
    for place, (curve, looked) in enumerate(_of(found, train)):
        predicted = None if looked.predicted is None else looked.predicted.mean(axis=0)
        name, mean, off = name_of(found.settings, curve), looked.error.mean(axis=0), interval(looked.error)
        draw_beside(plot, name, place, looked.times, predicted, mean, off, SHOWN)
    plot.update_layout(hovermode="closest", showlegend=True)
    _set_axes(plot, "time = steps / N (log)", "generalization error (log)")
    title = "How the error falls"
    if len(found.settings.train) > 1:
        title += f", {layers_of(train)} trained"
    return Figure(f"error-{train}", title, _caption(found), plot, switches=("x", "y"))


def _set_axes(plot: go.Figure, across: str, up: str) -> None:
    plot.update_xaxes(title=across, type="log", exponentformat="power", nticks=6)
    plot.update_yaxes(title=up, type="log", exponentformat="power", nticks=6)


def _draw_axis(found: Found, rows: Sequence[dict[str, Any]], axis: str) -> Figure:
    plot, settings, closed = go.Figure(), found.settings, ""
    for place, (name, line) in enumerate(_lines_of(rows, axis)):
        colour, at = PALETTE[place % len(PALETTE)], [row[axis] for row in line]
        columns = {key: [row[key] for row in line] for key in ("predicted", "simulated", "interval", "small_lr")}
        if None not in columns["predicted"]:
            plot.add_scatter(
                x=at, y=columns["predicted"], mode="lines", line={"color": colour, "dash": DASHES[place % len(DASHES)]},
                hovertemplate="theory, %{x:.4~g}: %{y:.3~g}", **named(name),
            )  # fmt: skip
        plot.add_scatter(
            x=at, y=columns["simulated"], mode="markers", showlegend=None in columns["predicted"],
            error_y={"type": "data", "array": columns["interval"], "thickness": 1},
            marker={"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 8, "color": colour},
            hovertemplate="simulation, %{x:.4~g}: %{y:.3~g}", **named(name),
        )  # fmt: skip
        if None not in columns["small_lr"] and settings.noise > 0:
            closed = "; dotted: in closed form, in the end and at small lr"
            plot.add_scatter(
                x=at, y=columns["small_lr"], mode="lines", line={"color": colour, "dash": "dot", "width": 1},
                hovertemplate="small lr, %{x:.4~g}: %{y:.3~g}", **named(f"{name}, small lr"),
            )  # fmt: skip
    caption = f"The {NUMBER}. Lines: theory{closed}; marks: the mean of {settings.seeds} runs with its 95 % interval."
    if axis == "lr" and settings.activation == "erf" and settings.student == (settings.teacher,):
        good = saad_solla_lr(settings.teacher)
        plot.add_vline(good, line={"dash": "dot", "width": 1, "color": BASELINE_COLOUR})
        caption += f" Dotted upwards: {good:.3f}, a good rate near the teacher by Saad and Solla (1995)."
    plot.update_layout(hovermode="closest", showlegend=True)
    _set_axes(plot, {"K": "units of the student, K", "lr": "lr of the first layer (log)"}[axis], f"{NUMBER} (log)")
    values = sorted(settings.student if axis == "K" else settings.lr)
    plot.update_xaxes(tickvals=values, ticktext=[f"{value:g}" for value in values], exponentformat=None)
    if axis == "K":
        plot.update_xaxes(type="linear")
    plot.update_yaxes(title="error at the end (log)")
    title = {"K": "The error at the end over the number of units", "lr": "The error at the end over the learning rate"}
    return Figure("end", title[axis], f"{caption} {SAID}.", plot, switches=("y",))


def _overlaps_of(looked: Looked) -> Iterator[tuple[str, Array, Array | None]]:
    """Go through pairs of units: their name, and the cosine (P,) in the first run, simulated and predicted."""
    _, _, k, m = looked.cosine.shape
    for i, n in itertools.product(range(k), range(m)):
        predicted = None if looked.predicted_cosine is None else looked.predicted_cosine[0, :, i, n]
        yield f"student's {i + 1}, teacher's {n + 1}", looked.cosine[0, :, i, n], predicted


def _draw_overlaps(found: Found) -> Figure:
    curve, looked = found.seen[0]
    plot = go.Figure()
    k, m = (min(UNITS, size) for size in looked.cosine.shape[2:])
    fewer = looked._replace(
        cosine=looked.cosine[:, :, :k, :m],
        predicted_cosine=None if looked.predicted_cosine is None else looked.predicted_cosine[:, :, :k, :m],
    )
    for place, (name, simulated, predicted) in enumerate(_overlaps_of(fewer)):
        draw_beside(plot, name, place, looked.times, predicted, simulated, np.zeros_like(simulated))
    plot.update_layout(hovermode="closest", showlegend=True)
    plot.update_xaxes(title="time = steps / N (log)", type="log", exponentformat="power", nticks=6)
    plot.update_yaxes(title="cosine")
    caption = (
        f"Cosines of the student's weights with the teacher's in one run, that of seed 0, with "
        f"{name_of(found.settings, curve)}. Lines: theory from this run's start; marks: the run. "
        f"{SAID}."
    )
    if looked.cosine.shape[2:] != (k, m):
        caption += f" Shown are the first {k} units of the student and {m} of the teacher."
    return Figure("overlaps", "Which unit becomes whose", caption, plot, switches=("x",))


def _draw_ends(found: Found) -> Figure:
    plot = go.Figure()
    for place, (dimension, looked) in enumerate(found.ends):
        ratio, off = _compare(looked)
        late = looked.times >= _first_time(found)
        draw_beside(plot, f"N = {dimension}", place, looked.times[late], None, ratio[late], off[late], LOWEST)
    plot.add_hline(1, line={"width": 1, "color": BASELINE_COLOUR})
    plot.update_layout(hovermode="closest", showlegend=True)
    plot.update_xaxes(title="time = steps / N (log)", type="log", exponentformat="power", nticks=6)
    plot.update_yaxes(title="simulation / theory (log)", type="log", exponentformat="power", nticks=6)
    caption = (
        f"The mean error of {found.settings.seeds} runs over its prediction, at this dimension of the inputs and at "
        f"smaller ones, with its 95 % interval. {SAID}. {say_end(found)}"
    )
    return Figure("ends", "Where the theory ends", caption, plot, switches=("x", "y"))


def _list_points(found: Found) -> list[dict[str, Any]]:
    """List a row for each curve and moment."""
    rows = []
    for curve, looked in found.seen:
        head = {"curve": name_of(found.settings, curve), "K": curve.units, "lr": curve.lr, "train": curve.train}
        mean, off = looked.error.mean(axis=0), interval(looked.error)
        for i, time in enumerate(looked.times):
            row = head | {"start": curve.start, "time": float(time)}
            if looked.predicted is not None:
                row["error.theory"] = float(looked.predicted[:, i].mean())
            row |= {"error.simulation": float(mean[i]), "error.interval": float(off[i])}
            row |= {f"error.run{run}": float(error) for run, error in enumerate(looked.error[:, i])}
            rows.append(row)
    return rows


def _list_overlaps(found: Found) -> list[dict[str, Any]]:
    """List the cosines of every curve's first run, a row for each pair of units and moment."""
    rows = []
    for curve, looked in found.seen:
        for pair, simulated, predicted in _overlaps_of(looked):
            row: dict[str, Any] = {"curve": name_of(found.settings, curve), "units": pair}
            for i, time in enumerate(looked.times):
                theory = {} if predicted is None else {"cosine.theory": float(predicted[i])}
                rows.append(row | {"time": float(time)} | theory | {"cosine.simulation": float(simulated[i])})
    return rows
