"""Which methods may be the best, on made-up metrics whose truth is known."""

import dataclasses

import numpy as np
import pytest

from steepest.compare.analysis.leaders import Leaders, leaders
from steepest.compare.analysis.summary import summarize
from steepest.compare.results.caveats import winner_sentence
from tests.compare import TINY_FILE
from tests.compare.analysis.simulated import LAWS, records_of, spec_of
from tests.compare.study.frozen import freeze

SPEC = freeze(f"{TINY_FILE}:clouds", [f"{TINY_FILE}:good"], trials=1, seeds=2)
NOISE = 0.001


def found_in(metrics, spec=SPEC):
    records = records_of(metrics)
    names = dict.fromkeys(r.method for r in records)
    return leaders(spec, {name: [r for r in records if r.method == name] for name in names})


@pytest.mark.parametrize("law", [*LAWS.values()], ids=[*LAWS])
@pytest.mark.parametrize(
    ("methods", "seeds", "studies"),
    [(4, 5, 150), *(pytest.param(m, s, 1000, marks=pytest.mark.slow) for m in (2, 4, 8) for s in (5, 10, 20))],
)
def test_the_best_is_among_them(law, methods, seeds, studies):
    """19 times in 20, also where several are nearly as good, which is the hardest case."""
    rng = np.random.default_rng(methods * seeds)
    missed = 0
    for _ in range(studies):
        truth = np.append(0.0, -rng.choice([1e-9, 0.3, 1.0], size=methods - 1))
        found = found_in(0.9 + NOISE * (truth[:, None] + law(rng, (methods, seeds))))
        missed += "m0" not in (found.first, *found.others)
    assert missed / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


def test_what_is_far_behind_is_told_apart():
    rng = np.random.default_rng(0)
    alone = 0
    for _ in range(100):
        noise = rng.normal(size=(4, 10))
        found = found_in(0.9 + NOISE * (np.array([0, -4, -5, -6])[:, None] + noise))
        alone += found == Leaders("m0", ())
    assert alone > 95


def test_lower_may_be_better():
    metrics = 0.5 + NOISE * np.random.default_rng(0).normal(size=(3, 6)) + np.array([[0.0], [-0.1], [0.2]])
    lower = freeze(f"{TINY_FILE}:marked", [f"{TINY_FILE}:good"], trials=1, seeds=2)
    assert found_in(metrics, lower) == Leaders("m1", ())
    assert found_in(metrics) == Leaders("m2", ())


def test_equal_runs_cannot_be_told_apart_nor_equal_differences():
    assert found_in(np.full((3, 5), 0.9)) == Leaders("m0", ("m1", "m2"))
    assert found_in(np.array([[0.9] * 5, [0.8] * 5])).others == ("m1",)  # no spread, so that nothing is proved


def test_the_sentence():
    spec = dataclasses.replace(spec_of(SPEC, 3, 5), winner=True)
    noise = NOISE * np.random.default_rng(0).normal(size=(3, 5))

    def said(means, drop=0, spec=spec):
        records = records_of(np.array(means)[:, None] + noise)
        lost = dataclasses.replace(records[-1], status="diverged", test_metric=None)
        return winner_sentence(summarize(spec, [*records[:-1], lost] if drop else records))

    assert said([0.9, 0.8, 0.7]) == "Winner: m0 is the best of all, 19 times in 20."
    assert said([0.9, 0.9001, 0.7]).endswith("; the best is among these 2, 19 times in 20.")
    assert said([0.9, 0.8, 0.7], drop=1).endswith("19 times in 20; left out: m2, which lost runs.")
    assert said([0.9, 0.8, 0.7], spec=dataclasses.replace(spec, winner=False)) == ""
