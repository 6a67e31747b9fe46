"""The figures of the report as pictures, and a study in a notebook."""

import dataclasses
import io
import shutil
import xml.etree.ElementTree as ET

import pytest

from steepest._errors import InputError, MissingExtraError
from steepest.compare import Study
from steepest.compare.report import drawn
from steepest.compare.report.drawn import drawn_figures, save_figures
from steepest.compare.report.figures import figures
from steepest.compare.report.notebook import result_html
from tests.compare import TINY_FILE
from tests.compare.report.pages import made_up


@pytest.fixture(scope="module")
def summaries():
    return made_up(workloads=("a",), methods=("sgd", "adamw", "ssgd+sngm"), trials=4, seeds=3, points=6)


@pytest.fixture(scope="module")
def painter():
    """Kaleido and its browser."""
    pytest.importorskip("kaleido", reason="kaleido is not installed: pip install 'steepest[figures]'")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("no Chromium: apt-get install chromium")


def test_every_figure_of_the_report_has_its_words_and_a_layout_for_paper(summaries):
    found = drawn_figures(summaries)
    assert list(found) == [figure.key for figure in figures(summaries[0])]
    for figure in figures(summaries[0]):
        paper = found[figure.key]
        assert (paper.title, paper.caption) == (figure.title, figure.caption)
        assert len(paper.plotly.data) == len(figure.plot.data)
        layout = paper.plotly.layout
        assert layout.paper_bgcolor == "#ffffff"
        assert "layout" not in layout.template.to_plotly_json()
        if figure.rows:
            assert list(layout.yaxis.categoryarray) == list(reversed(figure.rows))
        else:
            assert layout.showlegend
    whiskers = found["finals"].plotly
    ends = [
        t.x[0] + side
        for t in whiskers.data
        if t.error_x.array
        for side in (t.error_x.array[0], -t.error_x.arrayminus[0])
    ]
    low, high = whiskers.layout.xaxis.range
    assert low < min(ends)
    assert max(ends) < high


def test_several_comparisons_have_names_of_their_own():
    several = made_up(workloads=("a", "b/c"), methods=("sgd", "adamw"), trials=4, seeds=2, points=6)
    names = list(drawn_figures(several))
    assert "profile" in names
    assert {"a-forest", "b-c-forest", "a-validation", "b-c-validation"} <= set(names)


@pytest.mark.slow
def test_figures_are_svg_png_and_pdf(summaries, painter, tmp_path):
    from PIL import Image

    found = {name: figure for name, figure in drawn_figures(summaries).items() if name in ("forest", "validation")}
    paths = save_figures(found, tmp_path / "new")
    assert [path.name for path in paths] == [f"{name}.{form}" for name in found for form in ("svg", "png", "pdf")]
    for name, figure in found.items():
        size = figure.plotly.layout.width, figure.plotly.layout.height
        svg = ET.parse(tmp_path / "new" / f"{name}.svg").getroot()
        texts = {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
        assert "adamw" in texts
        picture = Image.open(tmp_path / "new" / f"{name}.png")
        assert picture.size == tuple(2 * side for side in size)
        assert len(picture.convert("RGB").getcolors(10**6)) > 20  # and not a blank page
        assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
        assert (tmp_path / "new" / f"{name}.pdf").read_bytes().startswith(b"%PDF-")
    one = found["forest"]
    assert ET.fromstring(one.svg).tag.endswith("svg")
    assert one.save(tmp_path / "one.PNG").stat().st_size > 1000
    assert Image.open(io.BytesIO((tmp_path / "one.PNG").read_bytes())).format == "PNG"


def test_what_cannot_be_drawn_is_one_sentence(summaries, tmp_path, monkeypatch):
    figure = drawn_figures(summaries)["forest"]
    with pytest.raises(InputError, match=r"path must end in \.svg, \.png or \.pdf, got 'a\.gif'"):
        figure.save("a.gif")

    class ChromeNotFoundError(RuntimeError):
        pass

    class Kaleido:
        @staticmethod
        def PageGenerator(mathjax):  # noqa: N802
            return None

        @staticmethod
        def calc_fig_sync(**asked):
            raise ChromeNotFoundError

    monkeypatch.setattr(drawn, "require", lambda *names: Kaleido)
    with pytest.raises(InputError, match="no Chrome or Chromium was found to draw the figures"):
        figure.save(tmp_path / "a.png")
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'steepest\[figures\]'"):
        save_figures({}, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_notebook_shows_the_result_and_loads_nothing_for_it(tmp_path):
    out = tmp_path / "s"
    options = {"methods": ["sgd", "adamw"], "trials": 2, "seeds": 2, "jobs": 1, "out": out}
    assert Study(f"{TINY_FILE}:clouds", **options)._repr_html_() == "<p>A study that has not been run.</p>"
    study = Study(f"{TINY_FILE}:clouds", **options)
    study.run(progress=False)
    shown = Study("/no/such/file.py:clouds", **options)._repr_html_()  # which could not be loaded
    assert shown == study._repr_html_()
    rows = ET.fromstring(f"<div>{shown}</div>").findall(".//tr")
    assert [row[0].text for row in rows] == ["method", *(row.method.name for row in study.summaries()[0].rows)]
    assert set(study.figures()) == {figure.key for figure in figures(study.summaries()[0])}
    assert next(path.name for path in study.latex(tmp_path / "tex")) == "results.tex"


def test_a_name_is_no_markup_in_a_notebook():
    (summary,) = made_up(workloads=("<script>alert(1)</script>",), methods=("sgd", "adamw"), trials=2, seeds=2)
    rows = [
        r if r.method.name == "sgd" else dataclasses.replace(r, method=dataclasses.replace(r.method, name="<b>x"))
        for r in summary.rows
    ]
    shown = result_html([dataclasses.replace(summary, rows=rows)] * 2)
    assert "<script" not in shown
    assert "<b>" not in shown
    assert "&lt;b&gt;x" in shown
