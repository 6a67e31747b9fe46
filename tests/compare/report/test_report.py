"""The report: in words, escaped, and in a real browser."""

import dataclasses
import io
import re

import pytest
from rich.console import Console

from steepest.cli.tables import across_table, result_table
from steepest.compare.analysis.profiles import across
from steepest.compare.analysis.summary import summarize
from steepest.compare.records.record import Record
from steepest.compare.report import write_report
from steepest.compare.report.across import title
from tests.compare import TINY_FILE
from tests.compare.report.pages import made_up, opened, scrolled_through, unfolded, with_fields
from tests.compare.study.frozen import freeze

PLOTLY = r'<script type="text/plain" id="plotly">.*?</script>'
TRACEBACK = """Traceback (most recent call last):
  File "steps.py", line 3, in step
ValueError: <boom>
<second line>"""
TINY = str(TINY_FILE)
INVOCATION = {
    "command": "steepest compare 'a<b>' --methods x",
    "jobs": 2,
    "started": 0.0,
    "machine": "A <i>processor</i>, 2 cores",
    "versions": {"steepest": "0.1.0", "torch": "2.13.0"},
}


def records(names, trials=4, seeds=3):
    curve = {
        "gradient_evaluations": [6, 12, 18],
        "train_loss": [1.0, 0.5, 0.1],
        "validation_loss": [1.0, 0.5, 0.2],
        "validation_metric": [0.5, 0.8, 0.9],
    }
    found = []
    for n, name in enumerate(names):
        for i in range(trials):
            lost = i == 3 and n == 1
            found.append(
                Record("w", name, "tune", i, 0, {"lr": 10.0 ** (i - 3)}, "diverged" if lost else "finished", 0, 1,
                       validation_metric=None if lost else 0.7 + 0.05 * (i == 1) + 0.01 * n, validation_loss=1.0)
            )  # fmt: skip
        for i in range(seeds):
            reached, metric = 12 if n == 0 else None, 0.8 + 0.01 * i + 0.02 * n + 0.001 * n * (i - 1)
            found.append(
                Record("w", name, "final", i, i + 1, {"lr": 0.01}, "finished", 0, 1, test_metric=metric,
                       evaluations_to_target=reached, seconds=1.5, curve=curve, device="cpu")
            )  # fmt: skip
    return found


def page_of(tmp_path, workload, methods, names, extra=(), more=(), sharpness=False):
    references = [*(f"{TINY}:{m}" for m in methods), *more]
    spec = freeze(f"{TINY}:{workload}", references, trials=4, seeds=3, measure=["sharpness"] * sharpness)
    found = [*records([*names, *more]), *extra]
    if sharpness:
        found = [
            r if r.phase == "tune" else dataclasses.replace(r, measures={"sharpness": 2.0 + r.seed}) for r in found
        ]
    return write_report(tmp_path, [summarize(spec, found)], [INVOCATION, INVOCATION])


@pytest.fixture
def page(tmp_path):
    failed = Record("w", "good", "tune", 3, 0, {"lr": 1.0}, "failed", 0, 1, error=TRACEBACK)
    return page_of(tmp_path, "clouds", ["good", "twin"], ["good", "twin"], [failed])


@pytest.fixture
def estimators_page(tmp_path):
    return page_of(tmp_path, "clouds", ["good"], ["good"], more=["ssgd+sngm", "sam"], sharpness=True)


@pytest.fixture
def hostile_page(tmp_path):
    return page_of(tmp_path, "marked", ["good", "named_badly"], ["good", "<b>bold</b>|</script>"])


def test_page_is_self_contained_and_small_enough(page):
    text = page.read_text()
    body = re.sub(PLOTLY, "", text, count=1, flags=re.S)  # without Plotly's own code
    assert len(text) < 8_000_000
    assert not re.search(r"""(src|href)\s*=\s*["']?https?:""", body)
    assert not re.search(r"url\(|@import", body)


def test_markdown_says_what_the_page_says(page):
    text = page.with_name("report.md").read_text()
    for words in (
        "**On clouds, where good reaches 81.00\u00a0% test accuracy (3 seeds)",
        "| twin | 83.00\u00a0% |",
        "| ∞ | 0/3 |",
        "1/7",
        "## Failed runs",
        "ValueError: &lt;boom>",
        "seeds 1, 2, 3",
        "`steepest compare 'a<b>' --methods x`",
        "torch 2.13.0",
        "18 gradient evaluations",
        "- Seeds: with 3 seeds you could have seen",
        "- Search: by validation accuracy, 2 of the 4 trials",
        "- Order: no two methods change places with a target 5 % lower or higher or at 67\u00a0% of the budget.",
        "| evaluations to 70\u00a0% | twin = good |",
    ):
        assert words in text
    assert text.count("Command:") == 1  # said once, though run twice


def test_nothing_of_a_users_becomes_markup(hostile_page):
    text = hostile_page.read_text()
    script = text.index('id="data"')
    for bad in ("<img src=x", "<b>bold", "<script>alert", "</script><script>", "<i>processor", "<i>'"):
        assert bad not in text[: text.index('id="plotly"')]
        assert bad not in text[script:]
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    plots = text[text.index(">", script) + 1 : text.index("</script>", script)]
    assert "\\u003cextra>" in plots  # the one character that could end the script element is not there
    assert "<" not in plots
    row = next(
        line for line in hostile_page.with_name("report.md").read_text().splitlines() if "bold" in line and "|" in line
    )
    assert "\\|" in row
    assert "<b>" not in row


@pytest.mark.slow
def test_what_a_step_costs_where_the_gradient_comes_from_and_how_sharp_it_ends(browser, estimators_page):
    text = estimators_page.with_name("report.md").read_text()
    note = "largest eigenvalue of the Hessian of the loss at the final weights, over all 120 training samples"
    cost = "sam pays 2 gradient evaluations per step, and so takes half as many steps: 9 of 18."
    for words in ("| 4 (3 to 5) |", note, cost, "| ssgd (alpha=0.05, noise=sign, per=tensor) |", "| plain |"):
        assert words in text
    tables = tables_of(text)
    assert [len(table) for table in tables] == [5, 5, 9, 5]
    for table in tables:
        assert len({line.count("|") for line in table}) == 1
    view = opened(browser, estimators_page)
    unfolded(view)
    table = view.locator("#final")
    assert table.locator("thead").inner_text().count("Sharpness") == 1
    assert [row.inner_text() for row in table.locator("td[data-label=Sharpness]").all()] == ["4\n3 to 5"] * 3
    how = view.locator("table").last
    cells = {len(row.locator("th, td").all()) for row in how.locator("tr").all()}
    assert cells == {7}
    assert table.locator("tbody").inner_text().count("2 gradient evaluations per step") == 1
    for words in (note, cost, "sam (rho=0.05)", "at the noisy weights"):
        assert words in view.inner_text("body")
    view.context.close()


def test_a_study_without_any_of_that_says_nothing_of_it(page):
    for path in (page, page.with_name("report.md")):
        text = re.sub(PLOTLY, "", path.read_text(), count=1, flags=re.S)
        for words in ("harpness", "evaluations per step, and", "Gradient</th>", "noisy weights", "| gradient |"):
            assert words not in text


def tables_of(markdown):
    blocks = (block.splitlines() for block in re.split(r"\n\s*\n", markdown))
    return [lines for lines in blocks if lines[0].startswith("|")]


def test_every_markdown_table_has_the_same_columns_in_every_row(hostile_page):
    tables = tables_of(hostile_page.with_name("report.md").read_text())
    assert len(tables) == 4
    for table in tables:
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table}) == 1


@pytest.mark.slow
def test_how_far_to_trust_it(browser, page):
    view = opened(browser, page)
    said = [item.inner_text().split(":")[0] for item in view.locator(".caveats li").all()]
    assert said == ["Seeds", "Search", "Choice", "Order"]
    headings = [heading.text_content() for heading in view.locator("h2, h3").all()]
    places = ("Differences to good", "Results", "How far to trust it", "The luck of the search", "How it was measured")
    assert [heading for heading in headings if heading in places] == list(places)
    assert not view.locator("#plot-luck").is_visible()
    assert view.locator("#plot-forest").is_visible()
    top, caveats = (view.locator(what).first.bounding_box()["y"] for what in ("#final", ".caveats"))
    assert top < caveats  # the table comes first
    view.locator("a[href='#trust']").click()
    assert view.evaluate("location.hash") == "#trust"
    trusted = view.locator("#trusted")
    assert trusted.locator("tbody tr").count() == 2
    assert trusted.locator("td[data-label='Found by the search']").first.inner_text() == "76.00\u00a0%"
    assert view.locator("#ordered tbody tr").count() == 7
    assert "twin = good" in view.locator("#ordered").inner_text()
    view.locator("#plot-luck").scroll_into_view_if_needed()
    view.locator("#plot-luck .main-svg").first.wait_for()
    drawn = view.locator("#plot-luck").evaluate("plot => plot.data.map((trace) => trace.name)")
    assert set(drawn) == {"good", "twin"}
    assert view.locator(".plot .legend").count() == 0  # it is there once, for all figures
    assert view.messages == []
    view.context.close()


@pytest.mark.parametrize("which", ["page", "hostile_page", "estimators_page"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.slow
def test_in_a_browser_without_network(browser, request, which, width, scheme):
    path = request.getfixturevalue(which)
    view = opened(browser, path, width=width, scheme=scheme)
    unfolded(view)
    scrolled_through(view)
    assert view.messages == []  # no error, no warning, no dialog
    assert view.requests == [path.as_uri()]
    assert view.locator(".plot .main-svg").count() >= 7
    assert view.evaluate("document.documentElement.scrollWidth") <= width  # nothing sticks out on a phone
    if width < 700:
        hidden = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
        assert view.evaluate(hidden) == 0  # nor is anything cut off in a table
    background = view.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 28)")
    assert view.locator("#final tbody tr").count() == (3 if which == "estimators_page" else 2)
    if which == "hostile_page":
        assert view.locator("#final tbody th").first.inner_text().startswith(("good", "<b>bold</b>|</script>"))
        assert view.locator("#legend .key").all_inner_texts() == ["good", "<b>bold</b>|</script>"]
        assert "<b>bold</b>|</script>" in view.locator("#plot-forest").text_content()
        view.locator("#final button.open").first.click()
        scrolled_through(view)
        metric = "</script><script>alert(2)</script>"
        assert view.locator("tr.detail .ytitle").text_content() == f"validation {metric}"
        assert metric in view.locator("tr.detail table").first.inner_text()
        assert view.messages == []
    view.context.close()


@pytest.mark.slow
def test_theme_button_and_hover(browser, page):
    view = opened(browser, page)
    scrolled_through(view)
    axis = "#plot-validation .xtitle"
    before = view.locator(axis).evaluate("e => getComputedStyle(e).fill")
    view.click("#theme")
    assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 28)"
    view.wait_for_function(f"getComputedStyle(document.querySelector('{axis}')).fill !== '{before}'")
    view.locator("#plot-finals .scatterlayer .point").first.hover(force=True)
    view.wait_for_selector("#plot-finals .hoverlayer .hovertext")
    assert "seed" in view.locator("#plot-finals .hoverlayer").text_content()
    assert view.messages == []
    view.context.close()


@pytest.mark.slow
def test_a_study_without_results_still_has_a_page(browser, tmp_path):
    spec = freeze(f"{TINY}:clouds", [f"{TINY}:good"], trials=4, seeds=3)
    path = write_report(tmp_path, [summarize(spec, [])], [])
    context = browser.new_context()
    view = context.new_page()
    errors = []
    view.on("pageerror", lambda error: errors.append(str(error)))
    view.goto(path.as_uri())
    assert "Unfinished: 0 of 7 runs are finished." in view.inner_text("body")
    for absent in (".caveats", "#trusted", "#ordered", "a[href='#trust']"):
        assert view.locator(absent).count() == 0
    assert errors == []
    context.close()


def test_the_terminal_has_a_table_for_several_workloads():
    summaries = made_up(workloads=("a", "b"), methods=("sgd", "sngm"), trials=4, seeds=3, points=8)
    console = Console(width=200, file=io.StringIO())
    console.print(result_table(summaries))
    console.print(across_table(across(summaries, "sgd"), summaries[0].spec))
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    firsts = [line[0] for line in lines]
    orders = [[row.method.name for row in summary.rows] for summary in summaries]
    scored = [row.method for row in across(summaries, "sgd")]
    assert firsts == ["method", "a", *orders[0], "b", *orders[1], "method", *scored]
    assert lines[-1][-3:] == ["2", "of", "2"]


def test_a_name_of_several_lines_is_one_line_in_the_terminal():
    renamed = []
    for summary in made_up(workloads=("a\nb", "c"), methods=("sgd", "sngm"), trials=4, seeds=3, points=8):
        first, *others = summary.rows
        method = dataclasses.replace(first.method, name="m\r\n\x1b[31mn")
        renamed.append(dataclasses.replace(summary, rows=[dataclasses.replace(first, method=method), *others]))
    console = Console(width=200, file=io.StringIO())
    console.print(result_table(renamed))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 1 + 2 * 3
    assert {"a b", "c"} < {line.strip() for line in lines}
    assert sum(line.startswith(r"m \x1b[31mn") for line in lines) == 2


def test_titles_say_what_was_compared():
    summaries = made_up(workloads=("a", "a"), methods=("sgd", "sngm"), trials=2, seeds=2, points=3)
    assert title(summaries[:1]) == "a: 2 methods compared"
    assert title([summaries[0], with_fields(summaries[1], batch_size=64)]) == "a with 2 batch sizes: 2 methods compared"
    other = with_fields(summaries[1], workload=dataclasses.replace(summaries[1].spec.workload, name="b"))
    assert title([summaries[0], other]) == "2 workloads: 2 methods compared"
