"""The four pages in a real browser: by mouse, pen, finger and keyboard, wide and narrow."""

from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from steepest.formulas.app.drawing import draw_page
from steepest.formulas.sets import read_set, write_set
from steepest.formulas.sets.made import make_symbols
from tests.formulas.app.conftest import serving
from tests.formulas.app.writing import strokes_of

TEXT = "∀x(P(x)→Q(x))"
WRITTEN = "∀x(P(x) → Q(x))"


@pytest.fixture(scope="module")
def address(tmp_path_factory, model):
    with serving(tmp_path_factory.mktemp("browser") / "data", model) as (address, _):
        yield address


@contextmanager
def opened(browser, address, width=1280, refused=None, **options):
    """A page whose console must stay silent, but for a status of HTTP that is expected."""
    context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True, **options)
    page, said = context.new_page(), []
    page.set_default_timeout(60_000)  # milliseconds: a machine may be slow
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert [text for text in said if refused is None or refused not in text] == []


def write(page, text, pad=".pad", height=56.0):
    corner = page.locator(pad).bounding_box()
    for stroke in strokes_of(text, height=height):
        for k, (x, y) in enumerate(stroke):
            page.mouse.move(corner["x"] + x, corner["y"] + y, steps=3)
            if k == 0:
                page.mouse.down()
        page.mouse.up()


def read(page, text):
    """Wait until the text is what it should be."""
    page.locator("pre.output").get_by_text(text, exact=True).wait_for()


def counted(page, selector, count):
    """Wait until there are so many."""
    for _ in range(600):
        found = page.locator(selector).count()
        if found == count:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{selector}: {found} instead of {count}")


def tab_to(page, expression, start):
    """Press Tab until what has the focus says so."""
    for _ in range(40):
        if str(page.evaluate(expression)).startswith(start):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"nothing that begins with {start!r} gets the focus")


def chooser_by_enter(page):
    """Press Enter for a chooser of files; a busy browser may miss that one is awaited."""
    for _ in range(5):
        try:
            with page.expect_file_chooser(timeout=12_000) as chooser:
                page.keyboard.press("Enter")
            return chooser.value
        except Exception as error:
            if type(error).__name__ != "TimeoutError":
                raise
    raise AssertionError("Enter brings no chooser of files")


def symbol(page, place):
    return page.locator("button.symbol").nth(place)


@pytest.mark.slow
def test_one_draws_corrects_keeps_trains_switches_and_reads_again(browser, tmp_path, model):
    with serving(tmp_path / "data", model) as (address, _), opened(browser, address, refused="status of 409") as page:
        write(page, TEXT)
        read(page, WRITTEN)
        counted(page, ".boxes rect", len(TEXT))
        symbol(page, 7).click()
        page.get_by_text("another", exact=True).click()
        page.locator(".others").get_by_role("button", name="∧", exact=True).click()
        read(page, "∀x(P(x) ∧ Q(x))")
        page.get_by_role("button", name="Undo correction").click()
        read(page, WRITTEN)
        symbol(page, 7).click()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="all symbols as they stand").click()
        page.get_by_role("button", name="OK", exact=True).click()
        page.get_by_text("13 symbols added to My symbols.").wait_for()

        page.get_by_role("link", name="Symbols").click()
        page.get_by_text("13 symbols of 7 classes").wait_for()
        page.get_by_text("so far").wait_for()
        write(page, "∃", ".queue .pad")
        page.keyboard.press("Enter")
        page.get_by_text("14 symbols of 8 classes").wait_for()
        page.get_by_role("button", name="x: 3").click()
        counted(page, "button.tile", 3)

        page.get_by_role("link", name="Train").click()
        page.get_by_label("name").fill("Of my hand")
        page.get_by_label("method").select_option("sngm")
        page.get_by_label("epochs").fill("3")
        page.get_by_label("learning rate").fill("0.1")
        page.get_by_role("button", name="Train", exact=True).click()
        page.get_by_text("finished, epoch 3 of 3").wait_for(timeout=180_000)
        assert page.locator(".chart .curve").count() == 2
        page.locator("table.results").get_by_text("class-balanced accuracy").wait_for()
        page.get_by_role("button", name="Use this model").click()
        if page.get_by_role("button", name="Use it anyway").count():
            page.get_by_role("button", name="Use it anyway").click()
        page.locator(".chip", has_text="in use").wait_for()

        page.get_by_role("link", name="Models").click()
        row = page.locator("tr", has_text="Of my hand")
        row.locator(".chip", has_text="in use").wait_for()
        page.get_by_role("link", name="Read").click()
        page.locator(".pad").wait_for()
        write(page, TEXT)
        counted(page, "button.symbol", len(TEXT))
        page.get_by_role("link", name="Models").click()
        page.get_by_role("button", name="Roll back").click()
        page.locator("tr", has_text="shipped with steepest").locator(".chip", has_text="in use").wait_for()


@pytest.mark.slow
def test_the_page_of_trainings_says_that_it_loads_until_the_server_answers(browser, address):
    with opened(browser, address) as page:
        page.locator(".pad").wait_for()
        held = []
        page.route("**/api/choices", lambda route: held.append(route))
        page.get_by_role("link", name="Train").click()
        loading = page.get_by_text("Loading the methods of training")
        loading.wait_for()
        assert page.locator("form").count() == 0
        held[0].continue_()
        page.get_by_role("button", name="Train", exact=True).wait_for()
        assert loading.count() == 0


def test_the_page_of_trainings_does_not_load_for_ever_when_the_server_refuses(browser, address):
    with opened(browser, address, refused="status of 503") as page:
        page.locator(".pad").wait_for()
        page.route("**/api/choices", lambda route: route.fulfill(status=503, json={"error": "it is busy"}))
        page.get_by_role("link", name="Train").click()
        page.locator("#told").get_by_text("It is busy").wait_for()
        assert page.get_by_text("Loading the methods of training").count() == 0


def picture():
    page = draw_page([np.array(stroke) for stroke in strokes_of(TEXT)])
    return cv2.imencode(".png", np.pad(page.image, 60, constant_values=255))[1].tobytes()


def test_a_picture_that_is_dropped_is_read_and_its_boxes_are_chosen_and_split(browser, address):
    with opened(browser, address) as page:
        page.locator(".pad").wait_for()
        dropped = page.evaluate_handle(
            "bytes => { const data = new DataTransfer(); "
            "data.items.add(new File([new Uint8Array(bytes)], 'page.png', { type: 'image/png' })); return data; }",
            list(picture()),
        )
        page.dispatch_event("main", "drop", {"dataTransfer": dropped})
        read(page, WRITTEN)
        page.locator(".photo .boxes rect").nth(3).click()
        assert symbol(page, 3).get_attribute("aria-pressed") == "true"
        page.get_by_role("button", name="Merge with next").click()
        counted(page, ".photo .boxes rect", len(TEXT) - 1)
        page.get_by_role("button", name="Split").click()
        read(page, WRITTEN)
        page.reload()
        read(page, WRITTEN)


def test_the_keyboard_is_enough(browser, address, tmp_path):
    (tmp_path / "page.png").write_bytes(picture())
    with opened(browser, address) as page:
        page.locator(".pad").wait_for()
        tab_to(page, "document.activeElement.textContent", "Picture …")
        chooser_by_enter(page).set_files(tmp_path / "page.png")
        read(page, WRITTEN)
        tab_to(page, "document.activeElement.className", "symbol")
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+Q")  # instead of P; goes on to the next symbol
        read(page, "∀x(Q(x) → Q(x))")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")  # into the alternatives
        tab_to(page, "document.activeElement.getAttribute('aria-label')", "P,")
        page.keyboard.press("Enter")
        read(page, WRITTEN)
        assert page.evaluate("document.activeElement.className").startswith("symbol")
        page.get_by_label("Language").focus()
        page.keyboard.press("ArrowDown")
        read(page, r"$\forall x(P(x) \to Q(x))$")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").focus()
            page.keyboard.press("Enter")
        assert download.value.path().read_text() == "$\\forall x(P(x) \\to Q(x))$\n"


@pytest.mark.parametrize("kind", ["touch", "pen"])
@pytest.mark.slow
def test_a_finger_and_a_pen_draw_on_a_phone(browser, address, kind):
    with opened(browser, address, 390, has_touch=True, is_mobile=True) as page:
        pad = page.locator(".pad")
        pad.wait_for()
        corner, devtools = pad.bounding_box(), page.context.new_cdp_session(page)
        for stroke in strokes_of("P→Q", height=40):
            points = [{"x": corner["x"] + x, "y": corner["y"] + y} for x, y in stroke]
            if kind == "touch":
                for k, point in enumerate(points):
                    what = "touchMove" if k else "touchStart"
                    devtools.send("Input.dispatchTouchEvent", {"type": what, "touchPoints": [point]})
                devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            else:
                held = {"button": "left", "pointerType": "pen", "clickCount": 1, "force": 0.5}
                devtools.send("Input.dispatchMouseEvent", {"type": "mousePressed", **points[0], **held})
                for point in points[1:]:
                    devtools.send("Input.dispatchMouseEvent", {"type": "mouseMoved", "buttons": 1, **point, **held})
                devtools.send("Input.dispatchMouseEvent", {"type": "mouseReleased", **points[-1], **held})
        read(page, "P → Q")
        assert page.evaluate("window.scrollY") == 0
        page.get_by_role("button", name="Undo stroke").click()
        page.get_by_role("button", name="Undo stroke").click()
        counted(page, "button.symbol", 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(browser, address, scheme):
    with opened(browser, address, 390, color_scheme=scheme) as page:
        page.locator(".pad").wait_for()
        write(page, "P→Q", height=40)
        symbol(page, 1).click()
        for name in (None, "Symbols", "Train", "Models"):
            if name:
                page.get_by_role("link", name=name).click()
                page.locator("h1").wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert back == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 28)")
        page.locator("#theme").click()
        page.reload()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != back


def test_a_folder_of_pictures_is_imported(browser, address, tmp_path):
    made = make_symbols(3, 0, labels="aA∀")
    write_set(made, tmp_path / "set")
    with opened(browser, f"{address}/symbols") as page:
        page.get_by_role("button", name="New set").click()
        page.get_by_label("Name of the new set").fill("from a folder")
        page.get_by_role("button", name="OK", exact=True).click()
        page.get_by_text("0 symbols of 0 classes").wait_for()
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Import folder").click()
        chooser.value.set_files(tmp_path / "set")
        page.get_by_text("9 symbols of 3 classes").wait_for()
        page.get_by_role("button", name="∀: 3").click()
        counted(page, "button.tile", 3)
        page.locator("button.tile").first.click()
        page.get_by_label("Relabel as").select_option("∃")
        page.get_by_role("button", name="∃: 1").wait_for()
        page.locator("button.tile").first.click()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_text("8 symbols of 4 classes").wait_for()
        page.locator("#told").get_by_role("button", name="Undo").click()
        page.get_by_text("9 symbols of 4 classes").wait_for()
        with page.expect_download() as download:
            page.get_by_label("Export").select_option("npz")
        assert len(read_set(download.value.path().rename(tmp_path / "again.npz"))) == 9


def test_what_the_server_refuses_is_said_on_the_page(browser, address, tmp_path):
    (tmp_path / "page.png").write_bytes(b"no picture")
    with opened(browser, address, refused="status of 422") as page:
        page.locator(".pad").wait_for()
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Picture").click()
        chooser.value.set_files(tmp_path / "page.png")
        page.locator("#told").get_by_text("must be a PNG or a JPEG").wait_for()
