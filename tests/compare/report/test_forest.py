"""The forest plot: its numbers are those of the table, and what it shows can be told without colours."""

import dataclasses
import json

import pytest

from steepest.compare.report import write_report
from steepest.compare.report.data import page_data
from steepest.compare.report.figures import figures
from steepest.compare.results.formats import format_difference, format_difference_interval
from steepest.compare.results.tables import results, trust
from steepest.page.data import to_json
from tests.compare.report.pages import METHODS, made_up, many, opened, with_fields


@pytest.fixture(scope="module")
def summary():
    return made_up(workloads=("digits-mlp",), trials=4, seeds=6, points=5)[0]


def forest(summary):
    return next(figure for figure in figures(summary) if figure.key == "forest")


def drawn(summary):
    """What the page's script gets: method to its bar and to its band."""
    figure = forest(summary)
    data = json.loads(to_json(page_data([summary], {"forest": figure}, {}, "")))["figures"]["forest"]["data"]
    kinds = ("scatter", "bar")
    return [{trace["meta"]: trace for trace in data if trace["type"] == kind} for kind in kinds]


def column(table, name):
    at = table.columns.index(name)
    return {row[0]: row[at] for row in table.rows}


@pytest.mark.parametrize("percent", [True, False])
def test_its_numbers_are_the_tables_to_the_last_digit(summary, percent):
    summary = with_fields(summary, workload=dataclasses.replace(summary.spec.workload, percent=percent))
    bars, bands = drawn(summary)
    ends = [column(results(summary), name) for name in ("difference_low", "difference", "difference_high")]
    unseen = column(trust(summary), "detectable")
    others = [row for row in summary.rows if row.method.name != "sgd"]
    assert bars.keys() == bands.keys() == {row.method.name for row in others}
    by = 100 if percent else 1
    for row in others:
        name, comparison = row.method.name, row.comparison
        assert bars[name]["x"] == [by * end[name] for end in ends]
        assert bands[name]["base"] == [-by * unseen[name]]
        assert bands[name]["x"] == [2 * by * unseen[name]]
        for text in (
            format_difference(summary.spec, comparison.difference),
            format_difference_interval(summary.spec, comparison.interval),
            comparison.verdict,
        ):
            assert text in bars[name]["hovertemplate"]


@pytest.mark.parametrize("higher", [True, False])
def test_the_best_is_on_top_and_a_verdict_is_a_form_too(summary, higher):
    sgd = {r.seed: r.test_metric for row in summary.rows if row.method.name == "sgd" for r in row.finals}
    moved = {"adamw": lambda seed: -0.1 + seed / 1000, "lars": lambda seed: 0.004 * (-1) ** seed}

    def change(record):
        if record.phase == "tune" or record.method not in moved:
            return record
        return dataclasses.replace(record, test_metric=sgd[record.seed] + moved[record.method](record.seed))

    workload = dataclasses.replace(summary.spec.workload, higher_is_better=higher)
    summary = with_fields(summary, change, workload=workload)
    figure, (bars, _) = forest(summary), drawn(summary)
    differences = column(results(summary), "difference")
    assert list(figure.rows) == sorted(bars, key=differences.__getitem__, reverse=higher)
    verdicts = {row.method.name: row.comparison.verdict for row in summary.rows}
    assert {"better", "worse", "no difference seen"} <= set(verdicts.values())
    sides = {"better": ("left", "right")[higher], "worse": ("right", "left")[higher]}
    for name, bar in bars.items():
        symbol, seen = bar["marker"]["symbol"][1], verdicts[name] != "no difference seen"
        assert symbol == (f"triangle-{sides[verdicts[name]]}" if seen else "circle-open")
        assert bar["line"]["dash"] == ("solid" if seen else "dot")
    assert len({bar["line"]["color"] for bar in bars.values()}) == 3
    (arrow,) = figure.plot.layout.annotations
    assert (arrow.text, arrow.x) == ("better →" if higher else "← better", 0)  # on the right are the buttons of Plotly
    assert ("\N{DOWNWARDS ARROW}" in figure.plot.layout.xaxis.title.text) is not higher


def test_who_has_no_pair_is_named_and_one_seed_has_no_interval(summary):
    def change(record):
        lost = record.method == "adamw" and record.phase == "final"
        return dataclasses.replace(record, status="diverged", test_metric=None) if lost else record

    figure = forest(with_fields(summary, change))
    assert "adamw" not in figure.rows
    assert "not drawn, for want of a pair of finished runs: adamw." in figure.caption
    alone = made_up(workloads=("a",), methods=("sgd", "sngm"), trials=2, seeds=1, points=3)[0]
    bars, bands = drawn(alone)
    assert (len(bars["sngm"]["x"]), bars["sngm"]["marker"]["symbol"], bands) == (1, ["x-thin-open"], {})
    assert "\N{MULTIPLICATION SIGN} no verdict" in forest(alone).caption
    baseline = made_up(workloads=("a",), methods=("sgd",), trials=2, seeds=2, points=3)
    assert "forest" not in [figure.key for figure in figures(baseline[0])]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.slow
def test_it_stands_under_the_headline_and_nothing_of_it_is_cut_off(browser, tmp_path, width):
    made = many(30)
    names = [method.name for method in made.spec.methods]
    view = opened(browser, write_report(tmp_path, [made], []), width=width)
    view.locator("#plot-forest .main-svg").first.wait_for()
    place = view.locator("#plot-forest").bounding_box()
    headline = view.locator("#top").bounding_box()
    assert place["y"] - headline["y"] - headline["height"] < 150
    outside = """(plot, width) => [...plot.querySelectorAll(".main-svg text, .points path")]
      .map((e) => e.getBoundingClientRect()).filter((box) => box.left < 0 || box.right > width).length"""
    assert view.locator("#plot-forest").evaluate(outside, width) == 0
    said = view.locator("#plot-forest").evaluate("plot => [...plot.querySelectorAll('text')].map((e) => e.textContent)")
    assert set(names[1:]) <= set(said)
    view.context.close()


def test_it_is_there_for_every_comparison():
    summaries = made_up(methods=METHODS[:2], trials=2, seeds=2, points=3)
    assert [figures(summary)[0].key for summary in summaries] == ["forest"] * 3
