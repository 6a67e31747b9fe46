"""The experiments' pages: every preset, its numbers beside the library's, in a browser."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from steepest._errors import InputError
from steepest.page.story import write_story
from steepest.theory.experiments import momentum as experiment
from steepest.theory.experiments.momentum import PRESETS, Found, Settings, run_momentum
from steepest.theory.experiments.momentum_page import say_end, story_of
from steepest.theory.experiments.momentum_starts import crossing
from steepest.theory.momentum import StreamingPCA

SMALL = {"lr": 2e-3, "replicas": 20, "steps": 300}


def small(preset):
    settings = replace(PRESETS[preset].settings, **SMALL)
    return replace(settings, anneal_at=100) if settings.anneal_at else settings


@pytest.fixture(scope="module", params=PRESETS)
def done(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "here"
    found = run_momentum(small(request.param), folder)
    write_story(folder, story_of(found, PRESETS[request.param].claim), "steepest <b>theory</b>")
    return folder, found


@pytest.mark.slow
def test_numbers_are_the_librarys(done):
    folder, found = done
    told = json.loads((folder / "theory.json").read_text())
    curve, _, simulated = found.curves[0]
    theory = StreamingPCA([4, 3, 2, 1], lr=2e-3, momentum=0.9)
    start = {"saddle": 2, "optimum": 1, "equal": None}[found.settings.start]
    again = theory.simulate(20, 300, 0, start=start, at=simulated.steps.tolist(), exits=(1, 0.3))
    for name, value in again._asdict().items():
        assert name in ("seconds", "snapshots", "positions") or np.array_equal(getattr(simulated, name), value), name
    rows = [row for row in told["curves"] if row["curve"] == curve.name]
    steps = [row["step"] for row in rows]
    expected = {
        "saddle": lambda: ("outside", theory.exit_probability(0.3, steps, sphere=True), again.outside),
        "optimum": lambda: ("variance", theory.variance(steps)[:, 1], again.variance[:, 1]),
        "equal": lambda: ("mean", theory.mean_path(steps)[:, 0], again.mean[:, 0]),
    }
    key, predicted, measured = expected[found.settings.start]()
    assert [row[f"{key}.theory"] for row in rows] == predicted.tolist()
    assert [row[f"{key}.simulation"] for row in rows] == measured.tolist()
    if found.settings.start == "saddle":
        assert told["numbers"][0]["predicted"] == theory.exit_time(0.3, sphere=True)
        assert told["numbers"][0]["simulated"] == again.exit_time()
    assert told["settings"] == json.loads(json.dumps(found.settings.__dict__))
    assert told["command"] == "steepest <b>theory</b>"
    with open(folder / "curves.csv", newline="") as file:
        assert [float(row[f"{key}.theory"]) for row in csv.DictReader(file) if row["curve"] == curve.name] == [
            *predicted
        ]


def test_every_curve_has_its_rule_and_the_ends_are_tried_at_equal_steps(done):
    _, found = done
    rules = [(curve.lr, curve.momentum) for curve, *_ in found.curves]
    assert rules[:3] == [(2e-3, 0.9), (2e-3, 0.0), (pytest.approx(0.02), 0.0)]
    assert len(rules) == (5 if found.settings.anneal_at else 3)
    by_curve = [[row["effective_lr"] for row in found.ends if row["curve"] == name] for name in
                ("momentum 0.9", "no momentum, lr / (1 - momentum)")]  # fmt: skip
    assert by_curve == [pytest.approx([0.01, 0.02, 0.04, 0.08, 0.16])] * 2


@pytest.mark.slow
def test_the_page_is_whole_escaped_and_asks_the_network_for_nothing(done, browser):
    folder, found = done
    page = browser.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("file:") else None)
    page.goto((folder / "report.html").as_uri())
    for key in (*(quantity.key for quantity in found.start.quantities), "ends"):
        page.locator(f"#plot-{key}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#plot-{key} .main-svg")
        assert "Where the theory ends" in page.locator(f"section:has(#plot-{key})").inner_text()
    text = page.locator("body").inner_text()
    assert "steepest <b>theory</b>" in text
    assert "at equal lr only" in text
    assert wrong == []
    page.close()


@pytest.mark.slow
def test_what_was_simulated_is_not_simulated_again(tmp_path, monkeypatch):
    settings, simulate = small("annealing"), experiment._simulate
    whole = run_momentum(settings, tmp_path / "whole")
    calls = []

    def counted(*arguments):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(arguments)
        return simulate(*arguments)

    monkeypatch.setattr(experiment, "_simulate", counted)
    with pytest.raises(KeyboardInterrupt):
        run_momentum(settings, tmp_path / "killed")
    monkeypatch.setattr(experiment, "_simulate", lambda *a: calls.append(a) or simulate(*a))
    again = run_momentum(settings, tmp_path / "killed")
    assert len(calls) == len(list((tmp_path / "killed" / "simulated").iterdir()))
    assert again.ends == whole.ends
    assert [row.variance.tolist() for *_, row in again.curves] == [row.variance.tolist() for *_, row in whole.curves]
    calls.clear()
    run_momentum(settings, tmp_path / "killed")
    assert calls == []


def test_a_run_that_diverges_is_refused_and_at_other_rates_noted(tmp_path):
    with pytest.raises(InputError, match=r"a run diverged: .*, in the curve of momentum 0.9"):
        run_momentum(replace(small("optimum"), lr=0.02, steps=400), tmp_path / "own")
    notes = [row["note"] for row in run_momentum(small("optimum"), tmp_path / "other").ends if "note" in row]
    assert notes
    assert all("diverge" in note for note in notes)


def test_a_folder_of_other_settings_is_refused(tmp_path):
    run_momentum(replace(small("optimum"), steps=10), tmp_path / "here")
    with pytest.raises(InputError, match="holds another experiment: its seed is 0, and 1 is asked for"):
        run_momentum(replace(small("optimum"), steps=10, seed=1), tmp_path / "here")


def test_where_the_theory_ends_is_where_it_is_off():
    def row(effective_lr, ratio, error=0.01):
        return {"effective_lr": effective_lr, "ratio": ratio, "error": error, "predicted": 1.0}

    def said(*ends):
        return say_end(Found(Settings(), 10, [], [*ends]))

    assert "from lr / (1 - momentum) = 0.002 on" in said(row(0.001, 1.06), row(0.002, 1.08), row(0.004, 1.5))
    assert "from lr / (1 - momentum) = 0.5 on" in said(row(0.001, 1.06), {"effective_lr": 0.5, "note": "it diverged"})
    assert "nowhere up to lr / (1 - momentum) = 0.001" in said(row(0.001, 1.06))


def test_a_crossing_lies_between_two_points():
    assert crossing(np.array([0.0, 10.0, 20.0]), np.array([0.0, 0.4, 0.8]), 0.5) == pytest.approx(12.5)
    assert crossing(np.array([0.0, 10.0]), np.array([0.0, 0.4]), 0.5) == np.inf
