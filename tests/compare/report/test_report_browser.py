"""What a reader does with the page of a study of several workloads, in a real browser without network."""

import csv
import dataclasses
import math
import xml.etree.ElementTree as ElementTree

import pytest

from steepest.compare.report import write_report
from tests.compare.report.pages import INVOCATION, made_up, opened, scrolled_through, unfolded, with_fields

SAID = 'ValueError: "a", <b>'
FIRST = "#final tbody tr[data-row]"


@pytest.fixture(scope="module")
def summaries():
    return made_up()


@pytest.fixture(scope="module")
def path(summaries, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("page"), summaries, [INVOCATION])


@pytest.fixture(scope="module")
def small(summaries, tmp_path_factory):
    """One workload and few runs, with several targets and a pruner."""

    def change(record):
        if record.phase == "tune" and record.trial == 0:
            return dataclasses.replace(record, status="pruned")
        if record.phase == "tune" and record.status == "diverged":
            return dataclasses.replace(
                record, status="failed", error=f"Traceback (most recent call last):\n  File 1\n{SAID}\nmore"
            )
        return record

    (summary,) = made_up(workloads=("digits-mlp",), methods=("sgd", "adamw", "sngm"), trials=4, seeds=3, points=8)
    summary = with_fields(summary, change, targets=(0.85, 0.91, 0.99), pruner="median")
    return write_report(tmp_path_factory.mktemp("small"), [summary], [INVOCATION])


def silent(browser, path):
    """The page of a file, on whose console nothing may have been said in the end."""
    view = opened(browser, path)
    yield view
    messages = view.messages
    view.context.close()
    assert messages == []


@pytest.fixture
def view(browser, path):
    yield from silent(browser, path)


@pytest.fixture
def small_view(browser, small):
    yield from silent(browser, small)


def names(view, table="final"):
    rows = view.locator(f"#{table} > tbody > tr[data-row]:visible th")
    return [text.split("\n")[0].removesuffix("\u203a").strip() for text in rows.all_inner_texts()]


def saved(view, button):
    with view.expect_download() as download:
        button.click()
    return download.value.suggested_filename, download.value.path()


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_size_and_what_is_drawn_at_first(path, view):
    assert path.stat().st_size < 8_000_000
    assert view.locator(".main-svg").count() == 0  # the first figure is below two tables
    assert view.requests == [path.as_uri()]


@pytest.mark.slow
def test_verdicts_scores_and_tabs(view, summaries):
    assert view.locator("h1").inner_text() == "3 workloads: 8 methods compared"
    assert view.locator(".verdicts li").count() == 3
    assert view.locator("#across tbody tr").count() == view.locator("#overview tbody tr").count() == 8
    tabs = view.locator("[role=tab]")
    assert tabs.all_inner_texts() == ["digits-mlp", "fashion-cnn", "tiny-shakespeare"]
    assert view.locator("[role=tabpanel]:visible").get_attribute("id") == "comparison"
    tabs.nth(0).focus()
    view.keyboard.press("ArrowRight")
    assert tabs.nth(1).get_attribute("aria-selected") == "true"
    assert view.locator("[role=tabpanel]:visible").get_attribute("id") == "comparison-2"
    assert view.evaluate("document.activeElement.id") == "tab-2"
    assert [tab.get_attribute("tabindex") for tab in tabs.all()] == ["-1", "0", "-1"]
    assert names(view, "final-2") == [row.method.name for row in summaries[1].rows]
    view.locator(".verdicts a").nth(2).click()
    assert view.locator("[role=tabpanel]:visible").get_attribute("id") == "comparison-3"
    view.goto(view.url.split("#")[0] + "#trust-2")
    view.locator("#trusted-2").wait_for()  # it is unfolded
    assert view.evaluate("scrollY") > 500
    view.locator("#plot-profile").scroll_into_view_if_needed()
    assert view.locator("#legend .key").count() == 8


@pytest.mark.slow
def test_sorting_with_mouse_and_keyboard(view, summaries):
    by_mean = [row.method.name for row in summaries[0].rows]
    assert names(view) == by_mean
    heading = view.locator("#final th[data-by=method]")
    heading.locator("button").click()
    assert names(view) == sorted(by_mean)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.locator("button").press("Enter")
    assert names(view) == sorted(by_mean, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    cost = {row.method.name: row.evaluations_to_target for row in summaries[0].rows}
    view.locator("#final th[data-by=evaluations_to_target] button").press("Space")
    assert [cost[name] for name in names(view)] == sorted(cost.values())
    assert heading.get_attribute("aria-sort") == "none"
    difference = view.locator("#final th[data-by=difference] button")
    for _ in range(2):
        heading.locator("button").click()
        heading.locator("button").click()  # from Z to A, then back: where it stood before makes no difference
        for _ in range(2):
            difference.click()
            assert names(view)[-1] == "sgd"  # it has none, which comes last either way
        heading.locator("button").click()
    assert names(view, "overview")[0] == "sgd"  # the other tables stay as they are


@pytest.mark.slow
def test_a_miss_comes_after_every_number(small_view):
    heading = small_view.locator("#targets th[data-by='evaluations_to_0.91'] button")
    cells = "#targets tbody td:nth-child(3)"
    heading.click()
    up = [text.split("\n")[0] for text in small_view.locator(cells).all_inner_texts()]
    heading.click()
    down = [text.split("\n")[0] for text in small_view.locator(cells).all_inner_texts()]
    numbers = [math.inf if text == "∞" else float(text.replace(",", "")) for text in up]
    assert numbers == sorted(numbers)
    assert down == up[::-1]
    assert numbers[0] < numbers[-1] == math.inf


@pytest.mark.slow
def test_filters(view, summaries):
    view.fill("#filter-final", "SNGM")
    assert sorted(names(view)) == ["sngm", "ssgd+sngm"]
    assert view.locator("section:has(#final) .kept").inner_text() == "2 of 8"
    view.fill("#filter-final", "")
    assert len(names(view)) == 8
    view.locator("#tab-2").click()
    judged = {row.method.name: row.comparison.verdict for row in summaries[1].rows}
    view.select_option("#verdict-final-2", "worse")
    assert names(view, "final-2") == [name for name, verdict in judged.items() if verdict == "worse"] != []
    view.fill("#filter-final-2", "nobody")
    assert names(view, "final-2") == []


@pytest.mark.slow
def test_from_a_row_to_its_runs_and_their_curves(view, summaries):
    row = summaries[0].rows[1]
    opener = view.locator(f"{FIRST} button.open").nth(1)
    assert opener.get_attribute("aria-expanded") == "false"
    opener.press("Enter")
    assert opener.get_attribute("aria-expanded") == "true"
    detail = view.locator("tr.detail")
    assert detail.locator("table").count() == 2
    finals, search = (detail.locator("table").nth(i).locator("tbody tr") for i in (0, 1))
    assert (finals.count(), search.count()) == (10, 16)
    shown = [f"{100 * r.test_metric:.2f}\u00a0%" for r in row.finals]
    assert detail.locator("table").nth(0).locator("tbody td:nth-child(4)").all_inner_texts() == shown
    assert search.locator("svg.spark").count() == sum(r.curve is not None for r in row.tuned)
    chosen = detail.locator("tr.chosen td:nth-child(2)").inner_text()
    assert chosen == str(row.chosen.trial + 1)
    plot = detail.locator(".plot")
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()
    traces = "e => e.data.filter(t => t.yaxis !== 'y2').map(t => [t.name, t.y])"
    drawn = plot.evaluate(traces)
    assert [name for name, _ in drawn] == [f"seed {s}" for s in range(1, 11)]
    assert drawn[3][1] == pytest.approx(row.finals[3].curve["validation_metric"], rel=1e-4)
    finals.nth(0).locator("input").press("Space")
    search.nth(4).click()
    left = [name for name, _ in plot.evaluate(traces)]
    assert left == ["trial 5, lr 0.00631", *(f"seed {s}" for s in range(2, 11))]
    boxes = detail.locator("thead input")
    assert boxes.nth(0).evaluate("e => [e.checked, e.indeterminate]") == [False, True]
    boxes.nth(0).click()
    assert len(plot.evaluate(traces)) == 11
    detail.locator("th[data-by=test_metric] button").click()
    ordered = [float(t.split("\u00a0")[0]) for t in finals.locator("td:nth-child(4)").all_inner_texts()]
    assert ordered == sorted(ordered)
    view.locator("#final th[data-by=method] button").click()
    follows = "e => e.previousElementSibling.querySelector('.name').innerText"
    assert detail.evaluate(follows).startswith(row.method.name)  # the runs go with their row
    view.locator("#final tr.opens td:nth-child(3)").nth(5).click()
    assert detail.count() == 2
    opener = view.locator(f"{FIRST} button.open[aria-expanded=true]")
    for _ in range(2):
        opener.first.click()
    assert view.locator("tr.detail").count() == 0


@pytest.mark.slow
def test_the_csv_of_a_table_has_the_shown_rows_and_every_digit(view, summaries):
    view.fill("#filter-final", "s")
    view.locator("#final th[data-by=test_metric] button").click()
    name, path = saved(view, view.get_by_label("Save table final as CSV"))
    assert name == "digits-mlp-final.csv"
    rows = read_csv(path)
    own = {row.method.name: row for row in summaries[0].rows}
    kept = [name for name in own if "s" in name][::-1]
    assert [row["method"] for row in rows] == names(view) == kept
    for row in rows:
        shown = own[row["method"]]
        assert float(row["test_metric"]) == shown.mean
        assert float(row["lr"]) == shown.chosen.hyperparameters["lr"]
        interval = shown.comparison.interval
        assert row["difference_low"] == ("" if interval is None else repr(interval.low))
    assert path.read_bytes().count(b"\r\n") == len(rows) + 1
    view.locator("#final button.open").first.click()
    name, path = saved(view, view.locator("tr.detail button[aria-label$='-search as CSV']"))
    assert name == f"digits-mlp-{rows[0]['method']}-search.csv"
    tuned = own[rows[0]["method"]].tuned
    assert [float(row["lr"]) for row in read_csv(path)] == [r.hyperparameters["lr"] for r in tuned]


@pytest.mark.slow
def test_every_table_and_every_figure_can_be_saved(small_view):
    unfolded(small_view)
    scrolled_through(small_view)
    buttons = small_view.locator("button[aria-label^='Save ']")
    assert buttons.count() == 5 + 7
    for i, button in enumerate(buttons.all()):
        if i == 9:
            small_view.wait_for_timeout(1100)  # Chromium lets a page save ten files a second
        name, path = saved(small_view, button)
        if name.endswith(".svg"):
            root = ElementTree.parse(path).getroot()
            assert root.tag.endswith("svg")
            assert len(list(root.iter())) > 50
        else:
            assert len(read_csv(path)) >= 3


@pytest.mark.slow
def test_a_figure_goes_into_a_paper_in_light_colours(browser, small):
    view = opened(browser, small, scheme="dark")
    _, path = saved(view, view.get_by_label("Save figure validation as SVG"))
    text = path.read_text()
    assert "rgb(255, 255, 255)" in text  # the background
    assert "rgb(28, 33, 38)" in text  # of the words
    assert "validation accuracy" in text
    view.context.close()


@pytest.mark.slow
def test_what_a_failed_run_said_is_shown_and_saved(small_view):
    small_view.locator("#final button.open", has_text="adamw").click()
    assert small_view.locator("tr.detail .warn").inner_text() == f"{SAID} ..."
    assert small_view.locator("tr.detail input:disabled").count() == 1
    _, path = saved(small_view, small_view.get_by_label("Save table adamw-search as CSV"))
    assert [row["error"] for row in read_csv(path)] == ["", "", "", f"{SAID} ..."]


@pytest.mark.slow
def test_axes_turn_logarithmic_and_back(small_view):
    unfolded(small_view)
    scrolled_through(small_view)
    for key, label, axis, before in (
        ("loss", "log y", "yaxis", "log"),
        ("loss", "log x", "xaxis", "linear"),
        ("lr", "log x", "xaxis", "log"),
        ("validation", "log x", "xaxis", "linear"),
    ):
        section = small_view.locator(f"section:has(#plot-{key})")
        state = f"e => [e._fullLayout.{axis}.type, e._fullLayout.{axis}.title.text.includes('(log)')]"
        toggle = section.get_by_role("button", name=label)
        for turn in (before, {"log": "linear", "linear": "log"}[before], before):
            assert section.locator(".plot").evaluate(state) == [turn, turn == "log"]
            assert toggle.get_attribute("aria-pressed") == str(turn == "log").lower()
            toggle.click()


@pytest.mark.slow
def test_hovering_a_curve_names_its_run(small_view):
    small_view.locator("#final button.open").first.click()
    plot = small_view.locator("tr.detail .plot")
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()
    plot.scroll_into_view_if_needed()
    box = plot.locator(".nsewdrag").first.bounding_box()
    point = "e => [e._fullLayout.xaxis.d2p(e.data[0].x[4]), e._fullLayout.yaxis.d2p(e.data[0].y[4])]"
    x, y = plot.evaluate(point)
    small_view.mouse.move(box["x"] + x, box["y"] + y)
    plot.locator(".hovertext").first.wait_for()
    assert "seed" in plot.locator(".hoverlayer").text_content()


@pytest.mark.slow
def test_several_targets_and_a_pruner(small_view, small):
    headings = small_view.locator("#targets th[data-by^=evaluations]").all_inner_texts()
    assert headings == ["85\u00a0%", "91\u00a0%", "99\u00a0%"]
    assert set(small_view.locator("#targets td:nth-child(4)").all_inner_texts()) == {"∞\n0 of 3 seeds"}
    stopped = "3 of 12 runs of the search were stopped early by the pruner median"
    assert stopped in small_view.inner_text("body")
    assert "1 stopped early" in small_view.locator("#final").inner_text()
    unfolded(small_view)
    scrolled_through(small_view)
    symbols = small_view.locator("#plot-lr").evaluate("e => e.data.flatMap(t => t.marker?.symbol ?? [])")
    assert symbols.count("triangle-down-open") == 3
    markdown = small.with_name("report.md").read_text()
    assert stopped in markdown
    assert "| method | 85\u00a0% | 91\u00a0% | 99\u00a0% |" in markdown


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(browser, path, scheme):
    view = opened(browser, path, width=390, scheme=scheme)
    top_of_tabs = "document.querySelector('.tabs').getBoundingClientRect().top + scrollY"
    before = view.evaluate(top_of_tabs)
    view.locator("#plot-profile").scroll_into_view_if_needed()
    view.locator("#plot-profile .main-svg").first.wait_for()
    assert view.evaluate(top_of_tabs) == before  # a figure that is drawn moves nothing under a finger
    view.locator("[role=tab]").nth(1).click()
    view.locator("#final-2 button.open").first.click()
    for plot in view.locator("#comparison-2 .plot").all()[:3]:
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for()
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    tools = view.locator("section:has(#final-2) .tools").first
    tools.get_by_label("Sort by").select_option("method")
    assert names(view, "final-2") == sorted(names(view, "final-2"))
    tools.get_by_label("Turn the order round").click()
    assert names(view, "final-2") == sorted(names(view, "final-2"), reverse=True)
    assert view.messages == []
    view.context.close()


@pytest.mark.slow
def test_a_study_that_has_just_begun(browser, tmp_path):
    summaries = made_up(workloads=("a", "b"), methods=("sgd", "sngm"), trials=4, seeds=3, points=5, share=0.4)
    view = opened(browser, write_report(tmp_path, summaries, []))
    assert "Unfinished: 12 of 28 runs are finished." in view.inner_text("#top")
    assert "follow when every method has final runs on all workloads." in view.inner_text("body")
    assert view.locator("#across").count() == 0
    for opener in view.locator("#final button.open").all():
        opener.click()
    assert view.locator("tr.detail table").count() == 2
    assert "No run has ended yet." in view.locator("tr.detail").nth(1).inner_text()
    assert view.messages == []
    view.context.close()


def test_markdown_has_the_scores_too(path, summaries):
    text = path.with_name("report.md").read_text()
    for words in ("# 3 workloads: 8 methods compared", "## Across workloads", "| method | score |"):
        assert words in text
    assert text.count("\n## fashion-cnn\n") == 1
    assert text.count("### How it was measured") == 3
    scores = [float(line.split("|")[2]) for line in text.splitlines() if " of 3 |" in line]
    assert scores == sorted(scores, reverse=True)
    assert [len(scores), *(0 < x < 1 for x in scores)] == [8] + [True] * 8
