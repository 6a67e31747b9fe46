"""The words, figures and files of a network that was made small."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from steepest.compression.experiments.experiment import FILE, Candidate, Course, Shrunk
from steepest.compression.format.report import bound_bits
from steepest.compression.steps import Tried
from steepest.page.figure import Figure
from steepest.page.look import DASHES, PALETTE, SYMBOLS, axis_title, label, named
from steepest.page.story import Story

BINS = 81
DRAWN = 8  # layers whose weights are drawn, the largest
FILES = (FILE,)


def story_of(found: Shrunk) -> Story:
    """What the page tells."""
    asked, chosen = found.settings, found.chosen
    return Story(
        command="compress",
        title=f"{found.workload.name}, made small",
        headline=_say_result(found),
        facts=(
            f"{found.parameters:,} parameters · budget {asked.budget:g} {_unit(found)} on validation data · "
            f"{asked.method}, {asked.epochs_per_layer} epoch{'s' * (asked.epochs_per_layer != 1)} a layer · "
            f"seed {asked.seed}"
        ),
        sentences=[*_say_promise(found), _say_bound(found), *_say_others(found), *_say_time(found), *_say_speed(found)],
        conventions=(
            "Bytes are those of whole files, the base's those of its tensors. Points are "
            f"{'percent of ' if found.workload.percent else ''}{found.workload.metric_name}; the budget is kept on "
            "validation data, and test data was looked at once for each network. Sparsity is the share of zeros"
        ),
        figures=[_draw_course(found), _draw_weights(found)],
        table_title="Every step that was tried",
        table=[_tell_step(found, course, row) for course in found.courses for row in course.log],
        rows={
            "steps": [{"course": c.sparsity, **_plain(row)} for c in found.courses for row in c.log],
            "networks": [asdict(one) for one in candidates_of(found)],
            "speed": [{k: v for k, v in asdict(one).items() if k != "forms"} for one in found.speed],
        },
        told={
            "settings": asdict(asked), "workload": found.workload.name, "parameters": found.parameters,
            "dense_bytes": found.dense, "constrained": list(chosen.constrained), "chosen": chosen.sparsity,
        },
    )  # fmt: skip


def candidates_of(found: Shrunk) -> list[Candidate]:
    """All networks that there are, the base first."""
    return [found.base, *(course.found for course in found.courses), *found.rivals]


def comparison_of(found: Shrunk) -> list[dict[str, str]]:
    """The rows of the table that holds them against each other."""
    return [
        {
            "network": one.name + (f", sparsity {one.sparsity:.3g}" if one.name == "compressed" else ""),
            "bytes": f"{one.bytes:,}",
            "times smaller": f"{found.dense / one.bytes:.1f}",
            "validation": _points(found, one.validation),
            "lost": _points(found, _lost(found, one.validation, found.base.validation)),
            "test": _points(found, one.test),
            "lost on test": _points(found, _lost(found, one.test, found.base.test)),
            "epochs": f"{one.epochs}",
        }
        for one in candidates_of(found)
    ]


def _unit(found: Shrunk) -> str:
    return "points" if found.workload.percent else found.workload.metric_name


def _points(found: Shrunk, value: float) -> str:
    return f"{value:.2f}" if found.workload.percent else f"{value:.4g}"


def _lost(found: Shrunk, value: float, base: float) -> float:
    return base - value if found.workload.higher_is_better else value - base


def _say_result(found: Shrunk) -> str:
    best = found.chosen.found
    lost = _lost(found, best.validation, found.base.validation)
    held = f"{len(found.chosen.constrained)} of {len(found.weights)} layers have at most three values"
    return (
        f"{best.bytes:,} bytes instead of {found.dense:,}, {found.dense / best.bytes:.1f} times smaller, for "
        f"{_points(found, lost)} {_unit(found)} on validation data; {held}."
    )


def _say_promise(found: Shrunk) -> list[str]:
    best, base = found.chosen.found, found.base
    lost = _points(found, _lost(found, best.validation, base.validation))
    on_test = _points(found, _lost(found, best.test, base.test))
    said = [
        f"The promise, at most {found.settings.budget:g} {_unit(found)}, is about validation data: {lost} were lost "
        f"there, {on_test} on test data ({_points(found, base.test)} to {_points(found, best.test)})."
    ]
    for course in found.courses:
        pruned, asked = course.found.sparsity, f"At sparsity {course.sparsity:g} pruning alone broke the budget"
        if not pruned < course.sparsity:
            continue
        if any(row.kept for row in course.log if row.step == "prune"):
            said.append(f"{asked}; {pruned:.3g} kept it.")
        else:
            said.append(f"{asked}, and so did everything below that was tried: nothing is pruned.")
    back = [", ".join(row.layers) for row in found.chosen.log if row.step == "constrain" and not row.kept]
    if back:
        said.append(f"Taken back, since three values would have broken the budget: {'; '.join(back)}.")
    return said


def _say_bound(found: Shrunk) -> str:
    count = sum(len(after) for _, after in found.weights.values())
    zeros = sum(float((after == 0).sum()) for _, after in found.weights.values()) / count
    bits = bound_bits(zeros)
    return (
        f"A network of three values whose {100 * zeros:.1f} % zeros have no structure carries {bits:.3f} bits a "
        f"weight, {count * bits / 8:,.0f} bytes for these {count:,} weights; the file has "
        f"{found.chosen.found.bytes:,} with all else. Rows and columns that are empty code for less."
    )


def _say_others(found: Shrunk) -> list[str]:
    return [
        f"{one.name[0].upper()}{one.name[1:]} of the same base, {one.bytes:,} bytes: "
        f"{_points(found, one.validation)} on validation data, {_points(found, one.test)} on test data."
        for one in found.rivals
    ]


def _say_speed(found: Shrunk) -> list[str]:
    said = []
    for one in found.speed:
        changed = [f"{name or 'the layer'} as {form}" for name, form in one.forms.items() if form != "dense"]
        what = (
            f"{one.dense:.3g} ms dense, {one.after:.3g} ms with {', '.join(changed)}"
            if changed
            else (f"{one.dense:.3g} ms, no layer is faster in another form than dense")
        )
        said.append(f"A batch of {one.batch} on {one.threads} thread{'s' * (one.threads != 1)} of this CPU: {what}.")
    return said


def _say_time(found: Shrunk) -> list[str]:
    taken, base = found.chosen.found.seconds, found.base.seconds
    if not base:
        return [f"It took {taken:,.1f} s."]
    return [f"It took {taken:,.1f} s, {taken / base:.2f} times the training of the base network."]


def _tell_step(found: Shrunk, course: Course, row: Tried) -> dict[str, str]:
    what = {"base": "the base network", "prune": "pruned, all layers together"}.get(row.step, ", ".join(row.layers))
    said = {"base": "", "prune": "kept" if row.kept else "too much"}
    return {
        "step": what if len(found.courses) == 1 else f"{course.sparsity:g}: {what}",
        "zeros": f"{100 * row.sparsity:.1f} %",
        "sigma": "" if row.sigma is None else f"{row.sigma:.3g}",
        "before": "" if math.isnan(row.before) else _points(found, row.before),
        "after": "diverged" if math.isnan(row.after) else _points(found, row.after),
        "came of it": said.get(row.step, "kept" if row.kept else "taken back"),
        "bytes": f"{row.bytes:,}" if row.bytes else "",
        "seconds": f"{row.seconds:.1f}",
    }


def _plain(row: Tried) -> dict[str, Any]:
    kept = {key: value for key, value in asdict(row).items() if key != "layers"}
    return {"layers": " ".join(row.layers), **{k: None if v != v else v for k, v in kept.items()}}


def _draw_course(found: Shrunk) -> Figure:
    """Draw the metric against the bytes as the layers are taken, for each sparsity."""
    plot = go.Figure()
    places = [found.base.bytes]
    for number, course in enumerate(found.courses):
        rows = [row for row in course.log if row.bytes and row.kept]
        places += [row.bytes for row in rows]
        said = [{"base": "the base network", "prune": "pruned"}.get(row.step, ", ".join(row.layers)) for row in rows]
        plot.add_scatter(
            x=[found.dense if row.step == "base" else row.bytes for row in rows],
            y=[row.after for row in rows],
            text=[label(text, 40) for text in said],
            mode="lines+markers",
            line={"color": PALETTE[number % len(PALETTE)], "dash": DASHES[number % len(DASHES)]},
            marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8},
            hovertemplate="%{text}<br>%{x:,} bytes: %{y:.4~g}",
            **named(f"sparsity {course.sparsity:g}"),
        )
    for number, one in enumerate(found.rivals, len(found.courses)):
        plot.add_scatter(
            x=[one.bytes],
            y=[one.validation],
            mode="markers",
            marker={"color": PALETTE[number % len(PALETTE)], "symbol": SYMBOLS[number % len(SYMBOLS)], "size": 11},
            hovertemplate="%{x:,} bytes: %{y:.4~g}",
            **named(one.name),
        )
        places.append(one.bytes)
    sign = -1 if found.workload.higher_is_better else 1
    least = found.base.validation + sign * found.settings.budget
    plot.add_scatter(
        x=[min(places), max(places)], y=[least, least], mode="lines",
        line={"color": "#888888", "dash": "dot", "width": 1}, hovertemplate="%{y:.4~g}", **named("the budget's end"),
    )  # fmt: skip
    plot.update_layout(showlegend=True, hovermode="closest")
    plot.update_xaxes(title="bytes of the file", type="log")
    plot.update_yaxes(title=axis_title(f"{found.workload.metric_name} on validation data"))
    return Figure(
        "course",
        "Accuracy against size",
        "From the base network on the right through pruning to one layer after the other; what was taken back is not "
        "drawn. Single marks: other ways to make the same base network small.",
        plot,
        switches=("x",),
    )


def _draw_weights(found: Shrunk) -> Figure:
    """Draw the weights of the largest layers, before and after."""
    keys = sorted(found.weights, key=lambda key: -len(found.weights[key][0]))[:DRAWN]
    keys = [key for key in found.weights if key in keys]
    height = 200 * len(keys) + 120
    plot = make_subplots(rows=len(keys), cols=1, vertical_spacing=80 / height)
    for row, key in enumerate(keys, 1):
        before, after = found.weights[key]
        far = max(float(np.abs(part).max(initial=0.0)) for part in (before, after)) or 1.0
        edges = np.linspace(-far, far, BINS + 1)
        plot.update_xaxes(title=label(key, 40), row=row, col=1)
        middles = (edges[:-1] + edges[1:]) / 2
        for place, (name, values) in enumerate((("before", before), ("after, but for zeros", after[after != 0]))):
            counts, _ = np.histogram(values, edges)
            plot.add_scatter(
                x=middles, y=counts / max(len(after), 1) * 100, mode="lines", showlegend=row == 1,
                line={"color": PALETTE[place], "shape": "hvh", "dash": DASHES[0]}, legendgroup=name,
                hovertemplate="%{x:.3~g}: %{y:.3~g} %", **named(name), row=row, col=1,
            )  # fmt: skip
    plot.update_layout(showlegend=True, hovermode="closest", height=height)
    plot.update_yaxes(title="%")
    more = f" The {DRAWN} largest layers of {len(found.weights)}." if len(found.weights) > DRAWN else ""
    return Figure(
        "weights",
        "The weights before and after",
        f"How many of a layer's weights lie in each of {BINS} bins. Zeros are left out after pruning: they would be "
        f"the only thing to be seen.{more}",
        plot,
    )
