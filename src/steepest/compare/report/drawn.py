"""The figures of the report as they stand on paper: light, with a legend, each an object that saves itself.

They are Plotly's, so that a browser draws them: Kaleido, which Plotly maintains for that, drives a Chrome or Chromium
of this machine, and asks no network. CairoSVG and resvg draw SVG, of which there is none before a browser has drawn.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from steepest._errors import InputError, StudyError, argument, require
from steepest._files import write_atomically
from steepest.compare.analysis.profiles import across, comparable
from steepest.compare.analysis.summary import Summary
from steepest.compare.report.across import profile_figure
from steepest.compare.report.batch_sizes import sweep_figures
from steepest.compare.report.figures import figures
from steepest.compare.report.paper import on_paper
from steepest.page.figure import Figure

FORMATS = ("svg", "png", "pdf")
_DENSITY = 2  # pixels of a PNG for one of these


@dataclass(frozen=True)
class DrawnFigure:
    """A figure of the report, on white.

    Args:
        name: of its file, without an ending.
        title, caption: what the report says of it; neither is in the picture.
        plotly: the Plotly figure, for changes of your own.
    """

    name: str
    title: str
    caption: str
    plotly: go.Figure = field(repr=False)

    @cached_property
    def svg(self) -> str:
        """The picture as SVG.

        Raises:
            MissingExtraError: Kaleido is not installed.
            InputError: there is no Chrome or Chromium.
        """
        return self._draw("svg").decode()

    def save(self, path: str | Path) -> Path:
        """Write the picture; the path ends in .svg, .png or .pdf. A PNG has two pixels for one.

        Raises:
            InputError: it ends otherwise, or nothing can draw it.
            StudyError: it cannot be written.
        """
        target = Path(path)
        form = target.suffix.removeprefix(".").lower()
        if form not in FORMATS:
            raise InputError(f"{argument('path')} must end in .svg, .png or .pdf, got {str(path)!r}")
        content = self.svg.encode() if form == "svg" else self._draw(form)
        try:
            write_atomically(target, content)
        except OSError as error:
            raise StudyError(f"the figure could not be written to {str(target)!r} ({error.strerror})") from error
        return target

    def options(self, form: str) -> dict[str, Any]:
        """What Kaleido is told beside the figure."""
        size = {"width": self.plotly.layout.width, "height": self.plotly.layout.height}
        return {"format": form, **size, "scale": _DENSITY if form == "png" else 1}

    def _draw(self, form: str) -> bytes:
        kaleido = require("kaleido", "figures")
        asked = {"fig": self.plotly.to_dict(), "opts": self.options(form)}
        drawn: bytes = _with_browser(lambda: kaleido.calc_fig_sync(**asked, kopts=_by(kaleido)))
        return drawn


def drawn_figures(summaries: Sequence[Summary]) -> dict[str, DrawnFigure]:
    """All figures of the report, by name, in its order; of several comparisons the names begin with theirs."""
    several = len(summaries) > 1
    whole: dict[str, Figure] = {}
    if comparable(summaries):
        scores = across(summaries, summaries[0].spec.baseline)
        whole |= {"profile": profile_figure(scores, summaries)} if any(row.reached for row in scores) else {}
    found = {_plain(key): figure for key, figure in {**whole, **sweep_figures(summaries)}.items()}
    for summary in summaries:
        for figure in figures(summary):
            name = _plain(f"{summary.spec.name}-{figure.key}" if several else figure.key)
            found[_choose_free(name, found)] = figure
    return {name: DrawnFigure(name, figure.title, figure.caption, on_paper(figure)) for name, figure in found.items()}


def save_figures(drawn: Mapping[str, DrawnFigure], into: Path) -> list[Path]:
    """Write figures as SVG, PNG and PDF, by one browser; returns their paths. Files of these names are replaced.

    Args:
        into: a folder, made if it is not there.

    Raises:
        MissingExtraError: Kaleido is not installed.
        InputError: there is no Chrome or Chromium, or a file in the folder's place.
        StudyError: it cannot be written.
    """
    kaleido = require("kaleido", "figures")
    if into.exists() and not into.is_dir():
        raise InputError(f"{argument('figures')} must be a folder, got the file {str(into)!r}")
    asked = [
        {"fig": figure.plotly.to_dict(), "path": into / f"{name}.{form}", "opts": figure.options(form)}
        for name, figure in drawn.items()
        for form in FORMATS
    ]
    try:
        into.mkdir(parents=True, exist_ok=True)
        if asked:
            _with_browser(lambda: kaleido.write_fig_from_object_sync(asked, kopts=_by(kaleido), cancel_on_error=True))
    except OSError as error:
        raise StudyError(f"the figures could not be written to {str(into)!r} ({error.strerror})") from error
    return [each["path"] for each in asked]


def _by(kaleido: Any) -> dict[str, Any]:
    """Say how Kaleido draws: without MathJax, which it would ask the network for."""
    return {"page_generator": kaleido.PageGenerator(mathjax=False)}


def _with_browser(draw: Any) -> Any:
    try:
        return draw()
    except Exception as error:
        if type(error).__name__ == "ChromeNotFoundError":
            raise InputError(
                "no Chrome or Chromium was found to draw the figures; install one, run 'kaleido_get_chrome', or name "
                "it in the environment variable BROWSER_PATH"
            ) from error
        raise


def _plain(name: str) -> str:
    """Make a name fit to be a file's."""
    return re.sub(r"[^\w.+=-]+", "-", name).strip(".-") or "figure"


def _choose_free(name: str, taken: Mapping[str, object]) -> str:
    found, n = name, 2
    while found in taken:
        found, n = f"{name}-{n}", n + 1
    return found
