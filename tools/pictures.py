"""Make the pictures of the documentation anew: run their studies, photograph the pages in Chromium.

    python tools/pictures.py FOLDER [NAME ...]

The studies go into FOLDER and are not run again where they have ended; the pictures into docs/images/.
"""

import io
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
LARGEST = 150_000  # bytes


@dataclass(frozen=True)
class Study:
    """A command without its --out, and from where it is typed: of steepest, or a script's; or first a program that
    makes its data, both then in the folder of the studies."""

    command: str
    folder: str = "."
    page: str = "report.html"
    before: str = ""


@dataclass(frozen=True)
class Picture:
    """What lies between two elements of a study's page, both included."""

    study: str
    first: str
    last: str
    width: int = 900
    legend: bool = False  # put the page's legend below the first element, where it is far away


STUDIES = {
    "seven": Study("steepest compare digits-mlp --trials 16 --seeds 10"),
    "sizes": Study("steepest compare digits-mlp --methods sgd,sngm,adamw --batch-size 32,128,512 --trials 8 --seeds 5"),
    "three": Study(
        "steepest compare digits-mlp examples/digits_cnn.py:digits examples/wine.py:wine "
        "--methods sgd,sngm,bng,adamw --trials 8 --seeds 5"
    ),
    "first": Study(
        "steepest compare digits_cnn.py:digits --methods sgd,sngm,adamw --trials 6 --seeds 3",
        "examples",
    ),
    "second": Study(
        "steepest compare digits_cnn.py:digits --methods sgd,sngm,adamw --trials 16 --seeds 10", "examples"
    ),
    "geometry": Study("python examples/noise_geometry.py"),
    "diagnosis": Study("steepest diagnose digits-mlp --method sgd"),
    "range": Study("steepest lr-range digits-mlp --method sngm", page="lr-range.html"),
    "momentum-escape": Study("steepest theory momentum --preset escape"),
    "momentum-optimum": Study("steepest theory momentum --preset optimum"),
    "momentum-annealing": Study("steepest theory momentum --preset annealing"),
    "momentum-equal-step": Study("steepest theory momentum --preset equal-step"),
    "committee-plateau": Study("steepest theory committee --preset plateau"),
    "committee-overparametrised": Study("steepest theory committee --preset overparametrised"),
    "committee-learning-rate": Study("steepest theory committee --preset learning-rate"),
    "orders": Study(
        "steepest compare permutation-toy --methods reinforce+adam,loo+adam,relax-free+adam,neural-sort+adam "
        "--epochs 5 --trials 8 --seeds 5"
    ),
    "compress": Study("steepest compress digits-mlp --budget 2 --sparsity 0.5,0.8 --epochs-per-layer 5"),
    "spiking": Study("steepest spiking mnist --lr 0.1"),
    "continual": Study("steepest continual digits"),
    "causal": Study(
        "steepest causal table.csv",
        before="from steepest.causal.simulation import linear_gaussian; "
        "linear_gaussian(12, degree=2.5, seed=5).data.to_csv('table.csv', index=False)",
    ),
}
FOREST, LR = "section:has(> .head #h-forest)", "section:has(> .head #h-lr)"
CURVES, PROFILE = "section:has(> .head #h-validation)", "section:has(> .head #h-profile)"
FIGURE = "section:has(> .head #h-{})"
SWEEP = "section:has(> .head #h-sweep-{})"
PICTURES = {
    "report": Picture("seven", ".kicker", "section:has(#results)", 1120),  # from there on a verdict stays on its line
    "forest": Picture("seven", FOREST, FOREST),
    "lr-sensitivity": Picture("seven", LR, LR, legend=True),
    "batch-sizes": Picture("sizes", SWEEP.format("cost"), SWEEP.format("lr"), legend=True),
    "profile": Picture("three", PROFILE, PROFILE, legend=True),
    "noise-geometry": Picture("geometry", ".plotly-graph-div", ".plotly-graph-div"),
    "diagnosis": Picture("diagnosis", FIGURE.format("noise-scale"), FIGURE.format("tests")),
    "diagnosis-plane": Picture("diagnosis", FIGURE.format("surface"), FIGURE.format("surface")),
    "lr-range": Picture("range", FIGURE.format("loss"), FIGURE.format("information")),
    "momentum-escape": Picture("momentum-escape", FIGURE.format("outside"), FIGURE.format("outside")),
    "momentum-optimum": Picture("momentum-optimum", FIGURE.format("variance"), FIGURE.format("variance")),
    "momentum-ends": Picture("momentum-optimum", FIGURE.format("ends"), FIGURE.format("ends")),
    "momentum-annealing": Picture("momentum-annealing", FIGURE.format("variance"), FIGURE.format("variance")),
    "momentum-equal-step": Picture("momentum-equal-step", FIGURE.format("mean"), FIGURE.format("mean")),
    "committee-plateau": Picture("committee-plateau", FIGURE.format("error-first"), FIGURE.format("overlaps")),
    "committee-overparametrised": Picture("committee-overparametrised", FIGURE.format("end"), FIGURE.format("end")),
    "committee-ends": Picture("committee-overparametrised", FIGURE.format("ends"), FIGURE.format("ends")),
    "committee-learning-rate": Picture("committee-learning-rate", FIGURE.format("end"), FIGURE.format("end")),
    "orders": Picture("orders", ".kicker", FOREST),
    "causal-graph": Picture("causal", FIGURE.format("graph"), FIGURE.format("graph")),
    "spiking": Picture("spiking", FIGURE.format("filters"), FIGURE.format("spikes")),
    "continual": Picture("continual", FIGURE.format("matrices"), FIGURE.format("matrices")),
    "compress": Picture("compress", FIGURE.format("comparison"), FIGURE.format("weights")),
    "tutorial-first": Picture("first", ".kicker", FOREST),
    "tutorial-second": Picture("second", ".kicker", "section:has(#results)"),
    "tutorial-curves": Picture("second", CURVES, CURVES, legend=True),
    "tutorial-search": Picture("second", LR, LR, legend=True),
}


def run(name: str, work: Path) -> Path:
    """Run a study, or see that it has ended; returns its page."""
    study, out = STUDIES[name], work.absolute() / name
    program, *words = shlex.split(study.command)
    command = [sys.executable, *(["-m", program] if program == "steepest" else []), *words, "--out", str(out)]
    where = work if study.before else ROOT / study.folder
    if study.before:
        subprocess.run([sys.executable, "-c", study.before], cwd=where, check=True)
    subprocess.run(command, cwd=where, check=True)
    return out / study.page


def photograph(page: Page, picture: Picture) -> bytes:
    """The picture as a file's content."""
    page.evaluate("document.querySelectorAll('details.fold').forEach(e => e.open = true)")
    if picture.legend:
        below = "section => section.querySelector('.plot').after(document.querySelector('.legend'))"
        page.locator(picture.first).first.evaluate(below)
    for selector in (picture.first, picture.last):
        page.locator(selector).first.scroll_into_view_if_needed()
        page.wait_for_timeout(1500)  # figures are drawn when they come into sight
    page.evaluate("window.scrollTo(0, 0)")
    first, last = (page.locator(s).first.bounding_box() for s in (picture.first, picture.last))
    assert first, f"{picture.first} is not on the page"
    assert last, f"{picture.last} is not on the page"
    top, bottom = first["y"], last["y"] + last["height"] + 12
    shot = page.screenshot(full_page=True, clip={"x": 0, "y": top, "width": picture.width, "height": bottom - top})
    packed = io.BytesIO()
    Image.open(io.BytesIO(shot)).convert("RGB").save(packed, "WEBP", lossless=True, method=6)
    return packed.getvalue()


def main() -> None:
    work, names = Path(sys.argv[1]), sys.argv[2:] or list(PICTURES)
    pages = {name: run(name, work) for name in dict.fromkeys(PICTURES[name].study for name in names)}
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in names:
            picture = PICTURES[name]
            page = browser.new_page(viewport={"width": picture.width, "height": 900}, color_scheme="light")
            page.goto(pages[picture.study].as_uri())
            content = photograph(page, picture)
            page.close()
            if len(content) > LARGEST:
                sys.exit(f"{name} has {len(content)} bytes, more than {LARGEST}")
            (IMAGES / f"{name}.webp").write_bytes(content)
        browser.close()


if __name__ == "__main__":
    main()
