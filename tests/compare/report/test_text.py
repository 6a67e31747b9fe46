"""What users wrote can be shown anywhere without acting: on the page, in Markdown, in a spreadsheet."""

import csv
import dataclasses
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steepest.compare.records.errors import headline
from steepest.compare.report import write_report
from steepest.compare.results.exports import export_csv
from steepest.page.text import csv_cell, harmless, markdown, markdown_code, shortened
from tests.compare.report.pages import INVOCATION, made_up, opened, with_fields

EVIL = "<img src=x onerror=alert(1)>\"'\x1b[31m\u202e%{x}é|*_`$(id)"
BOOM = "<script>alert(1)</script> boom \x1b[31m \u202e unicode é"
TRACEBACK = f"""Traceback (most recent call last):
  File "net.py", line 2, in forward
    raise RuntimeError(said)
RuntimeError: {BOOM}
\tsecond line"""


@given(st.text())
def test_nothing_that_acts_is_left(text):
    for shown in (harmless(text), markdown(text), markdown_code(text), shortened(harmless(text))):
        acting = {c for c in shown if unicodedata.category(c) in ("Cc", "Cf") and c not in "\n\t\u200c\u200d"}
        assert acting == set()
        assert harmless(shown) == shown
    assert "\n" not in markdown(text) + markdown_code(text)


@given(st.text(alphabet="a`\n "))
def test_code_stays_code_whatever_backticks_are_in_it(text):
    code = markdown_code(text)
    fence = re.match("`+", code).group()
    assert fence not in re.findall("`+", code.removeprefix(fence).removesuffix(fence))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1"])
def test_a_text_is_no_formula_and_a_number_stays_one(text):
    assert str(csv_cell(text)).startswith("'")
    assert csv_cell(-1.5) == -1.5
    assert csv_cell("ssgd+sngm") == "ssgd+sngm"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ValueError: a\nb", "ValueError: a ..."),
        ("the process died at once (exit code 3)", "the process died at once (exit code 3)"),
        (TRACEBACK, f"RuntimeError: {BOOM} ... (net.py:2)"),
        (f"{TRACEBACK}\n\nDuring it:\n\nTraceback (most recent call last):\n  File 1\nKeyError: 'a'",
         "KeyError: 'a' (net.py:2)"),
        ("Traceback (most recent call last):\n  File 1\nValueError: \n  first words\nmore",
         "ValueError: first words ..."),
        ("Traceback (most recent call last):\n  File 1\nKeyboardInterrupt", "KeyboardInterrupt"),
        ("  \n", "an error without a text"),
    ],
)  # fmt: skip
def test_an_error_is_told_by_its_type_and_first_line(error, said):
    assert headline(error) == said


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A study whose workload, method and errors mean harm."""

    def change(record):
        if record.method == "sngm":
            record = dataclasses.replace(record, method=EVIL)
        lost = record.method == EVIL and record.phase == "tune" and record.trial > 0
        return dataclasses.replace(record, status="failed", error=TRACEBACK, curve=None) if lost else record

    (summary,) = made_up(workloads=("a",), methods=("sgd", "sngm", "adamw"), trials=4, seeds=3, points=4)
    methods = [dataclasses.replace(m, name=EVIL if m.name == "sngm" else m.name) for m in summary.spec.methods]
    workload = dataclasses.replace(summary.spec.workload, name=EVIL, metric_name=f"={EVIL}")
    summary = with_fields(summary, change, methods=tuple(methods), name=EVIL, workload=workload)
    folder = tmp_path_factory.mktemp("evil")
    command = {**INVOCATION, "command": "steepest compare 'a`date`.py:w\x1b[31m'"}
    return summary, write_report(folder, [summary], [command])


@pytest.mark.slow
def test_a_page_full_of_evil_names_is_silent_and_shows_them(browser, evil):
    _, path = evil
    view = opened(browser, path)
    shown = harmless(EVIL)
    assert view.locator("#legend .key").all_inner_texts().count(shown) == 1
    assert shown in view.locator("h1").inner_text()
    for fold in view.locator("details").all():
        fold.evaluate("fold => (fold.open = true)")
    failed = view.locator(".failures details")
    assert failed.count() == 1  # three runs that failed alike
    assert f"search runs 2, 3 and 4: RuntimeError: {harmless(BOOM)}" in failed.locator("summary").inner_text()
    assert "raise RuntimeError(said)" in failed.locator("pre").inner_text()
    assert "second line" in failed.locator("pre").inner_text()
    view.locator("#plot-forest .main-svg").first.wait_for()
    view.locator("#final button.open", has_text="onerror").click()
    text = view.evaluate("document.documentElement.textContent")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert view.evaluate("[...document.images].length") == 0
    assert view.messages == []
    view.context.close()


def test_markdown_and_csv_of_evil_names(evil, tmp_path):
    summary, path = evil
    text = path.with_name("report.md").read_text()
    assert not set("\x1b\u202e") & set(text)
    assert "<img" not in text
    assert "`` " not in text.split("Command: ")[0]
    assert "Command: ``steepest compare 'a`date`.py:w" in text
    for line in text.splitlines():
        if line.startswith("| &lt;img"):
            assert "\\|\\*" in line
            assert "\\`$(id)" in line
    named = with_fields(summary, lambda r: dataclasses.replace(r, method="=1+1") if r.method == EVIL else r,
                        methods=tuple(dataclasses.replace(m, name="=1+1") if m.name == EVIL else m
                                      for m in summary.spec.methods), name="@a")  # fmt: skip
    for file in export_csv([named], tmp_path):
        with file.open(newline="", encoding="utf-8") as opened_file:
            rows = list(csv.DictReader(opened_file))
        assert {row["comparison"] for row in rows} == {"'@a"}
        assert "'=1+1" in {row["method"] for row in rows}
    assert all(float(row["gradient_evaluations"]) > 0 for row in rows if "gradient_evaluations" in row)
