"""The page on paper, and the one legend of all its figures, in a real browser."""

import pytest

from steepest.compare.report import write_report
from steepest.compare.report.style import looks
from steepest.page.swatch import swatch
from tests.compare.report.pages import INVOCATION, made_up, many, opened, scrolled_through, unfolded, until

SHOWN = "plot => [...new Set(plot.data.map((trace) => trace.name).filter(Boolean))].sort()"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = made_up(workloads=("a", "b"), methods=("sgd", "adamw", "sngm"), trials=4, seeds=3, points=5)
    return write_report(tmp_path_factory.mktemp("paper"), made, [INVOCATION])


@pytest.mark.slow
def test_printing_draws_every_figure_of_every_tab_in_light_colours(browser, path):
    view = opened(browser, path, scheme="dark")
    plots = view.locator(".plot").count()
    assert plots == 1 + 2 * 7
    assert view.locator(".plot:has(.main-svg)").count() < plots
    view.evaluate("""() => addEventListener("beforeprint", () => {
      const paints = [...document.querySelectorAll(".plot .xtitle")].map((e) => getComputedStyle(e).fill);
      const folds = [...document.querySelectorAll("details.fold")].map((fold) => fold.open);
      const hidden = [...document.querySelectorAll(".plot")].filter((plot) => !plot.getClientRects().length);
      const wide = [...document.querySelectorAll(".plot .main-svg")].map((e) => e.getBoundingClientRect().width);
      window.printed = [[...new Set(paints)], folds.every(Boolean), hidden.length, Math.max(...wide)];
    })""")
    assert len(view.pdf(format="A4")) > 100_000
    assert view.locator(".plot:has(.main-svg)").count() == plots
    colours, all_open, hidden, widest = view.evaluate("window.printed")
    assert (colours, all_open, hidden) == (["rgb(28, 33, 38)"], True, 0)  # the light theme's words
    assert widest <= 680  # on A4 with margins of 12 mm
    until(view, "document.querySelectorAll('details.fold[open]').length === 0")
    view.locator("#plot-forest").scroll_into_view_if_needed()
    axis = "getComputedStyle(document.querySelector('#plot-forest .xtitle')).fill"
    until(view, f"{axis} === 'rgb(230, 234, 238)'")  # dark again
    assert view.messages == []
    view.context.close()


@pytest.mark.slow
def test_paper_keeps_its_colours_and_leaves_the_tools_out(browser, path):
    view = opened(browser, path, scheme="dark")
    view.emulate_media(media="print", color_scheme="dark")
    assert view.evaluate("getComputedStyle(document.body).color") == "rgb(28, 33, 38)"
    assert view.evaluate("getComputedStyle(document.querySelector('.chip')).printColorAdjust") == "exact"
    assert not any(view.locator(what).first.is_visible() for what in (".tools", ".tabs", "#theme", "#keys-all"))
    assert view.evaluate("[...document.querySelectorAll('[role=tabpanel]')].every((e) => e.getClientRects().length)")
    view.context.close()


@pytest.mark.slow
def test_the_legend_hides_a_method_in_every_figure_of_every_tab(browser, path):
    view = opened(browser, path)
    scrolled_through(view)
    key = view.locator("#legend .key", has_text="adamw")
    key.focus()
    view.keyboard.press("Space")
    assert key.get_attribute("aria-pressed") == "false"
    assert view.locator("#plot-forest").evaluate(SHOWN) == ["sngm"]
    assert view.locator("#plot-validation").evaluate(SHOWN) == ["sgd", "sngm"]
    assert view.locator("#plot-profile").evaluate(SHOWN) == ["sgd", "sngm"]
    view.locator("#tab-2").click()
    unfolded(view)
    scrolled_through(view)
    for figure in ("forest", "validation", "lr", "luck"):
        assert "adamw" not in view.locator(f"#plot-{figure}-2").evaluate(SHOWN)
    view.locator("#keys-none").click()
    assert view.locator("#plot-lr-2").evaluate(SHOWN) == []
    view.locator("#keys-all").click()
    assert view.locator("#plot-lr-2").evaluate(SHOWN) == ["adamw", "sgd", "sngm"]
    view.locator("#tab").click()
    view.locator("#plot-validation").scroll_into_view_if_needed()
    until(view, "document.getElementById('plot-validation').data.length === 6")  # a line and a band each
    assert view.messages == []
    view.context.close()


@pytest.mark.parametrize("number", [7, 30])
@pytest.mark.slow
def test_no_legend_lies_over_a_plot_on_a_phone(browser, tmp_path, number):
    view = opened(browser, write_report(tmp_path, [many(number)], []), width=390)
    scrolled_through(view)
    assert view.locator("#legend .key").count() == number
    assert view.locator(".plot .legend").count() == 0
    assert view.locator("#legend").bounding_box()["height"] < 60  # one line, scrolled sideways, stays in sight
    assert abs(view.locator("#legend").evaluate("e => e.getBoundingClientRect().top")) < 1
    room = """plot => { const [area, title] = [".nsewdrag", ".xtitle"].map((e) => plot.querySelector(e));
      return title.getBoundingClientRect().top - area.getBoundingClientRect().bottom; }"""
    for figure in ("forest", "validation", "loss"):
        assert view.locator(f"#plot-{figure}").evaluate(room) > 0
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    view.context.close()


def test_thirty_methods_look_different_from_each_other():
    for number in (8, 30, 200):
        found = looks(many(number))
        assert len(set(found.values())) == number
        assert len({swatch(look) for look in found.values()}) == number


@pytest.mark.slow
def test_nothing_on_the_page_offers_to_upload(browser, path):
    view = opened(browser, path)
    plot = view.locator("#plot-forest")
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()
    plot.hover()
    titles = plot.locator(".modebar-btn").evaluate_all("all => all.map((e) => e.dataset.title)")
    assert titles == ["Zoom", "Pan", "Zoom in", "Zoom out", "Autoscale", "Reset axes"]
    view.context.close()
