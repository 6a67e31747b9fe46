"""The experiments with two-layer networks: every preset, its numbers beside the library's, in a browser."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from steepest._errors import InputError
from steepest.page.story import write_story
from steepest.theory.committee import Committee
from steepest.theory.experiments import committee as experiment
from steepest.theory.experiments.committee import PRESETS, Found, Looked, Settings, run_committee, specialised_at
from steepest.theory.experiments.committee_page import _written, interval, list_number, say_end, story_of

SMALL = {"dimension": 32, "time": 4.0, "seeds": 3}


def small(preset):
    return replace(PRESETS[preset].settings, **SMALL)


@pytest.fixture(scope="module", params=PRESETS)
def done(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "here"
    found = run_committee(small(request.param), folder)
    write_story(folder, story_of(found, PRESETS[request.param].claim), "steepest <b>theory</b>")
    return folder, found


@pytest.mark.slow
def test_numbers_are_the_librarys(done):
    folder, found = done
    told = json.loads((folder / "theory.json").read_text())
    settings = found.settings
    assert told["settings"] == json.loads(json.dumps(settings.__dict__))
    assert told["command"] == "steepest <b>theory</b>"
    for number, (curve, looked) in zip(told["numbers"], found.curves, strict=True):
        theory = Committee(
            2, curve.units, lr=curve.lr, noise=settings.noise, train=curve.train, start=curve.start
        )  # fmt: skip
        again = theory.simulate(32, 3, times=looked.times)
        np.testing.assert_array_equal(looked.error, again.generalization_error)
        predicted = [theory.predict(looked.times, start=again.start_of(i)) for i in range(3)]
        errors = np.stack([path.generalization_error for path in predicted])
        np.testing.assert_array_equal(looked.predicted, errors)
        np.testing.assert_allclose(
            looked.cosine[0, -1, 0, 1], again.R[0, -1, 0, 1] / np.sqrt(again.Q[0, -1, 0, 0] * again.T[0, 1, 1])
        )
        np.testing.assert_allclose(
            looked.predicted_cosine[2, -1, 1, 0],
            predicted[2].R[-1, 1, 0] / np.sqrt(predicted[2].Q[-1, 1, 1] * predicted[2].T[0, 0]),
        )
        late = looked.times >= 0.8 * 4
        assert number["predicted"] == pytest.approx(errors[:, late].mean())
        assert number["simulated"] == pytest.approx(again.generalization_error[:, late].mean())
        rows = [row for row in told["curves"] if row["curve"] == number["curve"]]
        assert [row["time"] for row in rows] == looked.times.tolist()
        assert [row["error.theory"] for row in rows] == pytest.approx(errors.mean(axis=0))
        assert [row["error.run2"] for row in rows] == looked.error[2].tolist()
    with open(folder / "curves.csv", newline="") as file:
        assert [float(row["error.simulation"]) for row in csv.DictReader(file)] == [
            row["error.simulation"] for row in told["curves"]
        ]


def test_there_is_a_curve_for_each_size_rate_and_choice_of_layers():
    found = experiment.curves_of(Settings(student=(2, 3), lr=(0.1, 0.2), train=("first", "both"), start=("random",)))
    assert len({curve.key for curve in found}) == 8
    names = {experiment.name_of(Settings(student=(2, 3), lr=(0.1, 0.2), train=("first", "both")), c) for c in found}
    assert len(names) == 8
    assert "K = 3, lr 0.2, both layers" in names


@pytest.mark.slow
def test_the_page_is_whole_escaped_and_asks_the_network_for_nothing(done, browser):
    folder, found = done
    page = browser.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("file:") else None)
    page.goto((folder / "report.html").as_uri())
    several = len(found.curves) > 1
    for key in (*(f"error-{train}" for train in found.settings.train), "end" if several else "overlaps", "ends"):
        page.locator(f"#plot-{key}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#plot-{key} .main-svg")
        said = page.locator(f"section:has(#plot-{key})").inner_text()
        assert "loss = err^2 / 2" in said
        assert "Where the theory ends" in said or key in ("end", "overlaps")
    text = page.locator("body").inner_text()
    assert "steepest <b>theory</b>" in text
    assert "loss = err^2 / 2" in text
    assert wrong == []
    page.close()


@pytest.mark.slow
def test_what_was_simulated_is_not_simulated_again(tmp_path, monkeypatch):
    settings, simulate = small("overparametrised"), experiment._simulate
    whole = run_committee(settings, tmp_path / "whole")
    calls = []

    def counted(*arguments):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(arguments)
        return simulate(*arguments)

    monkeypatch.setattr(experiment, "_simulate", counted)
    with pytest.raises(KeyboardInterrupt):
        run_committee(settings, tmp_path / "killed")
    monkeypatch.setattr(experiment, "_simulate", lambda *a: calls.append(a) or simulate(*a))
    again = run_committee(settings, tmp_path / "killed")
    assert len(calls) == len(list((tmp_path / "killed" / "simulated").iterdir()))
    for (_, one), (_, other) in zip(whole.curves, again.curves, strict=True):
        np.testing.assert_array_equal(one.error, other.error)
        np.testing.assert_array_equal(one.predicted, other.predicted)
    calls.clear()
    run_committee(settings, tmp_path / "killed")
    assert calls == []


def test_of_relu_there_is_the_simulation_alone(tmp_path):
    found = run_committee(Settings(activation="relu", **SMALL), tmp_path / "here")
    story = story_of(found, "")
    assert found.curves[0][1].predicted is None
    assert found.ends == []
    assert any(sentence.startswith("Of ReLU there is no prediction") for sentence in story.sentences)
    assert story.table[0]["theory"] == "not known"
    write_story(tmp_path, story, "steepest theory")
    told = json.loads((tmp_path / "theory.json").read_text())
    assert told["numbers"][0]["simulated"] > 0
    assert "error.theory" not in told["curves"][0]


@pytest.mark.filterwarnings("ignore:overflow")
def test_of_some_rates_that_diverge_is_said_so_and_of_all_refused(tmp_path):
    settings = Settings(activation="linear", lr=(0.1, 1e6), **SMALL)
    found = run_committee(settings, tmp_path / "some")
    story = story_of(found, "")
    assert any(sentence.startswith("With lr 1e+06 a run diverged") for sentence in story.sentences)
    assert [row["simulation"] == "diverged" for row in story.table] == [False, True]
    write_story(tmp_path / "some", story, "steepest theory")
    with pytest.raises(InputError, match=r"a run diverged: .*, in the curve of K = 2"):
        run_committee(replace(settings, lr=(1e6,)), tmp_path / "all")


def test_where_theory_says_an_error_of_0_nothing_is_divided_by_it(tmp_path):
    found = run_committee(Settings(start=("informed",), noise=0.0, **SMALL), tmp_path / "here")
    story = story_of(found, "")
    assert story.table[0]["simulation / theory"] == ""
    assert "at N = 32 never" in story.sentences[-1]
    write_story(tmp_path / "here", story, "steepest theory")
    told = json.loads((tmp_path / "here" / "theory.json").read_text())
    assert told["ends"][-1]["ratio"] is None
    assert abs(told["numbers"][0]["predicted"]) < 1e-9


@pytest.mark.filterwarnings("ignore:overflow")
def test_of_two_choices_of_layers_one_may_diverge(tmp_path):
    settings = Settings(activation="linear", lr=(0.1,), lr_output=1e9, train=("first", "both"), **SMALL)
    story = story_of(run_committee(settings, tmp_path), "")
    assert story.headline.endswith("with K = 2, first layer.")
    assert any(sentence.startswith("With K = 2, both layers a run diverged") for sentence in story.sentences)


def test_a_folder_of_other_settings_is_refused(tmp_path):
    run_committee(Settings(**SMALL), tmp_path / "here")
    with pytest.raises(InputError, match=r"holds another experiment: its noise is 0.1, and 0.2 is asked for"):
        run_committee(Settings(noise=0.2, **SMALL), tmp_path / "here")


def test_threads_are_as_before(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run_committee(Settings(**SMALL), tmp_path / "here")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def looked(error, predicted, times=(1.0, 2.0, 3.0)):
    return Looked(np.array(times), np.array(error), np.zeros((2, 3, 1, 1)), np.array(predicted), None, "")


def test_where_the_theory_ends_is_where_it_is_off_beyond_the_interval():
    settings = Settings(time=10)
    curve = experiment.curves_of(settings)[0]
    near, off = looked([[1.0] * 3, [1.02] * 3], [[1.0] * 3] * 2), looked([[1.0, 2.0, 1.5]] * 2, [[1.0] * 3] * 2)
    spread = looked([[1.0, 5.0, 1.0], [1.0, 1.0, 1.0]], [[1.0] * 3] * 2)
    said = say_end(Found(settings, [(curve, near)], [(10, spread), (50, off), (100, near)]))
    assert "at N = 10 never; at N = 50 by up to 100%, from time 2 on; at N = 100 never" in said


def test_an_interval_covers_the_mean_of_few_runs():
    values = np.random.default_rng(0).normal(3.0, 2.0, (5, 20_000))
    inside = np.abs(values.mean(axis=0) - 3.0) <= interval(values)
    assert inside.mean() == pytest.approx(0.95, abs=0.006)


def test_units_have_specialised_when_all_of_the_teacher_are_found():
    cosine = np.zeros((2, 3, 3, 2))
    cosine[0, 1:, 2, 0] = -0.95  # one unit of the teacher alone, and then both
    cosine[0, 2, 0, 1] = 0.91
    cosine[1, :, 0, 0] = 1.0
    assert specialised_at(np.array([1.0, 2.0, 3.0]), cosine).tolist() == [3.0, np.inf]


def test_a_number_and_its_error_have_one_power():
    assert _written(0.00402, 0.0003) == "(4.02 ± 0.30)e-3"
    assert _written(0.00402) == "4.02e-3"
    assert _written(0.0, 0.0) == "0.000 ± 0.000"
    assert _written(0.25, 0.01) == "0.250 ± 0.010"
    assert _written(12.5) == "12.500"
    assert _written(None) == "not known"


def test_a_closed_form_stands_beside_the_end_where_it_is_known():
    found = Found(Settings(), [], [])
    seen = looked([[1.0] * 3] * 2, [[1.0] * 3] * 2)
    informed, random = (
        list_number(found, experiment.curves_of(Settings(start=(start,), student=(3,)))[0], seen)
        for start in ("informed", "random")
    )
    assert informed["small_lr"] == pytest.approx(0.5 * 0.01 / (2 * np.pi) * (1 + 2 / np.sqrt(3)))
    assert random["small_lr"] == informed["small_lr"]
