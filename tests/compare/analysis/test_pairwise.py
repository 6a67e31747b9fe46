"""Every two methods, on made-up metrics whose truth is known."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from steepest.cli import run
from steepest.compare.analysis.leaders import leaders
from steepest.compare.analysis.pairwise import all_pairs, compare_pair
from steepest.compare.analysis.statistics import holm
from tests.compare import TINY_FILE
from tests.compare.analysis.simulated import LAWS, records_of, spec_of
from tests.compare.analysis.test_looks import early
from tests.compare.study.frozen import freeze

SPEC = freeze(f"{TINY_FILE}:clouds", [f"{TINY_FILE}:good"], trials=1, seeds=2)
NOISE = 0.001


def finals_of(metrics, seeds=None):
    found = {f"m{i}": [] for i in range(len(metrics))}
    for record in records_of(metrics):
        if seeds is None or record.trial < seeds[record.method]:
            found[record.method].append(record)
    return found


def test_against_scipy():
    metrics = 0.9 + NOISE * (np.random.default_rng(2).normal(size=(4, 8)) + np.array([[0], [0], [2], [5]]))
    found = all_pairs(spec_of(SPEC, 4, 8), finals_of(metrics))
    assert [(p.first, p.second) for p in found] == [
        ("m0", "m1"), ("m0", "m2"), ("m0", "m3"), ("m1", "m2"), ("m1", "m3"), ("m2", "m3")
    ]  # fmt: skip
    expected = [scipy.stats.ttest_rel(metrics[int(p.first[1])], metrics[int(p.second[1])]).pvalue for p in found]
    assert [p.tested.p_value for p in found] == pytest.approx(expected)
    assert [p.adjusted for p in found] == pytest.approx(holm(expected))
    assert {p.better for p in found if "m3" in (p.first, p.second)} == {"m3"}


@pytest.mark.parametrize("stops_early", [False, True])
def test_false_findings_are_rare(stops_early):
    """At most 5 in 100 studies of equal methods, also where methods stopped after different numbers of seeds."""
    rng, wrong, studies = np.random.default_rng(3), 0, 300
    spec = early(4, 5) if stops_early else spec_of(SPEC, 4, 5)
    for _ in range(studies):
        metrics = 0.9 + NOISE * LAWS["normal"](rng, (4, len(spec.seeds)))
        seeds = {f"m{i}": int(rng.choice(spec.stopping.looks)) for i in range(4)} if stops_early else None
        wrong += any(pair.better for pair in all_pairs(spec, finals_of(metrics, seeds)))
    assert wrong / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


def test_two_methods_are_compared_on_the_looks_that_both_have():
    spec = early(3, 10)
    metrics = 0.9 + NOISE * np.random.default_rng(0).normal(size=(3, 12))
    finals = finals_of(metrics, {"m0": 12, "m1": 4, "m2": 9})
    assert compare_pair(spec, finals["m1"], finals["m2"]).seeds == 4
    assert compare_pair(spec, finals["m0"], finals["m2"]).seeds == 9
    assert compare_pair(spec, finals["m0"], finals["m2"][:2]) is None


def test_a_method_that_lost_a_run_is_left_out():
    finals = finals_of(0.9 + NOISE * np.random.default_rng(0).normal(size=(3, 5)))
    finals["m1"][2] = dataclasses.replace(finals["m1"][2], status="diverged", test_metric=None)
    assert [(p.first, p.second) for p in all_pairs(spec_of(SPEC, 3, 5), finals)] == [("m0", "m2")]


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.slow
def test_the_best_is_among_the_leaders_of_a_study_that_stopped_early(law):
    rng, missed, studies = np.random.default_rng(5), 0, 200
    spec = early(4, 5)
    for _ in range(studies):
        truth = np.append(0.0, -rng.choice([1e-9, 0.3, 1.0], size=3))
        metrics = 0.9 + NOISE * (truth[:, None] + law(rng, (4, 6)))
        found = leaders(spec, finals_of(metrics, {f"m{i}": int(rng.choice(spec.stopping.looks)) for i in range(4)}))
        missed += "m0" not in (found.first, *found.others)
    assert missed / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


def test_the_table_and_the_file(tmp_path, capsys):
    command = ["compare", f"{TINY_FILE}:clouds", "--methods", "sgd,sngm,nesterov", "--trials", "2", "--seeds", "3"]
    assert run([*command, "--jobs", "1", "--out", str(tmp_path / "s"), "--pairs"]) == 0
    assert "p after Holm" in capsys.readouterr().out
    assert "Every two methods" in (tmp_path / "s" / "report.md").read_text()
    assert "Every two methods" in (tmp_path / "s" / "report.html").read_text()
    assert run(["report", str(tmp_path / "s"), "--no-pairs", "--csv", str(tmp_path / "csv")]) == 0
    assert "Every two methods" not in (tmp_path / "s" / "report.md").read_text()
    assert not (tmp_path / "csv" / "pairs.csv").exists()
    assert run(["report", str(tmp_path / "s"), "--csv", str(tmp_path / "csv")]) == 0  # as the study says
    lines = (tmp_path / "csv" / "pairs.csv").read_text().splitlines()
    assert lines[0].startswith(
        "comparison,method,minus,difference,difference_low,difference_high,p_value,adjusted_p_value"
    )
    assert len(lines) == 4
