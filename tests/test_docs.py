"""The documentation: it builds without a warning, names everything public, its code runs, its pages are complete."""

import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from runpy import run_path

import pytest
import torch
from typer.main import get_command

from steepest.cli import app
from tests.markdown import ROOT, python_block_count, python_blocks, run_python_blocks

DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(DOCS.rglob("*.md"))
METHODS = sorted((DOCS / "methods").glob("*.md"))
SECTIONS = [
    "The rule",
    "Where it comes from",
    "Not to be confused with",
    "Unit of lr and where to start",
    "Weight decay",
    "Batch size",
    "When not to use it",
    "Clipping",
    "Memory and traffic",
    "Published figures",
    "What we measured",
]
ROOMS = [
    "steepest",
    "steepest.optim",
    "steepest.gradients",
    "steepest.gradients.permutations",
    "steepest.schedules",
    "steepest.diagnostics",
    "steepest.diagnostics.diffusion",
    "steepest.causal",
    "steepest.compression",
    "steepest.spiking",
    "steepest.spiking.continual",
    *(f"steepest.formulas.{room}" for room in ("logic", "image", "sets", "sets.made", "recognition", "reading", "app")),
    "steepest.theory.committee",
    "steepest.theory.momentum",
    "steepest.testing",
    "steepest.compare",
    "steepest.data",
]


def relative(page):
    return str(page.relative_to(DOCS))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "STEEPEST_DOCS_STUDY": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("page", [p for p in PAGES if python_block_count(p) and p.name != "own-loop.md"], ids=relative)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some leave a folder behind
    torch.manual_seed(0)
    run_python_blocks(page)


def numbers(text):
    return [float(number) for number in re.findall(r"[\d.]+", text)]


def test_the_tutorial_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = DOCS / "tutorials" / "own-loop.md"
    run_python_blocks(page)
    printed = capsys.readouterr().out.strip()
    said = "\n".join(re.findall(r"^```text\n(.*?)\n```", page.read_text(), re.DOTALL | re.MULTILINE))
    assert re.sub(r"[\d.]+", "0", printed) == re.sub(r"[\d.]+", "0", said)
    assert numbers(printed) == pytest.approx(numbers(said), rel=0.02)  # another machine rounds otherwise


def test_the_tutorial_shows_the_files_of_the_examples():
    blocks = python_blocks(DOCS / "tutorials" / "compare.md")
    assert (ROOT / "examples" / "digits_cnn.py").read_text() in blocks


@pytest.mark.slow
def test_the_tutorials_first_study_prints_what_it_says(tmp_path):
    page = DOCS / "tutorials" / "compare.md"
    (command,) = [c for c in commands(page) if "--seeds 3" in c and "--plan" not in c]
    (tmp_path / "digits_cnn.py").write_text((ROOT / "examples" / "digits_cnn.py").read_text())
    words = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    table = [line.rstrip() for line in done.stdout.splitlines()[:4]]
    assert "\n".join(table) in page.read_text()


def commands(page):
    """The commands of a page that stand in an indented block, each in one line."""
    text = re.sub(r" *\\\n +", " ", page.read_text())
    return re.findall(r"^ {4}(steepest (?!--).*)$", text, re.MULTILINE)


@pytest.mark.parametrize("page", [p for p in [*PAGES, README] if commands(p)], ids=lambda page: page.name)
def test_every_command_can_be_typed(page):
    known = get_command(app).commands
    for line in commands(page):
        _, name, *arguments = shlex.split(line, comments=True)
        command = known[name]
        if hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        command.make_context(name, arguments)  # raises where an option is not known


def test_the_pictures_are_those_of_the_commands_beside_them():
    tool = run_path(str(ROOT / "tools" / "pictures.py"))
    for name, picture in tool["PICTURES"].items():
        shown = [page for page in [*PAGES, README] if f"images/{name}.webp" in page.read_text()]
        command = tool["STUDIES"][picture.study].command
        assert any(command in page.read_text() or command in " ".join(commands(page)) for page in shown), name
        assert (DOCS / "images" / f"{name}.webp").stat().st_size <= tool["LARGEST"]


def test_the_live_report_is_that_of_the_tutorial():
    command = run_path(str(DOCS / "live_report.py"))["COMMAND"]
    assert command in commands(DOCS / "tutorials" / "compare.md")


@pytest.mark.parametrize("page", METHODS, ids=relative)
def test_a_method_page_has_all_sections(page):
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == SECTIONS


def test_every_optimizer_has_a_page():
    modules = {path.stem for path in (ROOT / "src/steepest/optim").glob("*.py") if "(ScaledSGD)" in path.read_text()}
    assert modules <= {page.stem for page in METHODS}


def test_no_page_tells_of_this_machine():
    assert [relative(page) for page in PAGES if f"{ROOT.parent}/" in page.read_text()] == []


def test_the_reference_names_everything_public(site):
    paths = re.findall(r'id="(steepest\.[\w.]+)"', reference(site))
    # Not by `pkgutil.resolve_name` at once, which takes the module `steepest.data.digits` for the function.
    shown = [getattr(pkgutil.resolve_name(parent), name) for parent, _, name in (p.rpartition(".") for p in paths)]
    for room in ROOMS:
        for name in importlib.import_module(room).__all__:
            thing = getattr(importlib.import_module(room), name)
            assert name == "__version__" or any(thing is s for s in shown), f"{room}.{name} is on no page of reference/"


def reference(site):
    """All pages of the reference."""
    return "".join(page.read_text() for page in sorted((site / "reference").glob("*.html")))


def test_docstrings_came_through_as_markdown(site):
    text = reference(site)
    assert not re.search(r":(class|func|meth|attr|mod):|code-block|<blockquote|<autoref", text)
    assert 'href="#steepest.BlockNormalizedSGD"' in text.partition('id="steepest.SNGM"')[2].partition("<h2")[0]


def test_every_command_and_option_is_on_its_page(site):
    text = (site / "commands.html").read_text()
    for name, command in run_path(str(DOCS / "commands.py"))["_commands"]().items():
        section = text.partition(f'<h2 id="{name.replace(" ", "-")}">')[2].partition("<h2")[0]
        assert f"steepest {name}" in section
        for option in (o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")):
            assert re.search(rf"<code>{option}[ <]", section), f"{name} {option}"
        assert not re.search(r"Default:|[|]", section)


def test_formulas_are_set(site):
    for page in (page for page in PAGES if "$`" in page.read_text() or "```math" in page.read_text()):
        text = (site / relative(page)).with_suffix(".html").read_text()
        source = page.read_text()
        assert text.count("<math ") == source.count("```math") + source.count("`$"), relative(page)
        assert "\\left" not in text


@pytest.mark.slow
def test_pages_fit_a_phone_and_ask_the_network_for_nothing(site, browser):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    for file in sorted(site.rglob("*.html")):
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, file.name
    page.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
