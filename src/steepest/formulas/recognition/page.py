"""The words, figures and files of a recogniser that was trained."""

import base64
from dataclasses import asdict

import cv2
import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from steepest.formulas.image.symbols import SIDE
from steepest.formulas.recognition.results import MODEL, PROGRESS, RESULT, Trained
from steepest.formulas.recognition.settings import Settings
from steepest.formulas.sets.symbol_set import SymbolSet
from steepest.page.figure import Figure
from steepest.page.look import DASHES, PALETTE, SYMBOLS, axis_title, named
from steepest.page.story import Story

FILES = (MODEL, RESULT, PROGRESS)
SEEN = 20  # pairs that the page lists


def story_of(found: Trained, settings: Settings, name: str) -> Story:
    """What the page tells of a training on the set ``name``."""
    tested, total, held_out = found.tested, sum(found.counts.values()), sum(found.tested.counts.values())
    fewest = min(found.counts, key=lambda label: found.counts[label])
    return Story(
        command="formulas train",
        title=f"A recogniser of {len(found.counts)} symbols",
        headline=f"{100 * tested.accuracy:.2f} % of {held_out:,} symbols that were held out are known.",
        facts=(
            f"{name} · {total:,} symbols{_say_fragments(settings)} · {settings.network} · {settings.method}, "
            f"{settings.passes} epochs · seed {settings.seed}"
        ),
        sentences=[
            f"The mean over the classes, each counted alike, is {100 * tested.balanced_accuracy:.2f} %.",
            f"The rarest class, {fewest}, has {found.counts[fewest]:,} symbols in the set.",
            f"Probabilities are those of the network at a temperature of {found.recognizer.temperature:.3g}, which "
            "fits what was held out best.",
        ],
        conventions=(
            "Symbols that are copies of each other, turned ones too, were held out together or not at all. The same "
            "symbols say the accuracy and the temperature"
            + (", and the temperature also what was made of them" if settings.fragments else "")
        ),
        figures=[_draw_course(found, settings)],
        table_title="What was most often taken for something else",
        table=[
            {"symbol": c.was, "taken for": c.said, "times": str(c.count), "of": str(tested.counts[c.was])}
            for c in tested.confusions[:SEEN]
        ]
        or [{"symbol": "nothing was"}],
        rows={
            "epochs": [epoch._asdict() for epoch in found.curve],
            "confusions": [{"symbol": c.was, "taken for": c.said, "times": c.count} for c in tested.confusions],
            "counts": [{"symbol": label, "symbols": count} for label, count in found.counts.items()],
        },
        told={
            "settings": asdict(settings),
            "accuracy": tested.accuracy,
            "balanced_accuracy": tested.balanced_accuracy,
            "seconds": found.seconds,
            "temperature": found.recognizer.temperature,
        },
    )


def pictures_of(found: Trained, symbols: SymbolSet) -> list[dict[str, object]]:
    """The symbols that were taken for others, pair by pair, as pictures that a page shows."""
    return [
        {
            "was": c.was,
            "said": c.said,
            "count": c.count,
            "pictures": [_to_address(symbols.images[i]) for i in c.examples],
        }
        for c in found.tested.confusions[:SEEN]
    ]


def _to_address(bitmap: NDArray[np.uint8]) -> str:
    """Write a bitmap as a PNG within the page: ink, and nothing behind it."""
    ink = np.zeros((SIDE, SIDE, 4), dtype=np.uint8)
    ink[..., :3], ink[..., 3] = 128, 255 * bitmap
    content = cv2.imencode(".png", ink)[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _say_fragments(settings: Settings) -> str:
    return f" and as on pages, {settings.fragments:g} fragments for each" if settings.fragments else ""


def _draw_course(found: Trained, settings: Settings) -> Figure:
    plot = go.Figure()
    plot.add_scatter(
        x=[epoch.epoch for epoch in found.curve],
        y=[epoch.accuracy for epoch in found.curve],
        mode="lines+markers",
        line={"color": PALETTE[0], "dash": DASHES[0]},
        marker={"symbol": SYMBOLS[0]},
        hovertemplate="epoch %{x}: %{y:.2%}",
        **named("held out"),
    )
    plot.update_layout(showlegend=False)
    plot.update_xaxes(title="epoch")
    plot.update_yaxes(title=axis_title("accuracy on what was held out"), tickformat=".0%")
    more = (
        ", on the same as pages show them, and on fragments of them, which are no symbol" if settings.fragments else ""
    )
    caption = f"Accuracy on the symbols that were held out{more}, after each epoch."
    return Figure("course", "How it learnt", caption, plot)
