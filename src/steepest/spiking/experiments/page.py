"""The words, figures and files of images that were recognised by spikes."""

from dataclasses import asdict
from typing import Any

import numpy as np
import plotly.graph_objects as go

from steepest.page.figure import Figure
from steepest.page.look import DASHES, PALETTE, SYMBOLS, axis_title, named
from steepest.page.story import Story
from steepest.spiking.experiments.experiment import MODEL, Trained

FILES = (MODEL,)
SEEN = 10  # confusions that the table lists


def story_of(found: Trained) -> Story:
    """What the page tells."""
    asked, test = found.settings, found.test
    return Story(
        command="spiking",
        title=found.workload.description,
        headline=f"{100 * test:.2f} % of {found.counts[2]:,} test images are recognised.",
        facts=(
            f"{found.counts[0]:,} training images · {found.parameters:,} parameters · {asked.method}, "
            f"{asked.epochs} epochs · seed {asked.seed}"
        ),
        sentences=[*_say_features(found), *_say_classifier(found), _say_errors(found)],
        conventions=(
            "The classifier is that of the last epoch; nothing was chosen by test data. Filters learn without labels "
            "from training images. Features are the same for every seed of the classifier"
        ),
        figures=[*_draw_convergence(found), _draw_course(found), _draw_confusion(found)],
        table_title="What was most often taken for something else",
        table=_list_confusions(found) or [{"class": "nothing was"}],
        rows={
            "epochs": [
                {name: float(values[i]) for name, values in found.curve.items()}
                for i in range(len(found.curve["gradient_evaluations"]))
            ],
            "confusion": [
                {"class": i, **{str(j): int(n) for j, n in enumerate(row)}} for i, row in enumerate(found.confusion)
            ],
        },
        told={
            "settings": asdict(asked), "test": test, "validation": found.validation, "active": found.active,
            "parameters": found.parameters, "seconds": found.seconds,
            "convergence": [] if found.learnt is None else found.learnt.convergence,
            "seen": [] if found.learnt is None else found.learnt.seen,
        },
    )  # fmt: skip


def pictures_of(found: Trained) -> dict[str, Any] | None:
    """What the page's own script draws: filters as they grew, and spikes of images; ``None`` on pixels."""
    if found.learnt is None:
        return None
    snapshots = found.learnt.snapshots
    return {
        "seen": found.learnt.seen,
        "filters": np.round(snapshots.flatten(2).numpy() * 100).astype(int).tolist(),
        "size": found.learnt.layer.kernel_size,
        "maps": found.learnt.layer.out_channels,
        "steps": 12,
        "images": [
            {
                "grey": one.grey.tolist(), "inputs": one.inputs, "maps": one.maps,
                "said": f"{_name(found, one.label)}"
                + ("" if one.label == one.said else f", taken for {_name(found, one.said)}"),
            }
            for one in found.shown
        ],
    }  # fmt: skip


def _name(found: Trained, label: int) -> str:
    characters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
    return characters[label] if found.settings.dataset == "emnist" else str(label)


def _say_features(found: Trained) -> list[str]:
    if found.learnt is None:
        return ["Without spikes: the classifier sees the pixels alone."]
    learnt, asked = found.learnt, found.settings
    features = asked.of_features
    many = (
        f"{asked.maps} filters of {asked.kernel_size} by {asked.kernel_size} give {features.count:,} features, of "
        f"which {100 * found.active:.1f} % are active in an image."
    )
    if asked.filters == "stdp":
        first, last = learnt.convergence[0], learnt.convergence[-1]
        grown = (
            f"They grew by STDP from {learnt.seen[-1]:,} images, without labels; the mean of w (1 - w) fell from "
            f"{first:.3f} to {last:.4f}."
        )
    elif asked.filters == "initial":
        grown = "They are left as they begin: nothing was learnt."
    else:
        grown = f"They are drawn at random, with a threshold, {learnt.layer.threshold:.3g}, that as many features pass."
    return [many, grown]


def _say_classifier(found: Trained) -> list[str]:
    asked = found.settings
    if asked.activation != "binary":
        return [f"{asked.hidden:,} hidden units, {asked.activation}: a plain network, to compare with."]
    return [
        f"{asked.hidden:,} hidden units are 0 or 1 and logits are whole numbers; the step's derivative is taken to be "
        f"{asked.surrogate}."
    ]


def _say_errors(found: Trained) -> str:
    wrong = int(found.confusion.sum() - np.trace(found.confusion))
    return (
        f"{wrong:,} test images are taken for something else; on validation data {100 * found.validation:.2f} % are "
        "right."
    )


def _list_confusions(found: Trained) -> list[dict[str, str]]:
    off = found.confusion.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:SEEN]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, off.shape), strict=True)]
    return [
        {
            "class": _name(found, i),
            "taken for": _name(found, j),
            "images": str(off[i, j]),
            "of": str(found.confusion[i].sum()),
        }
        for i, j in pairs
        if off[i, j] > 0
    ]


def _draw_convergence(found: Trained) -> list[Figure]:
    if found.learnt is None or len(found.learnt.seen) < 2:
        return []
    plot = go.Figure()
    plot.add_scatter(
        x=found.learnt.seen, y=found.learnt.convergence, mode="lines+markers",
        line={"color": PALETTE[0], "dash": DASHES[0]}, marker={"symbol": SYMBOLS[0]},
        hovertemplate="%{x:,} images: %{y:.3~g}", **named("convergence"),
    )  # fmt: skip
    plot.update_layout(showlegend=False)
    plot.update_xaxes(title="images seen")
    plot.update_yaxes(title="mean of w (1 - w)", rangemode="tozero")
    return [
        Figure(
            "convergence",
            "How far the filters have grown",
            "0 where each weight is 0 or 1. It rises first, as weights leave the value at which they begin.",
            plot,
        )
    ]


def _draw_course(found: Trained) -> Figure:
    plot = go.Figure()
    steps = found.curve["gradient_evaluations"]
    epochs = steps / (steps[-1] / found.settings.epochs)
    plot.add_scatter(
        x=epochs, y=100 * found.curve["validation_metric"], mode="lines+markers",
        line={"color": PALETTE[0], "dash": DASHES[0]}, marker={"symbol": SYMBOLS[0]},
        hovertemplate="epoch %{x:.3~g}: %{y:.2f} %", **named("validation"),
    )  # fmt: skip
    plot.update_layout(showlegend=False)
    plot.update_xaxes(title="epoch")
    plot.update_yaxes(title=axis_title("accuracy on validation data, %"))
    return Figure("course", "The classifier learns", "Accuracy on validation data after each epoch.", plot)


def _draw_confusion(found: Trained) -> Figure:
    names = [_name(found, i) for i in range(len(found.confusion))]
    shares = found.confusion / np.maximum(found.confusion.sum(axis=1, keepdims=True), 1)
    off = 100 * shares.copy()
    np.fill_diagonal(off, np.nan)
    plot = go.Figure()
    plot.add_heatmap(
        z=off, x=names, y=names, colorscale=[[0, "rgba(128,128,128,.08)"], [1, PALETTE[0]]], showscale=False,
        text=found.confusion, hovertemplate="%{y}, taken for %{x}: %{text} images, %{z:.2f} %<extra></extra>",
    )  # fmt: skip
    plot.update_layout(showlegend=False, height=520)
    plot.update_xaxes(title="the classifier's answer", type="category")
    plot.update_yaxes(title="class", type="category", autorange="reversed")
    right = 100 * np.diag(shares)
    return Figure(
        "confusion",
        "What is taken for what",
        f"Of the test images of each class, the share with each wrong answer. Right are from {right.min():.1f} to "
        f"{right.max():.1f} %.",
        plot,
    )
