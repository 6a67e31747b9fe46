"""How large the report is and how soon a browser shows it.

    python benchmarks/report.py

A study of 3 workloads and 8 methods with 16 trials, 10 seeds and 30 points a curve, made up; Chromium, driven by
playwright, opens its page from the disk without network, each time in a new context. Loaded is when the page's load
event ended: tables sort and filter. The first figure is drawn when it is scrolled to. Prints medians, asserts nothing.
"""

import importlib
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from steepest.compare.report import write_report

ROUNDS = 7
LOADED = "() => performance.getEntriesByType('navigation')[0].loadEventEnd"


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent))
    pages: Any = importlib.import_module("tests.compare.report.pages")
    playwright: Any = importlib.import_module("playwright.sync_api")
    with tempfile.TemporaryDirectory() as folder, playwright.sync_playwright() as running:
        summaries = pages.made_up()
        began = time.perf_counter()
        path = write_report(Path(folder), summaries, [pages.INVOCATION])
        print(f"written in {time.perf_counter() - began:.2f} s, {path.stat().st_size / 1e6:.2f} MB")
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=quiet)
        loaded, drawn, messages = [], [], []
        for _ in range(ROUNDS):
            context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
            view = context.new_page()
            view.on("console", lambda message: messages.append(message.text))
            view.on("pageerror", lambda error: messages.append(str(error)))
            view.goto(path.as_uri())
            loaded.append(view.evaluate(LOADED) / 1000)
            began = time.perf_counter()
            view.locator("#plot-profile").scroll_into_view_if_needed()
            view.locator("#plot-profile .main-svg").first.wait_for()
            drawn.append(time.perf_counter() - began)
            context.close()
        print(f"loaded in {statistics.median(loaded):.2f} s (slowest {max(loaded):.2f} s)")
        print(f"first figure {statistics.median(drawn):.2f} s later (slowest {max(drawn):.2f} s)")
        print(f"messages on the console: {len(messages)}")


if __name__ == "__main__":
    main()
